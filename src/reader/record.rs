//! What a thread has in a domain: its reader word, its owned words, its callback queue.
//!
//! # Invariants
//! 1. Only the thread that the record belongs to opens, moves and closes the word and touches
//!    `inner`. The registry's lock passes both to the next owner, after the word was read as 0
//!    (Acquire).
//! 2. `inner` counts the sections inside the outermost one, so it is 0 whenever the word is 0. The
//!    word itself says that the outermost section is open. So the outermost section writes the word
//!    twice, and reads `inner` once.
//! 3. A record is never freed.

use super::location::Opening;
use super::owned::OwnedWords;
use super::release::{Release, ReleaseRequested};
use super::sequence::Seq;
use super::signals::Signals;
use super::word::Word;
use crate::callback::queue::Queue;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicPtr, Ordering, UnsafeCell};
use std::ptr;

#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Record {
    word: Word,
    inner: UnsafeCell<usize>,
    /// The word of this record whose section is to wake the grace-period thread when it ends, or
    /// null. The pointer is compared, and never read through.
    wake_requested: AtomicPtr<Word>,
    signals: &'static Signals,
    owned: OwnedWords,
    /// The record's number in its registry.
    pub(super) index: usize,
    pub(crate) queue: Queue,
}

// SAFETY: one thread at a time touches `inner` (invariant 1) and the cursor within `owned`. The
// queue is `Sync`, and the rest is atomic.
unsafe impl Sync for Record {}
// SAFETY: no part of a record has to stay on one thread. The raw pointers lead to memory that is
// never freed.
unsafe impl Send for Record {}

impl Record {
    pub(super) fn new(signals: &'static Signals, index: usize) -> Self {
        Self {
            word: Word::new(),
            inner: UnsafeCell::new(0),
            wake_requested: AtomicPtr::new(ptr::null_mut()),
            signals,
            owned: OwnedWords::new(),
            index,
            queue: Queue::new(&signals.queues, &signals.event),
        }
    }

    pub(crate) fn signals(&self) -> &'static Signals {
        self.signals
    }

    /// Begins a section, or one more inside the open one.
    ///
    /// # Safety
    /// The record belongs to this thread, which calls [`leave`](Self::leave) once for each call.
    /// `signals` are those of the record. The caller has them, so the hot path does not load them.
    #[inline(always)]
    #[track_caller]
    pub(crate) unsafe fn enter(&self, signals: &Signals) {
        debug_assert!(ptr::eq(signals, self.signals));
        if self.word.is_open() {
            // SAFETY: passed on.
            unsafe { self.enter_inner() }
        } else {
            self.word.open(&signals.sequence);
        }
    }

    #[inline]
    unsafe fn enter_inner(&self) {
        self.inner.with_mut(|inner| {
            // SAFETY: invariant 1.
            let inner = unsafe { &mut *inner };
            match inner.checked_add(1) {
                Some(more) => *inner = more,
                // Only guards leaked for centuries reach this. Wrapping would end an open section.
                None => std::process::abort(),
            }
        });
    }

    /// Ends a section.
    ///
    /// # Safety
    /// The caller ends a section that it began by [`enter`](Self::enter), on the same thread.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self) {
        let outermost = self.inner.with_mut(|inner| {
            // SAFETY: invariant 1.
            let inner = unsafe { &mut *inner };
            match *inner {
                0 => true,
                n => {
                    *inner = n - 1;
                    false
                }
            }
        });
        if outermost {
            self.word.close();
            self.wake_if_requested(&self.word);
        }
    }

    /// Claims an owned word and opens its section.
    ///
    /// # Safety
    /// The record belongs to this thread, and `signals` are those of the record.
    #[inline(always)]
    #[track_caller]
    pub(crate) unsafe fn claim(&self, signals: &Signals) -> &'static Word {
        debug_assert!(ptr::eq(signals, self.signals));
        // SAFETY: passed on.
        unsafe { self.owned.claim(&signals.sequence) }
    }

    /// Ends the section of an owned word, on any thread.
    ///
    /// # Safety
    /// The word was claimed from this record, and the caller alone holds its section.
    #[inline(always)]
    pub(crate) unsafe fn leave_owned(&self, word: &Word) {
        word.close();
        self.wake_if_requested(word);
    }

    /// Wakes the grace-period thread if it sleeps on the section of this word. The caller has
    /// passed the fence of [`Word::close`] or [`Word::renew`].
    #[inline(always)]
    fn wake_if_requested(&self, word: &Word) {
        if self.will_wake(word) {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(&self) {
        // The swap comes first, since the woken thread may make another request, which must stay.
        // If the swap takes a later request, the woken thread makes that again.
        let request = self.wake_requested.swap(ptr::null_mut(), Ordering::AcqRel);
        if !request.is_null() {
            delay::at(Window::Waking);
            self.signals.event.set();
        }
    }

    /// Requests that the section of this record's `word` wakes the grace-period thread when it
    /// ends. That thread must then pass a heavy fence and look at the words again.
    pub(crate) fn request_wake(&self, word: *const Word) {
        self.wake_requested.store(word.cast_mut(), Ordering::Relaxed);
    }

    /// Returns whether the section of this word is to wake the grace-period thread.
    #[inline(always)]
    pub(crate) fn will_wake(&self, word: &Word) -> bool {
        ptr::eq(self.wake_requested.load(Ordering::Relaxed), word)
    }

    /// Moves the thread's section to the present. Returns `false`, and does nothing, if more than
    /// one is open.
    ///
    /// # Safety
    /// The record belongs to this thread, which is inside a section and has no reference from it.
    pub(crate) unsafe fn refresh(&self) -> bool {
        // SAFETY: invariant 1.
        if self.inner.with(|inner| unsafe { *inner }) != 0 {
            return false;
        }
        // SAFETY: passed on.
        unsafe { self.refresh_owned(&self.word) };
        true
    }

    /// Moves the section of a word to the present. The word is never 0 in between.
    ///
    /// # Safety
    /// The word is of this record. The caller alone holds its section, and has no reference from
    /// it.
    pub(crate) unsafe fn refresh_owned(&self, word: &Word) {
        word.renew(&self.signals.sequence);
        self.wake_if_requested(word);
    }

    /// Returns whether the current thread, which owns the record, is inside a section.
    pub(crate) fn is_reading(&self) -> bool {
        self.word.is_open()
    }

    pub(crate) fn opening(&self) -> Opening {
        self.word.opening()
    }

    /// Returns whether the current thread's section is asked to end.
    pub(super) fn is_release_requested(&self) -> bool {
        self.is_owned_release_requested(&self.word)
    }

    /// Returns whether the section of an owned word is asked to end. For its holder.
    pub(super) fn is_owned_release_requested(&self, word: &Word) -> bool {
        word.holds().is_some_and(|seen| self.signals.release.is_requested(seen))
    }

    /// Returns a future that is ready when an owned section is asked to end. For its holder.
    pub(super) fn release_requested(&self, word: &Word) -> ReleaseRequested {
        let release: &'static Release = &self.signals.release;
        ReleaseRequested::new(release, word.holds().unwrap_or(Seq::LAST))
    }

    /// Calls `f` for every open section: what it saw, where it was opened, whether it is owned.
    pub(super) fn for_each_section(&self, mut f: impl FnMut(Seq, Opening, bool)) {
        if let Some(seen) = self.word.holds() {
            f(seen, self.word.opening(), false);
        }
        self.owned.for_each(|word| {
            if let Some(seen) = word.holds() {
                f(seen, word.opening(), true);
            }
        });
    }

    /// Calls `f` for every word that may hold a section. For scans.
    #[inline(always)]
    pub(crate) fn for_each_word(&self, mut f: impl FnMut(&Word)) {
        f(&self.word);
        self.owned.for_each(f);
    }

    pub(crate) fn owned_guards(&self) -> usize {
        self.owned.held()
    }

    /// Returns whether a section is open. Acquire: if not, all of them ended before this.
    pub(super) fn has_section(&self) -> bool {
        self.word.holds().is_some() || self.owned.any_held()
    }

    /// Returns whether no section is open and no callback is unfinished. Acquire.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_section() && self.queue.is_idle()
    }

    /// Ends every section of a thread that does not exist after a fork.
    ///
    /// # Safety
    /// No thread enters or claims here any more, or uses what the sections have read.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: the thread that the record belonged to does not exist.
        self.inner.with_mut(|inner| unsafe { *inner = 0 });
        self.for_each_word(Word::close);
    }

    /// Takes idle owned words out of scans, on any thread.
    pub(crate) fn skip_idle(&self) {
        self.owned.skip_idle(usize::MAX);
    }

    /// Takes idle owned words out of scans.
    ///
    /// # Safety
    /// The record belongs to this thread, which does not enter or claim here again.
    pub(super) unsafe fn retire(&self) {
        // SAFETY: passed on.
        unsafe { self.owned.retire() }
    }
}
