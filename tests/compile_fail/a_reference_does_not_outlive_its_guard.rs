use async_rcu::{Rcu, RcuCell};

pub fn f(rcu: &Rcu, cell: &RcuCell<u32>) -> u32 {
    let guard = rcu.read();
    let value = cell.load(&guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *value
}

pub fn g(rcu: &Rcu, cell: &RcuCell<u32>) -> u32 {
    let guard = rcu.read_owned();
    let value = cell.load(&guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    *value
}
