use async_rcu::cell::OwnedRcuRef;
#[cfg(wrong)]
use std::cell::Cell as Inner;
#[cfg(not(wrong))]
use std::sync::Mutex as Inner;

fn send<T: Send>(_: T) {}

pub fn f(owned: OwnedRcuRef<Inner<u32>>) {
    send(owned); //~ E0277
}
