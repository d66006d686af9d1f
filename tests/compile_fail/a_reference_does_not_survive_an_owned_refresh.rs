use async_rcu::{Rcu, RcuCell};

pub fn f(rcu: &Rcu, cell: &RcuCell<u32>) -> u32 {
    let mut guard = rcu.read_owned();
    let before = cell.load(&guard);
    let copied = *before;
    guard.refresh(); //~ E0502
    #[cfg(wrong)]
    return *before;
    #[cfg(not(wrong))]
    copied
}
