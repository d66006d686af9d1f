use async_rcu::{Rcu, RcuList};

pub fn f(rcu: &Rcu, list: &RcuList<u32>) -> u32 {
    let mut guard = rcu.read();
    let mut walk = list.iter(&guard);
    let first = walk.next().copied();
    guard.refresh(); //~ E0502
    #[cfg(wrong)]
    return *walk.next().unwrap();
    #[cfg(not(wrong))]
    first.unwrap()
}
