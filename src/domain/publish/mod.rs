//! The feature `metrics`: the domain's figures through the `metrics` facade. Without it, nothing.

#[cfg_attr(feature = "metrics", path = "facade.rs")]
#[cfg_attr(not(feature = "metrics"), path = "nothing.rs")]
mod how;

pub(super) use how::Publisher;
