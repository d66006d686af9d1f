//! The reader word, which a section writes.

use super::location::{CallSite, OpenedAt, Opening};
use super::sequence::{Seq, Sequence};
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicU64, Ordering};

const IDLE: u64 = 0;

/// 0, or the sequence number that the open section saw, and where the section was opened.
#[derive(Debug)]
pub(crate) struct Word(AtomicU64, OpenedAt);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(IDLE), OpenedAt::new())
    }

    /// Returns whether a section is open. For the thread that opens and closes it.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) != IDLE
    }

    #[inline(always)]
    #[track_caller]
    pub(crate) fn open(&self, sequence: &Sequence) {
        self.1.set(CallSite::current());
        self.renew(sequence);
    }

    /// Opens the section, or moves an open one to the present. The word is never 0 in between.
    ///
    /// The fence pairs with the heavy fence of a grace period's start. One of two things holds:
    /// - The scan after the heavy fence sees this store. It then waits for the section, unless the
    ///   number is so new that the Acquire load already saw what was unlinked.
    /// - Every load of the section comes after the heavy fence, and sees what was unlinked before.
    ///
    /// The store is Release since another section may have used the word before. A scan that reads
    /// this number instead of that section's 0 must still see the end of that section's accesses.
    #[inline(always)]
    pub(crate) fn renew(&self, sequence: &Sequence) {
        let newest = sequence.newest_raw();
        delay::at(Window::Entering);
        self.0.store(newest, Ordering::Release);
        barrier::light();
        delay::at(Window::Entered);
    }

    /// Closes the section. The caller must then look at the record's `wake_requested`.
    ///
    /// Release: a scan that reads this 0 comes after every access of the section. The fence pairs
    /// with the heavy fence of a sleep: either the sleeper sees this 0 after it, or the caller sees
    /// the request.
    #[inline(always)]
    pub(crate) fn close(&self) {
        delay::at(Window::Leaving);
        self.0.store(IDLE, Ordering::Release);
        barrier::light();
        delay::at(Window::Left);
    }

    /// Returns where the section that [`holds`](Self::holds) found, or a later one, was opened.
    pub(crate) fn opening(&self) -> Opening {
        self.1.get()
    }

    /// Returns what the open section saw. For scans. Acquire: pairs with both stores above.
    #[inline(always)]
    pub(crate) fn holds(&self) -> Option<Seq> {
        match self.0.load(Ordering::Acquire) {
            IDLE => None,
            raw => Some(Seq::from_raw(raw)),
        }
    }
}
