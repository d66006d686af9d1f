use async_rcu::{RcuCell, RcuRef};

pub fn f(cell: &RcuCell<(String, u32)>) {
    #[cfg(wrong)]
    let other = (String::new(), 1);
    #[cfg(wrong)]
    let _part = RcuRef::map(cell.read(), |_| &other.0); //~ E0597
    #[cfg(not(wrong))]
    let _part = RcuRef::map(cell.read(), |value| &value.0);
}
