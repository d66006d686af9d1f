//! The cookie of a grace period.

use crate::reader::sequence::Seq;
use std::cmp::Ordering;

/// A grace period, by its number: a cookie to ask about later.
///
/// From [`Rcu::grace_period`](crate::Rcu::grace_period), for the next one, and
/// [`Rcu::start_grace_period`](crate::Rcu::start_grace_period). Cookies of one domain are ordered by start;
/// `rcu.grace_period() > cookie` says that the cookie's grace period has started. Cookies of different domains are
/// neither equal nor ordered.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// let cookie = rcu.grace_period();
/// assert!(!rcu.has_elapsed(cookie));
/// rcu.blocking_synchronize();
/// assert!(rcu.has_elapsed(cookie));
/// assert!(rcu.grace_period() > cookie);          // it has started
/// assert!(async_rcu::Rcu::new().grace_period() != cookie);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GracePeriod {
    domain: u64,
    seq: Seq,
}

impl GracePeriod {
    pub(crate) fn new(domain: u64, seq: Seq) -> Self {
        Self { domain, seq }
    }

    /// The number, for the domain that gave the cookie out.
    #[track_caller]
    pub(crate) fn of(self, domain: u64) -> Seq {
        assert!(
            self.domain == domain,
            "this GracePeriod is a cookie of another Rcu; domains do not know each other's grace periods"
        );
        self.seq
    }
}

impl PartialOrd for GracePeriod {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.domain == other.domain).then(|| self.seq.cmp(&other.seq))
    }
}
