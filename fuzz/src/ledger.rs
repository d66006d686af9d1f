//! The ledger: which values were freed and which callbacks were run, how often, and which sections
//! were open meanwhile. The oracles of all threads share it.
//!
//! Each value and each callback has an [`Entry`]. Before a value is taken out of a structure, or a
//! callback is queued, the test writes the open sections into the entry. When the value is dropped
//! or the callback runs, the entry checks that these sections have ended. For the oracle a section
//! ends just *before* its guard is dropped, so a correct library never finds one open.
//!
//! The library would catch a panic on one of its threads. So an entry writes a violation on the
//! [`Board`], and the test calls [`Board::assert_clean`] after each step.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time after which a test gives up waiting.
pub const HANG: Duration = Duration::from_secs(30);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A section as the oracle sees it: open until its last guard is about to be dropped.
#[derive(Debug)]
pub struct Section {
    open: AtomicBool,
    guards: AtomicUsize,
}

impl Section {
    fn open() -> Arc<Self> {
        Arc::new(Self { open: AtomicBool::new(true), guards: AtomicUsize::new(1) })
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the number of the section's guards.
    pub fn guards(&self) -> usize {
        self.guards.load(Ordering::Relaxed)
    }

    /// Adds a guard.
    pub fn nest(&self) {
        self.guards.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a guard that is about to be dropped or refreshed.
    pub fn leave(&self) {
        if self.guards.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.open.store(false, Ordering::Release);
        }
    }
}

/// The sections of a domain that may be open.
#[derive(Default)]
pub struct Sections(Vec<Arc<Section>>);

impl Sections {
    /// Begins a section.
    pub fn enter(&mut self) -> Arc<Section> {
        let section = Section::open();
        self.0.push(Arc::clone(&section));
        section
    }

    /// Returns the open sections.
    pub fn open(&mut self) -> Vec<Arc<Section>> {
        self.0.retain(|section| section.is_open());
        self.0.clone()
    }
}

/// Counts the open sections among these.
pub fn open_among(sections: &[Arc<Section>]) -> usize {
    sections.iter().filter(|section| section.is_open()).count()
}

/// All entries of a run, and the violations.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<Vec<Arc<Entry>>>,
    violations: Mutex<Vec<String>>,
    /// The number of entries that are not done.
    left: Mutex<usize>,
    done: Condvar,
}

impl Board {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub fn entry(self: &Arc<Self>, what: &'static str) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        let entry = Arc::new(Entry {
            id: entries.len() as u64,
            what,
            board: Arc::downgrade(self),
            holders: Mutex::new(None),
            done: AtomicU32::new(0),
        });
        entries.push(Arc::clone(&entry));
        *lock(&self.left) += 1;
        entry
    }

    /// Makes a value with an entry.
    pub fn value(self: &Arc<Self>) -> Value {
        Value::new(self.entry("value"))
    }

    pub fn violate(&self, what: String) {
        lock(&self.violations).push(what);
    }

    #[track_caller]
    pub fn assert_clean(&self) {
        let violations = lock(&self.violations);
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Waits until every entry is done, and checks that each was done once. Meanwhile calls `pump`,
    /// which runs the batches that the test has to run.
    #[track_caller]
    pub fn assert_all_done(&self, mut pump: impl FnMut()) {
        let began = Instant::now();
        while *lock(&self.left) != 0 {
            assert!(
                began.elapsed() < HANG,
                "after {HANG:?} these are not freed or not run: {:?}",
                self.open_entries()
            );
            pump();
            let left = lock(&self.left);
            let _ = self.done.wait_timeout_while(left, Duration::from_millis(1), |left| *left != 0);
        }
        self.assert_clean();
    }

    fn open_entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = lock(&self.entries).clone();
        entries.retain(|entry| !entry.is_done());
        entries
    }
}

/// The state of a value or of a callback.
pub struct Entry {
    id: u64,
    what: &'static str,
    board: std::sync::Weak<Board>,
    /// The sections that may still use the value. `None` before the value is taken out, or the
    /// callback queued.
    holders: Mutex<Option<Vec<Arc<Section>>>>,
    done: AtomicU32,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.id)
    }
}

impl Entry {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Notes that the value is about to be taken out, or the callback queued, while these sections
    /// are open.
    pub fn release(&self, holders: Vec<Arc<Section>>) {
        *lock(&self.holders) = Some(holders);
    }

    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) != 0
    }

    /// Returns whether a section that the entry has to wait for is open.
    pub fn is_held(&self) -> bool {
        lock(&self.holders).as_ref().is_some_and(|holders| open_among(holders) != 0)
    }

    /// Notes that the value is freed, or that the callback runs.
    pub fn finish(&self) {
        let Some(board) = self.board.upgrade() else {
            return;
        };
        let held = lock(&self.holders).as_ref().map(|holders| open_among(holders));
        match held {
            None => board
                .violate(format!("{self:?} was freed or run before it was taken out or queued")),
            Some(0) => {}
            Some(held) => {
                board.violate(format!("{self:?} was freed or run while {held} sections were open"))
            }
        }
        if self.done.fetch_add(1, Ordering::AcqRel) == 0 {
            *lock(&board.left) -= 1;
            board.done.notify_all();
        } else {
            board.violate(format!("{self:?} was freed or run twice"));
        }
    }
}

/// A value that reports its drop.
#[derive(Debug)]
pub struct Value {
    entry: Arc<Entry>,
    id: u64,
    /// Copies of the number, so that a freed value is more than one word.
    pub part: [u64; 6],
}

impl Value {
    pub fn new(entry: Arc<Entry>) -> Self {
        let id = entry.id;
        Self { entry, id, part: [id; 6] }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.part = [u64::MAX; 6];
        self.entry.finish();
    }
}

/// A reference that was read in a section, with the entry of its value.
pub struct Seen {
    value: &'static Value,
    entry: Arc<Entry>,
}

impl Seen {
    /// # Safety
    /// The caller drops it before the end of the section in which `value` was read.
    pub unsafe fn new(value: &Value) -> Self {
        let entry = Arc::clone(&value.entry);
        // SAFETY: the library promises that the value lives as long as the section (the test checks
        // that), and the caller uses the reference only in the section.
        let value = unsafe { std::mem::transmute::<&Value, &'static Value>(value) };
        Self { value, entry }
    }

    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Reports a value that was freed or changed. Looks at the entry first, since the entry is
    /// alive even if the value is freed.
    pub fn check(&self) {
        let Some(board) = self.entry.board.upgrade() else {
            return;
        };
        if self.entry.is_done() {
            board.violate(format!("{:?} was freed while a reader had it", self.entry));
            return;
        }
        if self.value.id != self.entry.id || self.value.part != [self.entry.id; 6] {
            board.violate(format!("{:?} was changed while a reader had it", self.entry));
        }
    }
}

/// A guard, its section, and the references that were read under the guard.
///
/// # Invariants
/// 1. The references in `seen` were read under `guard`. They are cleared before the guard is
///    dropped or refreshed.
pub struct Held<G> {
    pub seen: Vec<Seen>,
    pub section: Arc<Section>,
    pub guard: G,
}

impl<G> Held<G> {
    pub fn check(&self) {
        self.seen.iter().for_each(Seen::check);
    }

    /// Ends the section by `refresh`, and begins the section `next`.
    pub fn renew(&mut self, refresh: impl FnOnce(&mut G), next: Arc<Section>) {
        self.check();
        self.seen.clear();
        self.section.leave();
        refresh(&mut self.guard);
        self.section = next;
    }
}

impl<G> Drop for Held<G> {
    fn drop(&mut self) {
        // For the oracle the section ends here; the guard is dropped right after this.
        self.check();
        self.seen.clear();
        self.section.leave();
    }
}
