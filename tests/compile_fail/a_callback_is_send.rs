use async_rcu::Rcu;
#[cfg(wrong)]
use std::rc::Rc as Shared;
#[cfg(not(wrong))]
use std::sync::Arc as Shared;

pub fn f(rcu: &Rcu, shared: Shared<u32>) {
    rcu.call(move || drop(shared)); //~ E0277
}
