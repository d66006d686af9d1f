//! What becomes of the work that was handed out, so that what gets nowhere is noticed.
//!
//! # States of an entry
//! `idle` (given to an executor, or between two time slices) `-> locking` (waits for the global lock) `-> running` (on a thread)
//! `-> idle`, by whoever polls the batch; async callbacks are `pending` all their life. `since` is when the entry came
//! into its state; while callbacks run, when the present one began. An entry goes with what it stands for.
//!
//! The grace-period thread looks at the entries when a timer tells it to. All fields are written Relaxed: a report may be
//! wrong by what happens at that moment.

use crate::sys::prim::{AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    all: BTreeMap<u64, Arc<Entry>>,
}

/// One batch, or one async callback.
#[derive(Debug)]
pub(crate) struct Entry {
    id: u64,
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

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            entries: Mutex::new(Entries::default()),
            progress: AtomicU64::new(0),
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn add(&self, state: u8) -> Arc<Entry> {
        let now = self.nanos(Instant::now());
        let mut entries = self.entries.lock();
        let id = entries.next;
        entries.next += 1;
        let entry = Arc::new(Entry {
            id,
            state: AtomicU8::new(state),
            since: AtomicU64::new(now),
            thread: Mutex::new(None),
            told: AtomicU64::new(u64::MAX),
            repeated: AtomicU32::new(0),
        });
        entries.all.insert(id, Arc::clone(&entry));
        entry
    }

    /// A batch, on its way to an executor.
    pub(super) fn batch(&self) -> Arc<Entry> {
        self.add(IDLE)
    }

    /// An async callback.
    pub(super) fn future(&self) -> Arc<Entry> {
        self.add(PENDING)
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let gone = self.entries.lock().all.remove(&entry.id);
        drop(gone);
    }

    /// In the child of a fork: only these are left.
    pub(super) fn keep(&self, left: &[u64]) {
        let mut entries = self.entries.lock();
        let all = std::mem::take(&mut entries.all);
        let (left, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(id, _)| left.contains(id));
        entries.all = left;
        drop(entries);
        drop(gone);
    }

    fn enter(&self, entry: &Entry, state: u8, at: Instant) {
        let now = self.nanos(at);
        entry.since.store(now, Ordering::Relaxed);
        entry.state.store(state, Ordering::Relaxed);
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

    /// What may be stuck: every batch that runs, or else the oldest that waits for the lock, or else the oldest that is not
    /// polled (what is in front holds up what is behind); and the oldest async callback, if that matters.
    fn suspects(&self, drained: bool) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock();
        let in_state = |state: u8| {
            let all = entries.all.values();
            all.filter(move |entry| entry.state.load(Ordering::Relaxed) == state)
        };
        let mut suspects: Vec<_> = in_state(RUNNING).cloned().collect();
        if suspects.is_empty() {
            let waits = in_state(LOCKING).next().or_else(|| in_state(IDLE).next());
            suspects.extend(waits.cloned());
        }
        if drained {
            suspects.extend(in_state(PENDING).next().cloned());
        }
        suspects
    }

    /// What has been stuck for `timeout`, and when to look again; `None`: when something new was handed out. Async
    /// callbacks may take their time, unless `drained` is waited for.
    pub(crate) fn check(
        &self,
        timeout: Duration,
        drained: bool,
    ) -> (Vec<Finding>, Option<Duration>) {
        let now = self.nanos(Instant::now());
        let progress = self.progress.load(Ordering::Relaxed);
        let mut due_now = Vec::new();
        let mut next = u64::MAX;
        for entry in self.suspects(drained) {
            let state = entry.state.load(Ordering::Relaxed);
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
    pub(super) fn id(&self) -> u64 {
        self.id
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

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    /// Looks until something is found.
    fn find(watch: &Watch, drained: bool) -> Finding {
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
        assert!(watch.check(SHORT, true).1.is_none());
        let entry = watch.batch();
        let found = find(&watch, false);
        assert!(matches!(found.stuck, Stuck::Batch) && found.age >= SHORT);
        assert_eq!((found.repeated, find(&watch, false).repeated), (0, 1));
        assert!(find(&watch, false).age >= 7 * SHORT);

        watch.waits_for_lock(&entry);
        assert!(matches!(find(&watch, false).stuck, Stuck::Lock));
        watch.runs(&entry, Instant::now());
        let here = std::thread::current().id();
        assert!(matches!(find(&watch, false).stuck, Stuck::Callback(t) if t.id() == here));
        watch.goes_on(&entry, Instant::now());
        assert_eq!(find(&watch, false).repeated, 0, "another callback");
        watch.remove(&entry);
        assert!(watch.check(SHORT, true).1.is_none());
    }

    #[test]
    fn what_waits_behind_progress_is_not_stuck() {
        let watch = Watch::new();
        let (front, _behind) = (watch.batch(), watch.batch());
        find(&watch, false);
        watch.rests(&front, Instant::now());
        let (found, next) = watch.check(Duration::from_secs(3600), false);
        assert!(found.is_empty() && next.is_some());
    }

    #[test]
    fn an_async_callback_may_take_its_time_until_a_drain_waits() {
        let watch = Watch::new();
        let _future = watch.future();
        assert!(watch.check(Duration::ZERO, false).0.is_empty());
        assert!(watch.check(Duration::ZERO, false).1.is_none());
        assert!(matches!(find(&watch, true).stuck, Stuck::Async));
    }
}
