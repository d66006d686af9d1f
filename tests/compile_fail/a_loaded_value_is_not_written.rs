use async_rcu::{Rcu, RcuCell};

pub fn f(rcu: &Rcu, cell: &RcuCell<u32>) -> u32 {
    let guard = rcu.read();
    let value = cell.load(&guard);
    #[cfg(wrong)]
    {
        *value += 1; //~ E0594
    }
    cell.update(|value| value + 1);
    *value
}
