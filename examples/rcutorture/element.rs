//! What readers look at: elements that know their age, and are poisoned when freed.
//!
//! # The pipe
//! | age | |
//! |---|---|
//! | 0 | in its place |
//! | 1 | removed: readers that were there before may still have it |
//! | 1 + n | removed n grace periods ago: nobody may have it |
//!
//! Whoever removes an element has it alone, as a [`Removed`], and passes it on after each grace period. After [`STAGES`] of
//! them it is poisoned and freed. So a grace period that ends too early is seen while the memory is still there, and also
//! where it ended so little too early that the element would not have been freed yet.

use super::run::{Run, STAGES, Tally};
use async_rcu::Guard;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const MAGIC: u64 = 0x600D_DA7A_600D_DA7A;
const POISON: u64 = 0xDEAD_BEEF_DEAD_BEEF;

/// What a domain's elements came to.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) run: Arc<Run>,
    pub(super) domain: &'static str,
    created: AtomicU64,
    dropped: AtomicU64,
    removed: AtomicU64,
    freed: AtomicU64,
    passed: AtomicU64,
}

impl Ledger {
    pub(super) fn new(run: &Arc<Run>, domain: &'static str) -> Arc<Self> {
        Arc::new(Self {
            run: Arc::clone(run),
            domain,
            created: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        })
    }

    pub(super) fn created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Elements that are not dropped yet, be they in the pipe or with the library.
    pub(super) fn alive(&self) -> u64 {
        let dropped = self.dropped();
        self.created().saturating_sub(dropped)
    }

    /// Stages passed, by all elements.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn in_pipe(&self) -> u64 {
        let freed = self.freed.load(Ordering::Relaxed);
        self.removed.load(Ordering::Relaxed).saturating_sub(freed)
    }

    fn wrong(&self, what: &str) {
        self.run
            .board
            .report(format_args!("domain {}: {what}", self.domain));
    }
}

/// Knows what it is, and after its drop that it is no more, in words that allocators do not use for lists of free blocks.
/// Atomics, so that looking at one that another thread drops is a finding and not a data race.
#[derive(Debug)]
pub(super) struct Element {
    _of_the_allocator: [u64; 2],
    id: AtomicU64,
    check: AtomicU64,
    age: AtomicU64,
    ledger: Arc<Ledger>,
}

/// What a reader saw first, to compare with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl Element {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Self {
        // Unique: what comes to lie in the same place has another one.
        let id = ledger.created.fetch_add(1, Ordering::Relaxed);
        Self {
            _of_the_allocator: [0; 2],
            id: AtomicU64::new(id),
            check: AtomicU64::new(id ^ MAGIC),
            age: AtomicU64::new(0),
            ledger: Arc::clone(ledger),
        }
    }

    fn id(&self) -> Option<u64> {
        let this = black_box(self);
        let id = this.id.load(Ordering::Relaxed);
        (this.check.load(Ordering::Relaxed) == id ^ MAGIC).then_some(id)
    }

    /// A reader's first look.
    #[inline]
    pub(super) fn look(&self, tally: &Tally) -> Seen {
        self.id().map_or_else(
            || {
                tally.wrong("a reader found an element that was freed");
                Seen(POISON)
            },
            Seen,
        )
    }

    /// Another look: it is the same, and whole.
    #[inline]
    pub(super) fn look_again(&self, seen: Seen, tally: &Tally) {
        if self.id() != Some(seen.0) {
            tally.wrong("an element was freed, or became another, while a reader had it");
        }
    }

    /// The last look before the section ends: the age counts.
    #[inline]
    pub(super) fn last_look(&self, seen: Seen, tally: &mut Tally) {
        self.look_again(seen, tally);
        tally.age(self.age.load(Ordering::Relaxed));
    }

    /// It was taken out of its place.
    pub(super) fn remove(&self) {
        self.ledger.removed.fetch_add(1, Ordering::Relaxed);
        self.grow(0);
    }

    /// From that age to the next; somebody else did that already where it does not have that age.
    fn grow(&self, from: u64) {
        let grown = self
            .age
            .compare_exchange(from, from + 1, Ordering::Relaxed, Ordering::Relaxed);
        if grown.is_err() {
            self.ledger.wrong("an element went through a stage twice: a callback ran twice, or a value was handed out twice");
        }
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let id = self.id.swap(POISON, Ordering::Relaxed);
        let check = self.check.swap(POISON, Ordering::Relaxed);
        if check != id ^ MAGIC {
            // Its ledger may be gone by now.
            self.ledger.wrong("an element was dropped twice");
        }
        let age = self.age.load(Ordering::Relaxed);
        if age != 0 {
            self.ledger.freed.fetch_add(1, Ordering::Relaxed);
        }
        self.ledger.dropped.fetch_add(1, Ordering::Relaxed);
        black_box(&*self);
    }
}

/// A removed element, on its way through the pipe.
///
/// # Invariants
/// 1. The pointer is of a box, and nobody else frees it.
/// 2. It was taken out of its place before this was made, or passed on.
///
/// Dropped on its way, the element is leaked: the run then says that one is missing.
#[derive(Debug)]
pub(super) struct Removed {
    element: *mut Element,
    age: u64,
}

// SAFETY: it is the only way to free the element, which is `Send` and `Sync`.
unsafe impl Send for Removed {}
// SAFETY: gives no access by reference but through methods that consume it or read atomics.
unsafe impl Sync for Removed {}

impl Removed {
    /// From the library, which has waited for one grace period.
    pub(super) fn reclaimed(element: Box<Element>) -> Option<Removed> {
        let removed = Removed {
            element: Box::into_raw(element),
            age: 1,
        };
        // SAFETY: a `Retired` gives its value back after a grace period.
        unsafe { removed.elapsed() }
    }

    /// A grace period has elapsed since it was removed, or since the last time. `None`: it was the last, and it is freed.
    ///
    /// # Safety
    /// That is so.
    pub(super) unsafe fn elapsed(mut self) -> Option<Removed> {
        // SAFETY: invariant 1.
        let element = unsafe { &*self.element };
        element.grow(self.age);
        element.ledger.passed.fetch_add(1, Ordering::Relaxed);
        self.age += 1;
        if self.age <= STAGES {
            return Some(self);
        }
        // SAFETY: invariant 1; a grace period after invariant 2, no reader has it.
        drop(unsafe { Box::from_raw(self.element) });
        None
    }

    /// The same, and it need not go through the rest of the pipe.
    ///
    /// # Safety
    /// As [`elapsed`](Self::elapsed).
    pub(super) unsafe fn free(self) {
        // SAFETY: passed on.
        if let Some(last) = unsafe { self.elapsed() } {
            // SAFETY: invariant 1; a grace period after invariant 2, no reader has it.
            drop(unsafe { Box::from_raw(last.element) });
        }
    }

    /// For a random stream of its own.
    pub(super) fn stream(&self) -> u64 {
        // SAFETY: invariant 1.
        let id = unsafe { &*self.element }.id.load(Ordering::Relaxed);
        id.wrapping_mul(STAGES + 1).wrapping_add(self.age) | 1 << 63
    }
}

/// A plain pointer under RCU, as one has it without `RcuCell`.
///
/// # Invariants
/// Points to an element from a box until that is taken out, once; what is taken out is freed only after a grace period of the
/// domain.
#[derive(Debug)]
pub(super) struct Slot(AtomicPtr<Element>);

impl Slot {
    pub(super) fn new(element: Element) -> Self {
        Self(AtomicPtr::new(Box::into_raw(Box::new(element))))
    }

    /// # Safety
    /// The guard is of the slot's domain, and the slot was not emptied.
    #[inline]
    pub(super) unsafe fn load<'g>(&self, _guard: &'g impl Guard) -> &'g Element {
        // SAFETY: the invariants: loaded in a section, which lasts for 'g.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    pub(super) fn replace(&self, element: Element) -> Removed {
        self.exchange(Box::into_raw(Box::new(element)))
    }

    /// Nobody reads any more.
    pub(super) fn empty(&self) -> Removed {
        self.exchange(ptr::null_mut())
    }

    fn exchange(&self, new: *mut Element) -> Removed {
        let element = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: the invariants: it was in the slot, so it is from a box, and not freed before it is passed on.
        unsafe { &*element }.remove();
        Removed { element, age: 1 }
    }
}
