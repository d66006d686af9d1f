//! It is always the same time, so that a model does the same each time that it is run; and no time
//! out that is not over at once ever is, so that whoever sleeps is woken or sleeps for ever, which loom finds.

use std::ops::Sub;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant;

impl Instant {
    pub(crate) fn now() -> Self {
        Self
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    pub(crate) fn saturating_duration_since(&self, _earlier: Instant) -> Duration {
        Duration::ZERO
    }

    pub(crate) fn checked_duration_since(&self, _earlier: Instant) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    /// Now, or never.
    pub(crate) fn checked_add(&self, time: Duration) -> Option<Instant> {
        time.is_zero().then_some(Self)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, _earlier: Instant) -> Duration {
        Duration::ZERO
    }
}
