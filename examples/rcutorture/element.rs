//! The elements that readers look at. An element knows its age, and is poisoned when it is freed.
//!
//! # The pipe
//! | age | state of the element |
//! |---|---|
//! | 0 | in its cell or slot |
//! | 1 | removed; readers whose sections began before may still have it |
//! | 1 + n | removed n grace periods ago; no reader may have it |
//!
//! The thread that removes an element owns it as a [`Removed`], and passes it on after each grace
//! period. After [`STAGES`] grace periods the element is poisoned and freed. So a reader notices a
//! grace period that ends too early while the memory is still valid, however little too early
//! the grace period ended.

use super::run::{Run, STAGES, Tally};
use async_rcu::Guard;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const MAGIC: u64 = 0x600D_DA7A_600D_DA7A;
const POISON: u64 = 0xDEAD_BEEF_DEAD_BEEF;

/// Counts of a domain's elements.
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

    /// Counts the elements that are not dropped yet.
    pub(super) fn alive(&self) -> u64 {
        let dropped = self.dropped();
        self.created().saturating_sub(dropped)
    }

    /// Counts the stages that all elements have passed.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn in_pipe(&self) -> u64 {
        let freed = self.freed.load(Ordering::Relaxed);
        self.removed.load(Ordering::Relaxed).saturating_sub(freed)
    }

    fn wrong(&self, what: &str) {
        self.run.board.report(format_args!("domain {}: {what}", self.domain));
    }
}

/// A value that readers can check. The words that mark it as alive or dropped are not the first
/// two, which allocators use for their lists of free blocks. The words are atomic, so that reading
/// an element that another thread drops is a finding and not a data race.
#[derive(Debug)]
pub(super) struct Element {
    _of_the_allocator: [u64; 2],
    id: AtomicU64,
    check: AtomicU64,
    age: AtomicU64,
    ledger: Arc<Ledger>,
}

/// The identity that a reader saw at its first look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl Element {
    pub(super) fn new(ledger: &Arc<Ledger>) -> Self {
        // Unique: a later element at the same address has another identity.
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

    /// Takes a reader's first look.
    #[inline]
    pub(super) fn look(&self, tally: &Tally) -> Seen {
        self.id().map_or_else(
            || {
                tally.wrong("a reader found a freed element");
                Seen(POISON)
            },
            Seen,
        )
    }

    /// Looks again, and checks that the element is the same and alive.
    #[inline]
    pub(super) fn look_again(&self, seen: Seen, tally: &Tally) {
        if self.id() != Some(seen.0) {
            tally.wrong("an element was freed, or became another, while a reader had it");
        }
    }

    /// Takes the last look before the section ends, and counts the age.
    #[inline]
    pub(super) fn last_look(&self, seen: Seen, tally: &mut Tally) {
        self.look_again(seen, tally);
        tally.age(self.age.load(Ordering::Relaxed));
    }

    /// Marks the element as removed from its cell or slot.
    pub(super) fn remove(&self) {
        self.ledger.removed.fetch_add(1, Ordering::Relaxed);
        self.grow(0);
    }

    /// Raises the age from `from` to the next. If the element has another age, another thread has
    /// raised it already.
    fn grow(&self, from: u64) {
        let grown = self.age.compare_exchange(from, from + 1, Ordering::Relaxed, Ordering::Relaxed);
        if grown.is_err() {
            self.ledger.wrong(
                "an element went through a stage twice: a callback ran twice, or the library \
                 returned a value twice",
            );
        }
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let id = self.id.swap(POISON, Ordering::Relaxed);
        let check = self.check.swap(POISON, Ordering::Relaxed);
        if check != id ^ MAGIC {
            // The ledger may be freed by now.
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
/// 1. The pointer comes from a box, and only this `Removed` frees it.
/// 2. The element was taken out of its cell or slot before this `Removed` was made or passed on.
///
/// If a `Removed` is dropped, its element leaks, and the run reports a missing element.
#[derive(Debug)]
pub(super) struct Removed {
    element: *mut Element,
    age: u64,
}

// SAFETY: only the `Removed` frees the element, which is `Send` and `Sync`.
unsafe impl Send for Removed {}
// SAFETY: its methods either consume it or only read atomics.
unsafe impl Sync for Removed {}

impl Removed {
    /// Takes an element that the library gave back after a grace period.
    pub(super) fn reclaimed(element: Box<Element>) -> Option<Removed> {
        let removed = Removed { element: Box::into_raw(element), age: 1 };
        // SAFETY: a `Retired` returns its value after a grace period.
        unsafe { removed.elapsed() }
    }

    /// Moves the element on by one stage. After the last stage, frees the element and returns
    /// `None`.
    ///
    /// # Safety
    /// A grace period has elapsed since the element was removed, or since the last call.
    pub(super) unsafe fn elapsed(mut self) -> Option<Removed> {
        // SAFETY: invariant 1.
        let element = unsafe { &*self.element };
        element.grow(self.age);
        element.ledger.passed.fetch_add(1, Ordering::Relaxed);
        self.age += 1;
        if self.age <= STAGES {
            return Some(self);
        }
        // SAFETY: invariant 1; by invariant 2 and the grace period, no reader has the element.
        drop(unsafe { Box::from_raw(self.element) });
        None
    }

    /// Moves the element on by one stage and frees it, whatever stages are left.
    ///
    /// # Safety
    /// As for [`elapsed`](Self::elapsed).
    pub(super) unsafe fn free(self) {
        // SAFETY: the caller keeps the contract of `elapsed`.
        if let Some(last) = unsafe { self.elapsed() } {
            // SAFETY: invariant 1; by invariant 2 and the grace period, no reader has the element.
            drop(unsafe { Box::from_raw(last.element) });
        }
    }

    /// Returns the number of a random stream that no other element or stage has.
    pub(super) fn stream(&self) -> u64 {
        // SAFETY: invariant 1.
        let id = unsafe { &*self.element }.id.load(Ordering::Relaxed);
        id.wrapping_mul(STAGES + 1).wrapping_add(self.age) | 1 << 63
    }
}

/// A plain pointer under RCU, for code that does not use `RcuCell`.
///
/// # Invariants
/// The pointer comes from a box until the slot is emptied, which happens once. An element that was
/// taken out is freed only after a grace period of the domain.
#[derive(Debug)]
pub(super) struct Slot(AtomicPtr<Element>);

impl Slot {
    pub(super) fn new(element: Element) -> Self {
        Self(AtomicPtr::new(Box::into_raw(Box::new(element))))
    }

    /// Returns the current element.
    ///
    /// # Safety
    /// The guard is of the slot's domain, and the slot has not been emptied.
    #[inline]
    pub(super) unsafe fn load<'g>(&self, _guard: &'g impl Guard) -> &'g Element {
        // SAFETY: the invariants; the element was loaded in a section that lasts for 'g.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    pub(super) fn replace(&self, element: Element) -> Removed {
        self.exchange(Box::into_raw(Box::new(element)))
    }

    /// Empties the slot. The caller knows that all readers have ended.
    pub(super) fn empty(&self) -> Removed {
        self.exchange(ptr::null_mut())
    }

    fn exchange(&self, new: *mut Element) -> Removed {
        let element = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: the invariants; an element from the slot comes from a box, and is not freed
        // before it is passed on.
        unsafe { &*element }.remove();
        Removed { element, age: 1 }
    }
}
