use async_rcu::structures::Holder;
use async_rcu::{Rcu, Retired};
#[cfg(wrong)]
use std::cell::Cell as Inner;
#[cfg(not(wrong))]
use std::sync::Mutex as Inner;

pub struct Node(pub Inner<u32>);

impl Holder for Node {
    type Value = Inner<u32>; //~ E0277
    fn value(&self) -> &Inner<u32> {
        &self.0
    }
    fn into_value(self) -> Inner<u32> {
        self.0
    }
}

/// # Safety
/// As `Retired::from_raw`.
pub unsafe fn drop_later(rcu: &Rcu, value: *mut Inner<u32>) {
    // SAFETY: the caller keeps the contract.
    drop(unsafe { Retired::from_raw(rcu, value) }); //~ E0277
}
