//! What a thread has in a domain: its reader word, its nesting count, its owned words.
//!
//! # Invariants
//! 1. The word is opened, moved and closed, and `inner` touched, only by the thread that the record belongs to; both pass
//!    to the next owner through the slots' lock, after the word was read as 0 (Acquire).
//! 2. `inner` counts the sections inside the outermost one, so it is 0 whenever the word is 0. The word itself says that
//!    the outermost is open: the outermost pair writes one word twice and reads `inner` once.
//! 3. A record is never freed.

use super::hub::Hub;
use super::location::Origin;
use super::owned::OwnedWords;
use super::sequence::Seq;
use super::word::Word;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicPtr, Ordering, UnsafeCell};
use std::ptr;

/// The part of a record that a scan reads, and that guards point to.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Reader {
    word: Word,
    inner: UnsafeCell<usize>,
    /// The word here whose section is asked to wake the grace-period thread when it ends. Null: none. Compared, never read
    /// through.
    asked: AtomicPtr<Word>,
    hub: &'static Hub,
    owned: OwnedWords,
}

// SAFETY: `inner`, and the cursor within `owned`, are touched by one thread at a time: invariant 1. The rest is atomic.
unsafe impl Sync for Reader {}
// SAFETY: nothing in it belongs to a particular thread for good; the raw pointers lead to memory that is never freed.
unsafe impl Send for Reader {}

impl Reader {
    pub(super) fn new(hub: &'static Hub) -> Self {
        Self {
            word: Word::new(),
            inner: UnsafeCell::new(0),
            asked: AtomicPtr::new(ptr::null_mut()),
            hub,
            owned: OwnedWords::new(),
        }
    }

    pub(crate) fn hub(&self) -> &'static Hub {
        self.hub
    }

    /// Begins a section, or one more inside the open one.
    ///
    /// # Safety
    /// Only by the thread that the record belongs to, which pairs it with one [`leave`](Self::leave). `hub` is the record's: the
    /// caller has it at hand.
    #[inline(always)]
    #[track_caller]
    pub(crate) unsafe fn enter(&self, hub: &Hub) {
        debug_assert!(std::ptr::eq(hub, self.hub));
        if self.word.is_open() {
            // SAFETY: passed on.
            unsafe { self.enter_inner() }
        } else {
            self.word.open(&hub.sequence);
        }
    }

    #[inline]
    unsafe fn enter_inner(&self) {
        self.inner.with_mut(|inner| {
            // SAFETY: invariant 1.
            let inner = unsafe { &mut *inner };
            match inner.checked_add(1) {
                Some(more) => *inner = more,
                // Only by leaking guards in a loop for centuries; wrapping would end a section that is open.
                None => std::process::abort(),
            }
        });
    }

    /// Ends a section.
    ///
    /// # Safety
    /// As [`enter`](Self::enter), whose pair it is.
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
            self.left(&self.word);
        }
    }

    /// Ends a section of an owned word, on any thread.
    #[inline(always)]
    pub(crate) fn leave_owned(&self, word: &Word) {
        word.close();
        self.left(word);
    }

    /// Behind the fence of [`Word::close`] or [`Word::renew`]: does somebody sleep on what just ended?
    #[inline(always)]
    fn left(&self, word: &Word) {
        if self.will_wake(word) {
            self.wake_scanner();
        }
    }

    #[cold]
    fn wake_scanner(&self) {
        // Taken first: what is asked of another section after the wake must stay. What is taken may be that already: then
        // the sleeper is woken, and asks again.
        if !self.asked.swap(ptr::null_mut(), Ordering::AcqRel).is_null() {
            delay::at(Window::Waking);
            self.hub.event.set();
        }
    }

    /// Claims an owned word and opens its section.
    ///
    /// # Safety
    /// Only by the thread that the record belongs to. `hub` is the record's.
    #[inline(always)]
    #[track_caller]
    pub(crate) unsafe fn claim(&self, hub: &Hub) -> &'static Word {
        debug_assert!(std::ptr::eq(hub, self.hub));
        // SAFETY: passed on.
        unsafe { self.owned.claim(&hub.sequence) }
    }

    /// Moves the open section to now. `false`, and nothing done, where more than one is open.
    ///
    /// # Safety
    /// Only by the thread that the record belongs to, inside a section, with no reference taken in it left.
    pub(crate) unsafe fn refresh(&self) -> bool {
        // SAFETY: invariant 1.
        if self.inner.with(|inner| unsafe { *inner }) != 0 {
            return false;
        }
        self.refresh_owned(&self.word);
        true
    }

    /// Moves the section of an owned word to now; never passes 0, then does what a leaver does.
    pub(crate) fn refresh_owned(&self, word: &Word) {
        word.renew(&self.hub.sequence);
        self.left(word);
    }

    /// Whether the thread is inside a section of its own, asked by that thread.
    pub(crate) fn is_reading(&self) -> bool {
        self.word.is_open()
    }

    /// Where that section was opened.
    pub(crate) fn origin(&self) -> Origin {
        self.word.origin()
    }

    /// Whether the thread's section is asked to end, asked by that thread.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked_owned(&self.word)
    }

    /// Whether the section of an owned word is asked to end, by its holder.
    pub(super) fn is_asked_owned(&self, word: &Word) -> bool {
        word.holds()
            .is_some_and(|seen| self.hub.release.is_asked(seen))
    }

    /// What the section of an owned word saw, by its holder.
    pub(super) fn seen(&self, word: &Word) -> Seq {
        word.holds().unwrap_or(Seq::LAST)
    }

    /// Every open section: what it saw, where it was opened, and whether it is an owned one. For reports.
    pub(crate) fn for_each_section(&self, mut f: impl FnMut(Seq, Origin, bool)) {
        if let Some(seen) = self.word.holds() {
            f(seen, self.word.origin(), false);
        }
        self.owned.for_each(|word| {
            if let Some(seen) = word.holds() {
                f(seen, word.origin(), true);
            }
        });
    }

    /// Every word that may hold a section. For scans.
    #[inline(always)]
    pub(crate) fn for_each_word(&self, mut f: impl FnMut(&Word)) {
        f(&self.word);
        self.owned.for_each(f);
    }

    /// Sleeper: asks to be woken when the section of this word, one of the record's, ends. A heavy fence and another look
    /// at the words must follow.
    pub(crate) fn ask(&self, word: *const Word) {
        self.asked.store(word.cast_mut(), Ordering::Relaxed);
    }

    /// Whether the section of this word is asked to wake the sleeper, and nobody has taken that back.
    #[inline(always)]
    pub(crate) fn will_wake(&self, word: &Word) -> bool {
        ptr::eq(self.asked.load(Ordering::Relaxed), word)
    }

    /// How many owned guards are held.
    pub(crate) fn owned_held(&self) -> usize {
        self.owned.held()
    }

    /// Whether no section is open. Acquire: what follows comes after all of them.
    pub(crate) fn is_idle(&self) -> bool {
        let mut idle = true;
        self.for_each_word(|word| idle &= word.holds().is_none());
        idle
    }

    /// Ends every section of a thread that a fork has left behind.
    ///
    /// # Safety
    /// That thread is gone, nobody enters or claims here any more, and nothing that was read in the sections is used.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: the thread that it belonged to is gone.
        self.inner.with_mut(|inner| unsafe { *inner = 0 });
        self.for_each_word(Word::close);
    }

    /// The thread gives the record up.
    ///
    /// # Safety
    /// Only by the thread that it belongs to, which does not enter or claim here again.
    pub(super) unsafe fn retire(&self) {
        // SAFETY: passed on.
        unsafe { self.owned.retire() }
    }
}
