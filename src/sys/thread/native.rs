//! std's.

pub(crate) use std::thread::yield_now;
pub(super) use std::thread::{Builder, JoinHandle};
