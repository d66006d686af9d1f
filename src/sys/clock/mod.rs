//! The clock: std's, or under loom one that stands still.

#[cfg_attr(not(rcu_loom), path = "native.rs")]
#[cfg_attr(rcu_loom, path = "loom.rs")]
mod platform;

pub(crate) use platform::Instant;
