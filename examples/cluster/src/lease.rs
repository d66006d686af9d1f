//! The lease of a node: the node may answer until the lease ends by the node's own clock.
//!
//! The store ends a lease `ttl` after it *received* the last keep-alive, by the store's clock. The
//! node counts from before it *sent* that keep-alive, by [its own clock](crate::clock), and stops
//! at four fifths of `ttl`. It sends before the store receives. So the node stops first as long as
//! the store's clock goes at most 5/4 as fast as the node's. (A clock that is off by more than 0.1%
//! is broken; the rest of the margin has no other use.) The clocks need not agree on the time of
//! day, and messages may take any time.
//!
//! A lease that is over by this clock makes the node mute at once. No task has to run for that:
//! each answer checks the lease. If a keep-alive succeeds after that, the store had not ended the
//! lease, and the updater has waited for this node all the time. So the node may answer again. Only
//! the store decides that a lease is lost. Then the session is over: the node drops its table, and
//! does not answer with data that it read in that session, even if it has registered again.

use crate::clock;
use crate::model::Session;
use async_rcu::{Rcu, RcuCell};
use std::time::Duration;
use tokio::sync::Notify;

/// Returns the usable part of a lease's time: 4/5.
fn usable(ttl: Duration) -> Duration {
    ttl * 4 / 5
}

#[derive(Clone, Copy)]
struct Held {
    session: Session,
    /// The end of the lease on [`clock::now`].
    until: Duration,
}

/// The lease of a node, which has at most one at a time.
pub struct Lease {
    held: RcuCell<Option<Held>>,
    renewed: Notify,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("until", &self.until()).finish_non_exhaustive()
    }
}

impl Lease {
    /// Makes an empty lease.
    pub fn new(rcu: &Rcu) -> Self {
        Self { held: RcuCell::new_in(rcu, None), renewed: Notify::new() }
    }

    /// Notes that the store granted or prolonged the lease of `session`. The request was sent at
    /// `sent`.
    pub fn hold(&self, session: Session, sent: Duration, ttl: Duration) {
        self.held.store(Some(Held { session, until: sent + usable(ttl) }));
        self.renewed.notify_waiters();
    }

    /// Notes that the lease is lost.
    pub fn end(&self) {
        self.held.store(None);
    }

    /// Returns whether data that was read under `session` may be answered now.
    pub fn covers(&self, session: Session) -> bool {
        self.held.with(|held| held.is_some_and(|h| h.session == session && clock::now() < h.until))
    }

    /// Returns the end of the lease, if there is one.
    pub fn until(&self) -> Option<Duration> {
        self.held.with(|held| held.map(|h| h.until))
    }

    /// Waits until the lease has run out by the clock. Returns the time of its end.
    pub async fn run_out(&self) -> Duration {
        loop {
            let renewed = self.renewed.notified();
            match self.until() {
                Some(until) => match until.checked_sub(clock::now()) {
                    Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                    _ => return until,
                },
                None => renewed.await,
            }
        }
    }

    /// Waits until the lease holds (again).
    pub async fn holds(&self) {
        loop {
            let renewed = self.renewed.notified();
            if self.until().is_some_and(|until| clock::now() < until) {
                return;
            }
            renewed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn lease() -> Lease {
        Lease::new(&Rcu::builder().name("lease").build().expect("a domain"))
    }

    #[test]
    fn it_covers_its_own_session_alone() {
        let lease = lease();
        assert!(!lease.covers(1));
        lease.hold(1, clock::now(), HOUR);
        assert!(lease.covers(1));
        assert!(!lease.covers(2));
        lease.end();
        assert!(!lease.covers(1));
        lease.hold(2, clock::now(), HOUR);
        assert!(!lease.covers(1), "the data was read under a lost lease");
    }

    #[test]
    fn it_counts_from_when_the_question_was_sent_and_leaves_a_margin() {
        let lease = lease();
        // The request was sent a little less than 4/5 of an hour ago.
        lease.hold(1, clock::now() - HOUR * 4 / 5, HOUR);
        assert!(!lease.covers(1));
        lease.hold(1, clock::now() - HOUR / 2, HOUR);
        assert!(lease.covers(1));
    }

    #[tokio::test]
    async fn running_out_and_holding_again_are_seen() {
        let lease = lease();
        let sent = clock::now();
        lease.hold(1, sent, Duration::from_millis(10));
        assert_eq!(lease.run_out().await, sent + Duration::from_millis(8));
        assert!(!lease.covers(1));
        let (_, ()) = tokio::join!(lease.holds(), async {
            lease.hold(1, clock::now(), HOUR);
        });
        assert!(lease.covers(1));
    }
}
