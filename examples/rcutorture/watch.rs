//! The waits and the pipes that the watchdog watches. A wait that does not end hangs, and so does a
//! pipe in which no element moves.
//!
//! A thread or task that waits registers its wait here. Time is counted in the watchdog's own
//! ticks: while the machine stands still or this process gets no processor, the watchdog does not
//! run either, and no wait grows older. The stall timeout of the domains under torture is an hour,
//! so that the timers for stall reports do not repair a lost wake-up.

use async_rcu::Stats;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// The time between two ticks.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// A domain's pipe of removed elements, as the watchdog sees it.
pub(super) trait Pipe: Debug + Send + Sync {
    /// Returns the name of the domain.
    fn name(&self) -> &'static str;

    /// Returns how many stages all elements have passed.
    fn passed(&self) -> u64;

    /// Returns how many elements wait for a grace period.
    fn given_away(&self) -> u64;

    /// Returns the figures of the domain. Blocks while a lost thread holds the domain's lock.
    fn stats(&self) -> Stats;
}

/// The waits and the pipes of a run.
#[derive(Debug)]
pub(super) struct Watch {
    /// The age in ticks at which a wait hangs.
    limit: u64,
    now: AtomicU64,
    next_id: AtomicU64,
    waits: Mutex<BTreeMap<u64, OpenWait>>,
    pipes: Mutex<Vec<WatchedPipe>>,
}

#[derive(Debug)]
struct OpenWait {
    since: u64,
    what: &'static str,
    domain: String,
}

#[derive(Debug)]
struct WatchedPipe {
    pipe: Weak<dyn Pipe>,
    passed: u64,
    since: u64,
}

impl Watch {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit: u64::try_from(limit.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX),
            now: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            waits: Mutex::new(BTreeMap::new()),
            pipes: Mutex::new(Vec::new()),
        }
    }

    fn waits(&self) -> MutexGuard<'_, BTreeMap<u64, OpenWait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched_pipes(&self) -> MutexGuard<'_, Vec<WatchedPipe>> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a wait for a domain, and returns its number.
    pub(super) fn begin(&self, domain: &str, what: &'static str) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let wait =
            OpenWait { since: self.now.load(Ordering::Relaxed), what, domain: domain.to_owned() };
        self.waits().insert(id, wait);
        id
    }

    /// Removes a wait that is over.
    pub(super) fn end(&self, id: u64) {
        self.waits().remove(&id);
    }

    /// Watches a pipe as long as the pipe is alive.
    pub(super) fn add_pipe(&self, pipe: Weak<dyn Pipe>) {
        self.watched_pipes().push(WatchedPipe {
            pipe,
            passed: 0,
            since: self.now.load(Ordering::Relaxed),
        });
    }

    /// Returns the pipes that are alive.
    pub(super) fn pipes(&self) -> Vec<Arc<dyn Pipe>> {
        self.watched_pipes().iter().filter_map(|watched| watched.pipe.upgrade()).collect()
    }

    /// Counts a tick, and returns a message for each wait and each pipe that hangs.
    pub(super) fn tick(&self) -> Vec<String> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let limit = self.limit;
        let seconds = |ticks: u64| ticks as f64 * TICK.as_secs_f64();
        let mut found: Vec<_> = self
            .waits()
            .values()
            .filter(|wait| now - wait.since > limit)
            .map(|wait| {
                let age = seconds(now - wait.since);
                format!(
                    "HANG: domain {}: {} has not ended after {age:.0} s",
                    wait.domain, wait.what
                )
            })
            .collect();
        for watched in &mut *self.watched_pipes() {
            let Some(pipe) = watched.pipe.upgrade() else {
                continue;
            };
            let (passed, given_away) = (pipe.passed(), pipe.given_away());
            if passed != watched.passed || given_away == 0 {
                (watched.passed, watched.since) = (passed, now);
            } else if now - watched.since > limit {
                let age = seconds(now - watched.since);
                found.push(format!(
                    "HANG: domain {}: {given_away} elements wait for a grace period, and none of \
                     them has passed one for {age:.0} s",
                    pipe.name()
                ));
            }
        }
        found
    }
}
