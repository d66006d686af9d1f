//! Who was freed or run, how often, and under whom: the part of the oracles that works on all threads.
//!
//! Each value and each callback has an [`Entry`]. Before it is taken out of a structure, or queued, the sections that are open then
//! are written into its entry; when it is dropped or runs, the entry looks whether one of them still is. A section ends for
//! this purpose just *before* its guard is dropped, so an honest library never finds one open.
//!
//! What goes wrong on threads of the library is noted on the [`Board`], as a panic there would be caught; whoever drives the test
//! calls [`Board::assert_clean`] after each step.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After this long, what must come is taken for lost.
pub const HANG: Duration = Duration::from_secs(30);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A section as the oracle sees it: open until the last of its guards is about to be dropped.
#[derive(Debug)]
pub struct Section {
    open: AtomicBool,
    guards: AtomicUsize,
}

impl Section {
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicBool::new(true),
            guards: AtomicUsize::new(1),
        })
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// How many guards it has.
    pub fn guards(&self) -> usize {
        self.guards.load(Ordering::Relaxed)
    }

    /// One more guard.
    pub fn nest(&self) {
        self.guards.fetch_add(1, Ordering::Relaxed);
    }

    /// A guard is about to be dropped, or refreshed.
    pub fn leave(&self) {
        if self.guards.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.open.store(false, Ordering::Release);
        }
    }
}

/// Sections that are still open.
pub fn open_among(sections: &[Arc<Section>]) -> usize {
    sections.iter().filter(|section| section.is_open()).count()
}

/// All entries of a run, and what went wrong.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<Vec<Arc<Entry>>>,
    violations: Mutex<Vec<String>>,
    /// Entries that are not done.
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

    /// A value with an entry.
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

    /// Waits until every entry is done, while `pump` does what the test itself owes; then each must be done just once.
    #[track_caller]
    pub fn assert_all_done(&self, mut pump: impl FnMut()) {
        let began = Instant::now();
        while *lock(&self.left) != 0 {
            assert!(
                began.elapsed() < HANG,
                "never freed, or never run: {:?}",
                self.open_entries()
            );
            pump();
            let left = lock(&self.left);
            let _ = self
                .done
                .wait_timeout_while(left, Duration::from_millis(1), |left| *left != 0);
        }
        self.assert_clean();
    }

    fn open_entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = lock(&self.entries).clone();
        entries.retain(|entry| !entry.is_done());
        entries
    }
}

/// A value or a callback: what has become of it.
pub struct Entry {
    id: u64,
    what: &'static str,
    board: std::sync::Weak<Board>,
    /// The sections that may still use it. `None`: not taken out, or not queued.
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

    /// To be called before it is taken out or queued.
    pub fn release(&self, holders: Vec<Arc<Section>>) {
        *lock(&self.holders) = Some(holders);
    }

    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) != 0
    }

    /// Whether a section that it has to wait for is open.
    pub fn is_held(&self) -> bool {
        lock(&self.holders)
            .as_ref()
            .is_some_and(|holders| open_among(holders) != 0)
    }

    /// It is freed, or runs.
    pub fn finish(&self) {
        let Some(board) = self.board.upgrade() else {
            return;
        };
        let held = lock(&self.holders)
            .as_ref()
            .map(|holders| open_among(holders));
        match held {
            None => board.violate(format!("{self:?} ended before anybody let go of it")),
            Some(0) => {}
            Some(held) => board.violate(format!("{self:?} ended under {held} sections")),
        }
        if self.done.fetch_add(1, Ordering::AcqRel) == 0 {
            *lock(&board.left) -= 1;
            board.done.notify_all();
        } else {
            board.violate(format!("{self:?} ended twice"));
        }
    }
}

/// A value that knows when it is dropped.
#[derive(Debug)]
pub struct Value {
    entry: Arc<Entry>,
    id: u64,
    /// Room, so that a freed one is not just a word.
    pub part: [u64; 6],
}

impl Value {
    pub fn new(entry: Arc<Entry>) -> Self {
        let id = entry.id;
        Self {
            entry,
            id,
            part: [id; 6],
        }
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

/// A reference that was read in a section, and what it must show.
pub struct Seen {
    value: &'static Value,
    entry: Arc<Entry>,
}

impl Seen {
    /// # Safety
    /// It is dropped before the section ends that `value` was read in.
    pub unsafe fn new(value: &Value) -> Self {
        let entry = Arc::clone(&value.entry);
        // SAFETY: valid in its section, by the library's word (which is what is tested), and not used behind it, by the caller's.
        let value = unsafe { std::mem::transmute::<&Value, &'static Value>(value) };
        Self { value, entry }
    }

    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Notes it where the value is not what it was. Looks into the entry first, which is there in any case.
    pub fn check(&self) {
        let Some(board) = self.entry.board.upgrade() else {
            return;
        };
        if self.entry.is_done() {
            board.violate(format!("{:?} was freed under a reader", self.entry));
            return;
        }
        if self.value.id != self.entry.id || self.value.part != [self.entry.id; 6] {
            board.violate(format!("{:?} was changed under a reader", self.entry));
        }
    }
}
