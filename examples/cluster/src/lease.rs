//! Until when a node may answer, by its own clock.
//!
//! The store ends a lease `ttl` after it *received* the last keep-alive, by its clock. The node counts from before it *sent*
//! that keep-alive, by [its own](crate::clock), and stops at four fifths of `ttl`. Sent comes before received, so it stops
//! first as long as the store's clock goes at most 5/4 as fast as the node's; clocks that are worse than 0.1% are broken, the
//! rest of the margin is for nothing else. So no agreement on the time of day is needed, and none on when a message arrives.
//!
//! A lease that is over by this clock makes the node mute, at once and with no task having to run: each answer looks. If a
//! keep-alive gets through after all, the store had not ended the lease, the updater has been waiting for this node all the
//! time, and it may go on. Only the store says that a lease is lost. Then the session is over: its table is dropped, and
//! nothing read under it is answered, even if the node has registered again meanwhile.

use crate::clock;
use crate::model::Session;
use async_rcu::{Rcu, RcuCell};
use std::time::Duration;
use tokio::sync::Notify;

/// What of its time a lease is used for: 4/5.
fn usable(ttl: Duration) -> Duration {
    ttl * 4 / 5
}

#[derive(Clone, Copy)]
struct Held {
    session: Session,
    /// On [`clock::now`].
    until: Duration,
}

/// The lease of a node: at most one at a time.
pub struct Lease {
    held: RcuCell<Option<Held>>,
    renewed: Notify,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("until", &self.until())
            .finish_non_exhaustive()
    }
}

impl Lease {
    /// None yet.
    pub fn new(rcu: &Rcu) -> Self {
        Self {
            held: RcuCell::new_in(rcu, None),
            renewed: Notify::new(),
        }
    }

    /// The store has granted or prolonged the lease of `session`, asked at `sent`.
    pub fn hold(&self, session: Session, sent: Duration, ttl: Duration) {
        self.held.store(Some(Held {
            session,
            until: sent + usable(ttl),
        }));
        self.renewed.notify_waiters();
    }

    /// There is none any more.
    pub fn end(&self) {
        self.held.store(None);
    }

    /// Whether what was read under `session` may be answered now.
    pub fn covers(&self, session: Session) -> bool {
        self.held
            .with(|held| held.is_some_and(|h| h.session == session && clock::now() < h.until))
    }

    /// Until when it holds, if there is one.
    pub fn until(&self) -> Option<Duration> {
        self.held.with(|held| held.map(|h| h.until))
    }

    /// Ends when the lease has run out by the clock: since when.
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

    /// Ends when it holds (again).
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
        assert!(!lease.covers(1), "read under a lease that was lost");
    }

    #[test]
    fn it_counts_from_when_the_question_was_sent_and_leaves_a_margin() {
        let lease = lease();
        // 4/5 of an hour ago, and a little less: the answer took that long.
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
