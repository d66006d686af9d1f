//! No process-wide barrier: both sides fence.

use super::Barrier;

pub(super) fn register() -> Barrier {
    Barrier::Fence
}

/// Never called: [`register`] said that there is none.
pub(super) fn barrier() {}
