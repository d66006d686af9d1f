//! The reader word: the one thing that a section writes.

use super::location::{OpenedAt, Origin, Place};
use super::sequence::{Seq, Sequence};
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicU64, Ordering};

const IDLE: u64 = 0;

/// 0, or the sequence that the open section saw; and a sign of who opened it, which is nothing in release builds.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64, OpenedAt);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(IDLE), OpenedAt::new())
    }

    /// Whether a section is open, asked by the only thread that opens and closes it.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) != IDLE
    }

    /// Opens the section.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn open(&self, sequence: &Sequence) {
        self.1.put(Place::here());
        self.renew(sequence);
    }

    /// Opens the section, or moves an open one to now. Never passes 0.
    ///
    /// The fence pairs with the heavy one of a grace period's start. Either this store is seen by the scan behind that
    /// fence, which then waits, unless the number is so new that its Acquire load already saw what was unlinked; or
    /// every load of the section comes after that fence, and sees what was unlinked before it.
    ///
    /// The store is Release because the word may be one that another section left earlier: a scan that reads this number
    /// instead of that section's 0 must still see the end of its accesses.
    #[inline(always)]
    pub(crate) fn renew(&self, sequence: &Sequence) {
        let newest = sequence.newest_raw();
        delay::at(Window::Entering);
        self.0.store(newest, Ordering::Release);
        barrier::light();
        delay::at(Window::Entered);
    }

    /// Closes the section.
    ///
    /// Release: the scan that reads this 0 comes after every access of the section. The fence pairs with the heavy one
    /// of a sleep: either the sleeper then sees this 0, or the caller's look at `asked`, which must follow, sees the
    /// word there.
    #[inline(always)]
    pub(crate) fn close(&self) {
        delay::at(Window::Leaving);
        self.0.store(IDLE, Ordering::Release);
        barrier::light();
        delay::at(Window::Left);
    }

    /// Where it was opened. After [`holds`](Self::holds): then of that section, or a later one.
    pub(crate) fn origin(&self) -> Origin {
        self.1.read()
    }

    /// What the open section saw, for a scan. Acquire: pairs with both stores above.
    #[inline(always)]
    pub(crate) fn holds(&self) -> Option<Seq> {
        match self.0.load(Ordering::Acquire) {
            IDLE => None,
            raw => Some(Seq::from_raw(raw)),
        }
    }
}
