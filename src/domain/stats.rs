//! The figures of a domain.

use super::Domain;
use super::rcu::Rcu;
use crate::dispatch::progress::saturated;
use crate::sys::barrier::MemoryBarrier;
use crate::sys::prim::Ordering;
use hdrhistogram::Histogram;
use std::time::Duration;

/// The figures of a domain, from [`Rcu::stats`]. Counts begin with the domain.
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
    /// Grace periods that started at once, because of a force, a drain or a full backlog.
    pub forced: u64,
    /// Callbacks queued by `call`, `call_async` and `retire`, and by the drop of a
    /// [`Retired`](crate::Retired), a [`RetireOnDrop`](crate::cell::RetireOnDrop) or a cell. Values
    /// taken back through `wait` are not counted.
    pub queued: u64,
    /// Callbacks that have finished or panicked. An async callback finishes with its future. Never
    /// above `queued`. The count may lag: it grows by groups of up to 245 callbacks of one thread,
    /// and may be too low for a moment while async callbacks run.
    pub finished: u64,
    /// Callbacks and drops of retired values that panicked.
    pub panicked: u64,
    /// Async callbacks that were dropped because their runtime was shut down.
    pub cancelled: u64,
    /// Batches handed to the executor.
    pub batches: u64,
    /// Threads registered as readers or callers.
    pub threads: usize,
    /// [`OwnedReadGuard`](crate::OwnedReadGuard)s that exist.
    pub owned_guards: usize,
    /// A lower bound for the age of the oldest open section: the time since the start of the first
    /// grace period that it holds up, or zero. `None` if no section is open.
    pub oldest_section: Option<Duration>,
    /// How long grace periods took.
    pub grace_period_latency: Latency,
    /// The longest time of a callback. Short callbacks are timed together, up to one microsecond.
    pub longest_callback: Duration,
    /// The bytes of the boxes whose values were dropped, and whose memory is
    /// [kept](crate::Builder::keep_memory) for the next values. 0 when the domain is idle.
    pub kept_bytes: u64,
    /// Stall reports made.
    pub stalls: u64,
    /// The process-wide barrier that is in use.
    pub barrier: MemoryBarrier,
}

impl Domain {
    /// Returns how many callbacks have finished. An async callback finishes with its future, not
    /// with the callback that spawns the future.
    pub(super) fn finished(&self) -> u64 {
        let finished: u64 = self.registry.records().map(|r| r.queue.finished()).sum();
        let running = self.dispatcher.counts.running.load(Ordering::Relaxed) as u64;
        finished.saturating_sub(running)
    }

    pub(super) fn pending(&self) -> u64 {
        // `finished` is read first, so it is at most `produced`.
        let finished = self.finished();
        let produced: u64 = self.registry.records().map(|r| r.queue.produced()).sum();
        produced.saturating_sub(finished)
    }

    pub(super) fn stats(&self) -> Stats {
        let counts = &self.dispatcher.counts;
        // `finished` is read first, so it is at most `queued`.
        let finished = self.finished();
        let oldest = self.engine.oldest_section();
        Stats {
            grace_periods: self.engine.started(),
            forced: self.force.started.load(Ordering::Relaxed),
            queued: self.registry.records().map(|r| r.queue.produced()).sum(),
            finished,
            panicked: counts.panicked.load(Ordering::Relaxed),
            cancelled: counts.cancelled.load(Ordering::Relaxed),
            batches: counts.batches.load(Ordering::Relaxed),
            threads: self.registry.threads(),
            owned_guards: self.registry.records().map(|r| r.owned_guards()).sum(),
            oldest_section: oldest.map(|seen| self.collector.lock().age_of(seen)),
            grace_period_latency: self.collector.lock().latency.summary(),
            longest_callback: Duration::from_nanos(counts.longest.load(Ordering::Relaxed)),
            kept_bytes: self.registry.records().map(|r| r.queue.kept_bytes()).sum(),
            stalls: self.stalls.reported.load(Ordering::Relaxed),
            barrier: self.barrier,
        }
    }
}

impl Rcu {
    /// Returns the figures of the domain. Reads every record: not for hot paths.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.call(|| ());
    /// rcu.blocking_drain();
    /// let stats = rcu.stats();
    /// assert_eq!((stats.queued, stats.finished), (1, 1));
    /// ```
    pub fn stats(&self) -> Stats {
        self.domain().stats()
    }
}

/// The times that grace periods took until the grace-period thread saw their end, to two
/// significant digits. Grace periods that a waiter started and ended by itself are not counted.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// rcu.call(|| ());
/// rcu.blocking_drain();
/// let took = rcu.stats().grace_period_latency;
/// println!("{} grace periods, {:?} at the median, {:?} at most", took.count, took.p50, took.max);
/// assert!(took.p50 <= took.max);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// The number of measured grace periods.
    pub count: u64,
    /// Half of the grace periods took at most this long.
    pub p50: Duration,
    /// 99 of 100 grace periods took at most this long.
    pub p99: Duration,
    /// The longest time.
    pub max: Duration,
}

/// The range in nanoseconds, up to a day. A time outside counts as the nearest bound.
const LEAST: u64 = 100;
const MOST: u64 = 24 * 3600 * 1_000_000_000;

/// The measured times. The first grace period makes the histogram.
#[derive(Debug, Default)]
pub(super) struct LatencyLog(Option<Histogram<u64>>);

impl LatencyLog {
    pub(super) fn record(&mut self, took: Duration) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(LEAST, MOST, 2).ok();
        }
        if let Some(log) = &mut self.0 {
            log.saturating_record(saturated(took));
        }
    }

    pub(super) fn summary(&self) -> Latency {
        self.0.as_ref().map_or_else(Latency::default, |log| Latency {
            count: log.len(),
            p50: Duration::from_nanos(log.value_at_quantile(0.5)),
            p99: Duration::from_nanos(log.value_at_quantile(0.99)),
            max: Duration::from_nanos(log.max()),
        })
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_recorded_times() {
        let mut log = LatencyLog::default();
        assert_eq!(log.summary(), Latency::default());
        for micros in 1..=1000 {
            log.record(Duration::from_micros(micros));
        }
        log.record(Duration::MAX);
        let latency = log.summary();
        let near = |a: Duration, micros: u64| {
            let wanted = Duration::from_micros(micros).as_secs_f64();
            (a.as_secs_f64() / wanted - 1.0).abs() < 0.02
        };
        assert_eq!(latency.count, 1001);
        assert!(near(latency.p50, 501), "{latency:?}");
        assert!(near(latency.p99, 991), "{latency:?}");
        assert!(latency.max >= Duration::from_secs(24 * 3600), "{latency:?}");
    }
}
