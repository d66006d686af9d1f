use async_rcu::{RcuCell, cell::OwnedRcuRef};

pub fn f(cell: &RcuCell<u32>) -> u32 {
    let mut owned = cell.read_owned();
    let before = &*owned;
    let copied = *before;
    OwnedRcuRef::reload(&mut owned, cell); //~ E0502
    #[cfg(wrong)]
    return *before;
    #[cfg(not(wrong))]
    copied
}
