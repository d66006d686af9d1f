use async_rcu::{Rcu, RcuVec};

pub fn f(rcu: &Rcu, array: &RcuVec<u32>) -> u32 {
    let guard = rcu.read();
    let view = array.load(&guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    view[0]
}

pub fn g(rcu: &Rcu, array: &RcuVec<u32>) -> u32 {
    let guard = rcu.read_owned();
    let walk = array.iter(&guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    walk.sum()
}
