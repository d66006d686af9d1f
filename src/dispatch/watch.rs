//! What becomes of the work that was handed out, so that what gets nowhere is noticed.
//!
//! # States of an entry
//! `idle` (given to an executor, or between two time slices) `-> locking` (waits for the global lock) `-> running` (on a thread)
//! `-> idle`, by whoever polls the batch; async callbacks are `pending` all their life. `since` is when the entry came
//! into its state; while callbacks run, when the present one began. An entry goes with what it stands for.
//!
//! The grace-period thread looks at the entries when a timer tells it to. Nothing hangs on it: a report may be wrong by what
//! happens at that moment.

use crate::sys::clock::Instant;
use crate::sys::prim::{AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const IDLE: u8 = 0;
const LOCKING: u8 = 1;
const RUNNING: u8 = 2;
const PENDING: u8 = 3;

/// All entries of a domain.
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    entries: Mutex<Entries>,
    /// When some batch last got on.
    progress: AtomicU64,
    /// Nanoseconds of the longest callback that ran on the grace-period thread, where nobody could watch it, since that
    /// thread last asked.
    unwatched: AtomicU64,
}

/// A ticket's number, 0 for batches; and a number that makes it unique.
pub(super) type Key = (u64, u64);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    batches: BTreeMap<Key, Arc<Entry>>,
    /// Async callbacks: those that a drain waits for are in front.
    futures: BTreeMap<Key, Arc<Entry>>,
}

/// One batch, or one async callback.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Key,
    state: AtomicU8,
    /// Nanoseconds after `Watch::start`.
    since: AtomicU64,
    thread: Mutex<Option<Thread>>,
    /// The `since` that was reported, and how often.
    told: AtomicU64,
    repeated: AtomicU32,
}

/// What is stuck.
#[derive(Debug)]
pub(crate) enum Stuck {
    Callback(Thread),
    Batch,
    Lock,
    Async,
}

/// It, and for how long.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) stuck: Stuck,
    pub(crate) age: Duration,
    pub(crate) repeated: u32,
}

impl Entries {
    /// Where an entry in this state is kept: async callbacks never change theirs.
    fn of(&mut self, state: u8) -> &mut BTreeMap<Key, Arc<Entry>> {
        match state {
            PENDING => &mut self.futures,
            _ => &mut self.batches,
        }
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            entries: Mutex::new(Entries::default()),
            progress: AtomicU64::new(0),
            unwatched: AtomicU64::new(0),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn add(&self, state: u8, ticket: u64) -> Arc<Entry> {
        let now = self.nanos(Instant::now());
        let mut entries = self.entries.lock();
        let key = (ticket, entries.next);
        entries.next += 1;
        let entry = Arc::new(Entry {
            key,
            state: AtomicU8::new(state),
            since: AtomicU64::new(now),
            thread: Mutex::new(None),
            told: AtomicU64::new(u64::MAX),
            repeated: AtomicU32::new(0),
        });
        entries.of(state).insert(key, Arc::clone(&entry));
        entry
    }

    /// A batch, on its way to an executor.
    pub(super) fn batch(&self) -> Arc<Entry> {
        self.add(IDLE, 0)
    }

    /// An async callback, with its ticket's number.
    pub(super) fn future(&self, ticket: u64) -> Arc<Entry> {
        self.add(PENDING, ticket)
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let state = entry.state.load(Ordering::Relaxed);
        let gone = self.entries.lock().of(state).remove(&entry.key);
        drop(gone);
    }

    /// In the child of a fork: only these are left.
    pub(super) fn keep(&self, left: &[Key]) {
        let mut entries = self.entries.lock();
        let mut gone = Vec::new();
        let Entries {
            batches, futures, ..
        } = &mut *entries;
        for all in [batches, futures] {
            let (kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(all)
                .into_iter()
                .partition(|(key, _)| left.contains(key));
            *all = kept;
            gone.push(lost);
        }
        drop(entries);
        drop(gone);
    }

    fn enter(&self, entry: &Entry, state: u8, at: Instant) {
        let now = self.nanos(at);
        entry.since.store(now, Ordering::Relaxed);
        // Release: who sees the state sees when it began.
        entry.state.store(state, Ordering::Release);
        if state != LOCKING {
            self.progress.store(now, Ordering::Relaxed);
        }
    }

    pub(super) fn waits_for_lock(&self, entry: &Entry) {
        if entry.state.load(Ordering::Relaxed) != LOCKING {
            self.enter(entry, LOCKING, Instant::now());
        }
    }

    pub(super) fn runs(&self, entry: &Entry, at: Instant) {
        let thread = entry.thread.lock().replace(thread::current());
        drop(thread);
        self.enter(entry, RUNNING, at);
    }

    /// The next callback begins.
    #[inline]
    pub(super) fn goes_on(&self, entry: &Entry, at: Instant) {
        entry.since.store(self.nanos(at), Ordering::Relaxed);
    }

    pub(super) fn rests(&self, entry: &Entry, at: Instant) {
        self.enter(entry, IDLE, at);
    }

    /// A callback on the grace-period thread took so long.
    pub(super) fn ran_unwatched(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.unwatched.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Grace-period thread: how long the longest callback took that it ran since it last asked.
    pub(crate) fn take_unwatched(&self) -> Duration {
        // A load first: with other executors there is never any.
        match self.unwatched.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(self.unwatched.swap(0, Ordering::Relaxed)),
        }
    }

    /// What may be stuck: every batch that runs, or else the oldest that waits for the lock, or else the oldest that is not
    /// polled (what is in front holds up what is behind); and the first async callback up to the ticket that is `drained`.
    fn suspects(&self, drained: Option<u64>) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock();
        let mut suspects = Vec::new();
        let (mut locking, mut idle) = (None, None);
        for entry in entries.batches.values() {
            // Read once: one that changes its state meanwhile is still found in one of them. Nobody might look again for
            // one that is found in none.
            match entry.state.load(Ordering::Relaxed) {
                RUNNING => suspects.push(Arc::clone(entry)),
                LOCKING => locking = locking.or(Some(entry)),
                _ => idle = idle.or(Some(entry)),
            }
        }
        if suspects.is_empty() {
            suspects.extend(locking.or(idle).cloned());
        }
        let awaited = entries.futures.first_key_value();
        suspects.extend(
            awaited
                .filter(|(key, _)| drained.is_some_and(|drained| key.0 <= drained))
                .map(|(_, entry)| Arc::clone(entry)),
        );
        suspects
    }

    /// What has been stuck for `timeout`, and when to look again; `None`: when something new was handed out. Async
    /// callbacks may take their time, but for those up to the ticket that is `drained`.
    pub(crate) fn check(
        &self,
        timeout: Duration,
        drained: Option<u64>,
    ) -> (Vec<Finding>, Option<Duration>) {
        let now = self.nanos(Instant::now());
        let progress = self.progress.load(Ordering::Relaxed);
        let mut due_now = Vec::new();
        let mut next = u64::MAX;
        for entry in self.suspects(drained) {
            let state = entry.state.load(Ordering::Acquire);
            let mut since = entry.since.load(Ordering::Relaxed);
            if matches!(state, IDLE | LOCKING) {
                // Behind others that get on, waiting is nothing wrong.
                since = since.max(progress);
            }
            let due = entry.due(since, timeout);
            if due > now {
                next = next.min(due);
                continue;
            }
            let stuck = match state {
                IDLE => Stuck::Batch,
                LOCKING => Stuck::Lock,
                PENDING => Stuck::Async,
                _ => match entry.thread.lock().clone() {
                    Some(thread) => Stuck::Callback(thread),
                    None => continue,
                },
            };
            due_now.push(Finding {
                stuck,
                age: Duration::from_nanos(now - since),
                repeated: entry.tell(since),
            });
            next = next.min(entry.due(since, timeout));
        }
        let next = (next != u64::MAX).then(|| Duration::from_nanos(next.saturating_sub(now)));
        (due_now, next)
    }
}

/// When what began to be stuck at 0 is reported again after so many reports: at 1, 3, 7, 15 timeouts.
pub(crate) fn after_reports(timeout: Duration, reports: u32) -> Duration {
    let times = 2u32.checked_pow(reports + 1).map_or(u32::MAX, |n| n - 1);
    timeout.saturating_mul(times)
}

impl Entry {
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// When a state that began at `since` is to be reported: after the timeout, and then with doubling pauses.
    fn due(&self, since: u64, timeout: Duration) -> u64 {
        let repeated = match self.told.load(Ordering::Relaxed) == since {
            true => self.repeated.load(Ordering::Relaxed),
            false => 0,
        };
        let after = after_reports(timeout, repeated).as_nanos();
        since.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Notes a report; tells how many there were before.
    fn tell(&self, since: u64) -> u32 {
        if self.told.swap(since, Ordering::Relaxed) != since {
            self.repeated.store(0, Ordering::Relaxed);
        }
        self.repeated.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    /// Looks until something is found.
    fn find(watch: &Watch, drained: Option<u64>) -> Finding {
        loop {
            let (mut findings, next) = watch.check(SHORT, drained);
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
        let entry = watch.batch();
        let found = find(&watch, None);
        assert!(matches!(found.stuck, Stuck::Batch) && found.age >= SHORT);
        assert_eq!((found.repeated, find(&watch, None).repeated), (0, 1));
        assert!(find(&watch, None).age >= 7 * SHORT);

        watch.waits_for_lock(&entry);
        assert!(matches!(find(&watch, None).stuck, Stuck::Lock));
        watch.runs(&entry, Instant::now());
        let here = std::thread::current().id();
        assert!(matches!(find(&watch, None).stuck, Stuck::Callback(t) if t.id() == here));
        watch.goes_on(&entry, Instant::now());
        assert_eq!(find(&watch, None).repeated, 0, "another callback");
        watch.remove(&entry);
        assert!(watch.check(SHORT, Some(9)).1.is_none());
    }

    #[test]
    fn what_waits_behind_progress_is_not_stuck() {
        let watch = Watch::new();
        let (front, _behind) = (watch.batch(), watch.batch());
        find(&watch, None);
        watch.rests(&front, Instant::now());
        let (found, next) = watch.check(Duration::from_secs(3600), None);
        assert!(found.is_empty() && next.is_some());
    }

    #[test]
    fn an_async_callback_may_take_its_time_until_a_drain_waits() {
        let watch = Watch::new();
        let _future = watch.future(2);
        assert!(watch.check(Duration::ZERO, None).0.is_empty());
        assert!(watch.check(Duration::ZERO, None).1.is_none());
        assert!(watch.check(Duration::ZERO, Some(1)).0.is_empty());
        assert!(matches!(find(&watch, Some(2)).stuck, Stuck::Async));
    }
}
