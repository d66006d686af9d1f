use async_rcu::RcuCell;
#[cfg(wrong)]
use std::cell::Cell as Inner;
#[cfg(not(wrong))]
use std::sync::Mutex as Inner;

pub fn f(_: &RcuCell<Inner<u32>>) {} //~ E0277
