use async_rcu::structures::Holder;
use async_rcu::{Rcu, Retired};
#[cfg(wrong)]
use std::rc::Rc as Shared;
#[cfg(not(wrong))]
use std::sync::Arc as Shared;

pub struct Node {
    pub value: u32,
    pub name: Shared<str>,
}

impl Holder for Node { //~ E0277
    type Value = u32;
    fn value(&self) -> &u32 {
        &self.value
    }
    fn into_value(self) -> u32 {
        self.value
    }
}

/// # Safety
/// As `Retired::from_holder`.
pub unsafe fn give_out(rcu: &Rcu, node: *mut Node) -> Retired<u32> {
    // SAFETY: the caller keeps the contract.
    unsafe { Retired::from_holder(rcu, node) }
}

/// # Safety
/// As `Rcu::retire_raw`.
pub unsafe fn free(rcu: &Rcu, node: *mut Node) {
    // SAFETY: the caller keeps the contract.
    unsafe { rcu.retire_raw(node) } //~ E0277
}
