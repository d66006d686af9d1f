//! Watching batches and async callbacks, to find those that are stuck.
//!
//! The grace-period thread looks when a timer wakes it. Only reports depend on the outcome. A
//! report may miss a change that happens at the same time.

use crate::dispatch::progress::{
    ASYNC, IDLE, LOCKING, Progress, ProgressKey, RUNNING, nanos, saturated,
};
use crate::sys::clock::Instant;
use crate::sys::prim::{AtomicU64, Mutex, Ordering};
use crate::sys::thread::Thread;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// All batches and async callbacks of a domain that are not done.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Times are nanoseconds after this.
    start: Instant,
    watched: Mutex<InProgress>,
    /// The end of the last time slice.
    last_slice: AtomicU64,
    /// The longest time of a callback on the grace-period thread, which cannot watch itself.
    unwatched: AtomicU64,
}

#[derive(Debug, Default)]
struct InProgress {
    next: u64,
    batches: BTreeMap<ProgressKey, Arc<Progress>>,
    /// Async callbacks, in the order of their tickets, as drains wait for them.
    futures: BTreeMap<ProgressKey, Arc<Progress>>,
}

#[derive(Debug)]
pub(crate) enum Stuck {
    Callback(Thread),
    Batch,
    Lock,
    Async,
}

#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) stuck: Stuck,
    pub(crate) age: Duration,
    /// How often it was reported before.
    pub(crate) repeated: u32,
}

impl InProgress {
    fn of(&mut self, is_async: bool) -> &mut BTreeMap<ProgressKey, Arc<Progress>> {
        match is_async {
            true => &mut self.futures,
            false => &mut self.batches,
        }
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            watched: Mutex::new(InProgress::default()),
            last_slice: AtomicU64::new(0),
            unwatched: AtomicU64::new(0),
        }
    }

    /// Adds a batch, or an async callback with its ticket's number.
    pub(crate) fn add(&self, async_of: Option<u64>) -> Arc<Progress> {
        let is_async = async_of.is_some();
        let state = if is_async { ASYNC } else { IDLE };
        let mut watched = self.watched.lock();
        let key = (async_of.unwrap_or(0), watched.next);
        watched.next += 1;
        let progress = Arc::new(Progress::new(key, state, self.start));
        watched.of(is_async).insert(key, Arc::clone(&progress));
        progress
    }

    pub(crate) fn remove(&self, progress: &Progress) {
        let mut watched = self.watched.lock();
        let gone = watched.of(progress.is_async()).remove(&progress.key);
        drop(watched);
        drop(gone);
    }

    /// In the child of a fork: removes all others.
    pub(crate) fn keep(&self, left: &[ProgressKey]) {
        let mut watched = self.watched.lock();
        watched.batches.retain(|key, _| left.contains(key));
        watched.futures.retain(|key, _| left.contains(key));
    }

    pub(crate) fn made_progress(&self, at: Instant) {
        let at = nanos(self.start, at);
        self.last_slice.store(at, Ordering::Relaxed);
    }

    pub(crate) fn ran_unwatched(&self, took: u64) {
        self.unwatched.fetch_max(took, Ordering::Relaxed);
    }

    /// By the grace-period thread: takes the longest time of its callbacks since the last call.
    pub(crate) fn take_unwatched(&self) -> Duration {
        // A load first: with most executors the time is always zero.
        match self.unwatched.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(self.unwatched.swap(0, Ordering::Relaxed)),
        }
    }

    /// Returns what may be stuck:
    /// - all batches that run; if there are none, the oldest that waits for the lock; if there is
    ///   none, the oldest, which delays the others;
    /// - the first async callback, if a drain waits for it.
    fn suspects(&self, awaited: Option<u64>) -> Vec<Arc<Progress>> {
        let watched = self.watched.lock();
        let mut suspects = Vec::new();
        let (mut locking, mut idle) = (None, None);
        for batch in watched.batches.values() {
            // One read of the state: a batch that changes its state now is found all the same.
            // There may be no later look.
            match batch.state() {
                RUNNING => suspects.push(Arc::clone(batch)),
                LOCKING => locking = locking.or(Some(batch)),
                _ => idle = idle.or(Some(batch)),
            }
        }
        if suspects.is_empty() {
            suspects.extend(locking.or(idle).cloned());
        }
        let first = watched.futures.first_key_value();
        let delays_a_drain = first.filter(|(key, _)| Some(key.0) <= awaited);
        suspects.extend(delays_a_drain.map(|(_, future)| Arc::clone(future)));
        suspects
    }

    /// Returns what has been stuck for `timeout`, and the time until the next look (`None`: when
    /// new work is handed out). Drains wait for the tickets up to `awaited`.
    pub(crate) fn check(
        &self,
        timeout: Duration,
        awaited: Option<u64>,
    ) -> (Vec<Finding>, Option<Duration>) {
        let now = nanos(self.start, Instant::now());
        let last_slice = self.last_slice.load(Ordering::Relaxed);
        let mut findings = Vec::new();
        let mut next = u64::MAX;
        for progress in self.suspects(awaited) {
            let state = progress.state();
            let mut since = progress.since();
            if matches!(state, IDLE | LOCKING) {
                // Waiting behind work that makes progress is not a stall.
                since = since.max(last_slice);
            }
            let due = due(&progress, since, timeout);
            if due > now {
                next = next.min(due);
                continue;
            }
            let stuck = match state {
                IDLE => Stuck::Batch,
                LOCKING => Stuck::Lock,
                ASYNC => Stuck::Async,
                _ => match progress.thread() {
                    Some(thread) => Stuck::Callback(thread),
                    None => continue,
                },
            };
            findings.push(Finding {
                stuck,
                age: Duration::from_nanos(now - since),
                repeated: count_report(&progress, since),
            });
            next = next.min(self::due(&progress, since, timeout));
        }
        let next = (next != u64::MAX).then(|| Duration::from_nanos(next.saturating_sub(now)));
        (findings, next)
    }
}

/// Returns the age of a stall at its next report, after so many reports: 1, 3, 7, 15 timeouts.
pub(crate) fn after_reports(timeout: Duration, reports: u32) -> Duration {
    let times = 2u32.checked_pow(reports + 1).map_or(u32::MAX, |n| n - 1);
    timeout.saturating_mul(times)
}

/// Returns when a state that began at `since` is next reported.
fn due(progress: &Progress, since: u64, timeout: Duration) -> u64 {
    let reports = match progress.reported.load(Ordering::Relaxed) == since {
        true => progress.reports.load(Ordering::Relaxed),
        false => 0,
    };
    since.saturating_add(saturated(after_reports(timeout, reports)))
}

/// Counts a report, and returns how many were made before.
fn count_report(progress: &Progress, since: u64) -> u32 {
    if progress.reported.swap(since, Ordering::Relaxed) != since {
        progress.reports.store(0, Ordering::Relaxed);
    }
    progress.reports.fetch_add(1, Ordering::Relaxed)
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    fn find(watch: &Watch, awaited: Option<u64>) -> Finding {
        loop {
            let (mut findings, next) = watch.check(SHORT, awaited);
            if let Some(finding) = findings.pop() {
                return finding;
            }
            std::thread::sleep(next.expect("a time to look again"));
        }
    }

    #[test]
    fn each_state_is_found_and_the_pauses_double() {
        let watch = Watch::new();
        assert!(watch.check(SHORT, Some(9)).1.is_none());
        let batch = watch.add(None);
        let found = find(&watch, None);
        assert!(matches!(found.stuck, Stuck::Batch) && found.age >= SHORT);
        assert_eq!((found.repeated, find(&watch, None).repeated), (0, 1));
        assert!(find(&watch, None).age >= 7 * SHORT);

        batch.waits_for_lock();
        assert!(matches!(find(&watch, None).stuck, Stuck::Lock));
        batch.runs(Instant::now());
        let here = std::thread::current().id();
        assert!(matches!(find(&watch, None).stuck, Stuck::Callback(t) if t.id() == here));
        batch.next_callback(Instant::now());
        assert_eq!(find(&watch, None).repeated, 0, "another callback");
        watch.remove(&batch);
        assert!(watch.check(SHORT, Some(9)).1.is_none());
    }

    #[test]
    fn what_waits_behind_progress_is_not_stuck() {
        let watch = Watch::new();
        let _waits = [watch.add(None), watch.add(None)];
        find(&watch, None);
        watch.made_progress(Instant::now());
        let (found, next) = watch.check(Duration::from_secs(3600), None);
        assert!(found.is_empty() && next.is_some());
    }

    #[test]
    fn an_async_callback_may_take_its_time_until_a_drain_waits() {
        let watch = Watch::new();
        let _future = watch.add(Some(2));
        assert!(watch.check(Duration::ZERO, None).0.is_empty());
        assert!(watch.check(Duration::ZERO, None).1.is_none());
        assert!(watch.check(Duration::ZERO, Some(1)).0.is_empty());
        assert!(matches!(find(&watch, Some(2)).stuck, Stuck::Async));
    }
}
