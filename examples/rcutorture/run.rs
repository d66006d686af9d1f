//! The state that all threads and tasks of a run share: when to stop, counts, times and findings.

use super::args::Args;
use super::latency::{Kind, Latencies};
use super::random::Random;
use super::watch::Watch;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The number of grace periods that an element goes through before it is freed.
pub(super) const STAGES: u64 = 10;

/// The number of ages that are counted: 0, removed, one for each stage, and one for all ages that
/// no element can have.
pub(super) const AGES: usize = STAGES as usize + 3;

/// The number of findings that are kept as a text; all findings are counted.
const KEPT: usize = 50;

#[derive(Debug)]
pub(crate) struct Run {
    pub(super) args: Args,
    stop: AtomicBool,
    pub(super) ages: [AtomicU64; AGES],
    pub(super) reads: AtomicU64,
    pub(super) updates: AtomicU64,
    pub(super) board: Board,
    pub(super) latencies: Latencies,
    pub(super) watch: Watch,
}

impl Run {
    pub(super) fn new(args: Args) -> Arc<Run> {
        Arc::new(Run {
            watch: Watch::new(Duration::from_secs(args.hang)),
            args,
            stop: AtomicBool::new(false),
            ages: std::array::from_fn(|_| AtomicU64::new(0)),
            reads: AtomicU64::new(0),
            updates: AtomicU64::new(0),
            board: Board::default(),
            latencies: Latencies::new(),
        })
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn random(&self, stream: u64) -> Random {
        Random::new(self.args.seed, stream)
    }

    pub(super) fn updated(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins a wait of the caller for a domain; its length is recorded as `kind`.
    pub(super) fn waits(&self, domain: &str, kind: Kind) -> Waiting<'_> {
        self.waits_for(domain, kind.name(), Some(kind))
    }

    /// Begins a wait of the caller for a domain; its length is recorded if there is a `kind`.
    pub(super) fn waits_for(
        &self,
        domain: &str,
        what: &'static str,
        kind: Option<Kind>,
    ) -> Waiting<'_> {
        Waiting { run: self, id: self.watch.begin(domain, what), kind, began: Instant::now() }
    }
}

/// A wait that the watchdog watches; the wait ends when this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    run: &'a Run,
    id: u64,
    kind: Option<Kind>,
    began: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(kind) = self.kind {
            self.run.latencies.record(kind, self.began.elapsed());
        }
        self.run.watch.end(self.id);
    }
}

/// The findings of a run.
#[derive(Debug, Default)]
pub(super) struct Board {
    errors: AtomicU64,
    texts: Mutex<Vec<String>>,
    alarm: Condvar,
}

impl Board {
    /// Adds a finding.
    pub(super) fn report(&self, what: impl fmt::Display) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut texts = self.texts();
        if texts.len() < KEPT {
            texts.push(what.to_string());
        }
        drop(texts);
        self.alarm.notify_all();
    }

    /// Adds a finding if the condition does not hold.
    pub(super) fn expect<D: fmt::Display>(&self, holds: bool, what: impl FnOnce() -> D) {
        if !holds {
            self.report(what());
        }
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(super) fn texts(&self) -> MutexGuard<'_, Vec<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first finding, for at most this long.
    pub(super) fn wait(&self, at_most: Duration) {
        let texts = self.texts();
        let none = |texts: &mut Vec<String>| texts.is_empty();
        drop(self.alarm.wait_timeout_while(texts, at_most, none));
    }
}

/// The counts of one reader, which are added to the run's counts now and then. Between two
/// sections a reader must not write to shared memory: such a write would push the reader's late
/// stores out of the buffer.
#[derive(Debug)]
pub(super) struct Tally {
    run: Arc<Run>,
    ages: [u64; AGES],
    reads: u64,
}

impl Tally {
    const FLUSH: u64 = 512;

    pub(super) fn of(run: &Arc<Run>) -> Self {
        Self { run: Arc::clone(run), ages: [0; AGES], reads: 0 }
    }

    /// Counts a read. The section is about to end, and the element that was read has this age.
    #[inline]
    pub(super) fn age(&mut self, age: u64) {
        let last = AGES - 1;
        let age = usize::try_from(age).map_or(last, |age| age.min(last));
        self.ages[age] += 1;
        self.reads += 1;
        if age > 1 {
            self.too_old(age);
        }
        if self.reads == Self::FLUSH {
            self.flush();
        }
    }

    #[cold]
    fn too_old(&self, age: usize) {
        let since = age - 1;
        self.run.board.report(format_args!(
            "a reader saw an element {since} grace period(s) after its removal (age {age})"
        ));
    }

    #[cold]
    pub(super) fn wrong(&self, what: impl fmt::Display) {
        self.run.board.report(what);
    }

    fn flush(&mut self) {
        for (all, own) in self.run.ages.iter().zip(&mut self.ages) {
            if *own != 0 {
                all.fetch_add(std::mem::take(own), Ordering::Relaxed);
            }
        }
        let reads = std::mem::take(&mut self.reads);
        self.run.reads.fetch_add(reads, Ordering::Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush();
    }
}
