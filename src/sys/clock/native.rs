//! std's.

pub(crate) use std::time::Instant;
