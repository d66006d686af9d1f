//! Release builds: sections carry nothing.

use super::Origin;

/// Whether sections carry a sign.
pub(crate) const TRACKED: bool = false;

/// Nowhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place;

impl Place {
    #[inline(always)]
    pub(crate) fn here() -> Self {
        Self
    }
}

/// Nothing.
#[derive(Debug)]
pub(crate) struct OpenedAt;

impl OpenedAt {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn put(&self, _place: Place) {}

    pub(crate) fn read(&self) -> Origin {
        Origin::default()
    }
}

/// Tells the number of the task that runs here.
pub(crate) type TaskSource = fn() -> Option<u64>;

pub(crate) fn ask_for_tasks(_source: TaskSource) {}
