use async_rcu::{RcuList, RcuPtr, RcuVec};
#[cfg(wrong)]
use std::cell::Cell as Inner;
#[cfg(not(wrong))]
use std::sync::Mutex as Inner;

pub fn pointer(_: &RcuPtr<Inner<u32>>) {} //~ E0277
pub fn list(_: &RcuList<Inner<u32>>) {} //~ E0277
pub fn array(_: &RcuVec<Inner<u32>>) {} //~ E0277
