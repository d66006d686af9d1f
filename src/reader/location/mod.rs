//! Where a section was opened, and by which task: kept in debug builds and with the feature `locations`.

use std::panic::Location;

#[cfg_attr(
    all(any(debug_assertions, feature = "locations"), not(rcu_loom)),
    path = "tracked.rs"
)]
#[cfg_attr(
    not(all(any(debug_assertions, feature = "locations"), not(rcu_loom))),
    path = "untracked.rs"
)]
mod build;

pub(crate) use build::{OpenedAt, Place, TRACKED, ask_for_tasks};

/// What a section's sign says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) task: Option<u64>,
}
