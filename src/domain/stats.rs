//! What a domain tells about itself.

use super::Domain;
use super::latency::Latency;
use crate::sys::barrier::MemoryBarrier;
use crate::sys::prim::Ordering;
use std::time::Duration;

/// Figures of a domain, as of a moment ago; from [`Rcu::stats`](crate::Rcu::stats). Counts are cumulative since the domain
/// began.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// let guards = [rcu.read_owned(), rcu.read_owned()];
/// rcu.call(|| ());
/// let stats = rcu.stats();
/// assert_eq!(stats.owned_guards, guards.len());
/// assert_eq!(stats.queued - stats.finished, 1);
/// # drop(guards);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Grace periods started.
    pub grace_periods: u64,
    /// Those of them that a force, a drain or a full backlog had started at once.
    pub forced: u64,
    /// Callbacks queued by `call`, `call_async` and `retire`, and by the drop of a [`Retired`](crate::Retired), a
    /// [`Deferred`](crate::cell::Deferred) or a cell. What is waited for and taken back is none.
    pub queued: u64,
    /// Callbacks that have finished, those that panicked included; async ones when their future has. Counted in groups
    /// of up to 62 of one thread, and never more than `queued`; while async callbacks run, it may fall short for a moment.
    pub finished: u64,
    /// Callbacks and drops of retired values that panicked.
    pub panicked: u64,
    /// Async callbacks dropped because their runtime was gone.
    pub cancelled: u64,
    /// Batches handed to the executor.
    pub batches: u64,
    /// Threads registered as readers or callers.
    pub threads: usize,
    /// [`OwnedReadGuard`](crate::OwnedReadGuard)s held.
    pub owned_guards: usize,
    /// How long the oldest open section has lasted, at the least: the time since the first grace period that it holds up was
    /// started; zero where it holds up none, and `None` where no section is open.
    pub oldest_section: Option<Duration>,
    /// How long grace periods took.
    pub grace_period_latency: Latency,
    /// The longest that a callback has taken; short ones are timed together, up to a microsecond.
    pub longest_callback: Duration,
    /// Stall reports made.
    pub stalls: u64,
    /// Which process-wide barrier is in use.
    pub barrier: MemoryBarrier,
}

impl Domain {
    /// Callbacks that have finished. An async one whose future is under way is none, though what spawned it is done.
    pub(super) fn finished(&self) -> u64 {
        let finished: u64 = self.core.records().map(|r| r.local.finished()).sum();
        let running = self.dispatcher.counts.running.load(Ordering::Relaxed) as u64;
        finished.saturating_sub(running)
    }

    pub(super) fn stats(&self) -> Stats {
        let counts = &self.dispatcher.counts;
        // `finished` before `queued`, so that it is never the greater.
        let finished = self.finished();
        let oldest = self.engine.oldest_section();
        Stats {
            grace_periods: self.engine.started(),
            forced: self.forced.load(Ordering::Relaxed),
            queued: self.core.records().map(|r| r.local.produced()).sum(),
            finished,
            panicked: counts.panicked.load(Ordering::Relaxed),
            cancelled: counts.cancelled.load(Ordering::Relaxed),
            batches: counts.batches.load(Ordering::Relaxed),
            threads: self.core.threads(),
            owned_guards: self.core.records().map(|r| r.reader.owned_held()).sum(),
            oldest_section: oldest.map(|seen| self.driver.lock().age_of(seen)),
            grace_period_latency: self.driver.lock().latency.summary(),
            longest_callback: counts.longest(),
            stalls: self.stalls.load(Ordering::Relaxed),
            barrier: self.barrier,
        }
    }
}
