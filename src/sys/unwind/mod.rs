//! Where panics of foreign code end, and ours end the process.

#[cfg_attr(not(rcu_loom), path = "native.rs")]
#[cfg_attr(rcu_loom, path = "loom.rs")]
mod platform;

pub(crate) use platform::{catch, or_abort};
