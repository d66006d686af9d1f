//! The clock: std's, or under loom one that stands still.

#[cfg(not(rcu_loom))]
pub(crate) use std::time::Instant;

#[cfg(rcu_loom)]
pub(crate) use model::Instant;

/// A clock that stands still, so that a model does the same in each run. A timeout is over at once
/// or never. A sleeper that no thread wakes sleeps for ever, and loom reports it.
#[cfg(rcu_loom)]
mod model {
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

        /// Returns `None`, which means never, if `time` is not zero.
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
}
