//! A chunk of a queue, and the [`Home`] to which it goes back.
//!
//! # Life of a chunk
//! 1. The producer takes a chunk from its [`Stock`](super::stock::Stock) or makes one, and writes
//!    callbacks into its words until the chunk is *filled*: the next callback might not fit.
//! 2. Finishers consume the callbacks. The words stay as they are, so a callback that empties a box
//!    leaves the box in its words. `left` counts the words down.
//! 3. The finisher of the last word gives the chunk back to its home, or frees it.
//!
//! A finisher frees the boxes of a chunk instead of giving them back, if so many bytes are kept
//! already.

use super::boxes::EmptyBox;
use super::inbox::Inbox;
use super::{Callback, MOST_WORDS, Word};
use crate::sys::prim::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

crate::sys::prim::model_const! {
    /// Words of a chunk. A chunk takes two kilobytes.
    pub(super) const WORDS: usize = 248, loom 7;
    /// Chunks that a thread keeps. The others are freed.
    const CHUNKS: usize = 256, loom 2;
}

/// Bytes of empty boxes that a thread keeps, and that all threads of a domain keep together. Each
/// may be exceeded by the boxes of a chunk for each thread.
const THREAD_MOST: u64 = 1024 * 1024;
const DOMAIN_MOST: usize = 32 * 1024 * 1024;

/// What the queues of a domain share.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// The bytes of the empty boxes in chunks that were given back, and on the shelves of stocks.
    pub(super) kept: AtomicUsize,
    /// A producer has filled many chunks: the next collection is not to wait.
    pub(super) hurried: AtomicBool,
    /// Callbacks have left empty boxes, or an empty chunk, since the last
    /// [`take_left`](Self::take_left).
    left: AtomicBool,
}

impl Common {
    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed)
    }

    /// Returns whether memory has come back since the last call.
    pub(crate) fn take_left(&self) -> bool {
        self.left.load(Ordering::Relaxed) && self.left.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_left(&self) {
        if !self.left.load(Ordering::Relaxed) {
            self.left.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the wish for an early collection away, before one.
    pub(crate) fn calm(&self) {
        if self.is_hurried() {
            self.hurried.store(false, Ordering::Relaxed);
        }
    }
}

/// Where consumed chunks of a queue go, and what is counted of them. Finishers write it.
#[derive(Debug)]
pub(super) struct Home {
    /// The number of callbacks that have finished.
    finished: CachePadded<AtomicU64>,
    /// The bytes of the boxes that callbacks have left, but for those that were freed before a
    /// holder of the stock had them.
    came: AtomicU64,
    /// The bytes of the boxes that a holder of the stock has used again or freed. Only it writes.
    pub(super) gone: CachePadded<AtomicU64>,
    /// A stack of chunks that were given back, linked by `next`. Finishers put chunks in. The
    /// holder of the stock takes all at once, so that no chunk is taken twice.
    returned: CachePadded<AtomicPtr<Chunk>>,
    /// The number of chunks in `returned`, and of those that the stock has.
    pub(super) chunks: AtomicUsize,
    pub(super) common: &'static Common,
    pub(super) inbox: Inbox,
}

impl Home {
    pub(super) fn new(common: &'static Common) -> Self {
        Self {
            finished: CachePadded::new(AtomicU64::new(0)),
            came: AtomicU64::new(0),
            gone: CachePadded::new(AtomicU64::new(0)),
            returned: CachePadded::new(AtomicPtr::new(ptr::null_mut())),
            chunks: AtomicUsize::new(0),
            common,
            inbox: Inbox::default(),
        }
    }

    /// Returns how many callbacks have finished. Acquire: all that they did comes before this.
    pub(super) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire)
    }

    /// Sets the count of finished callbacks to 0. There is no finisher.
    pub(super) fn reset(&self) {
        self.finished.store(0, Ordering::Relaxed);
    }

    /// Returns how many bytes of empty boxes there are.
    pub(super) fn kept_bytes(&self) -> u64 {
        // `gone` is read first, so it is mostly at most `came`.
        let gone = self.gone.load(Ordering::Relaxed);
        self.came.load(Ordering::Relaxed).saturating_sub(gone)
    }

    /// Returns whether memory has come back.
    pub(super) fn has_memory(&self) -> bool {
        self.kept_bytes() != 0 || self.chunks.load(Ordering::Relaxed) != 0
    }

    /// Takes the boxes of consumed words before `end` out of a chunk that was not given back.
    ///
    /// # Safety
    /// As [`Chunk::empty`].
    pub(super) unsafe fn empty_part(&self, chunk: &Chunk, end: usize, take: impl FnMut(EmptyBox)) {
        // SAFETY: passed on.
        let freed = unsafe { chunk.empty(end, take) };
        self.came.fetch_sub(freed as u64, Ordering::Relaxed);
    }

    /// Takes a consumed chunk back, or frees it.
    ///
    /// # Safety
    /// All its words are consumed, and only the caller has it.
    unsafe fn take_back(&self, chunk: NonNull<Chunk>) {
        // SAFETY: only the caller has the chunk.
        let consumed = unsafe { chunk.as_ref() };
        let is_full = self.chunks.fetch_add(1, Ordering::Relaxed) >= CHUNKS;
        let bytes = consumed.bytes();
        let keep = !is_full
            && self.kept_bytes() <= THREAD_MOST
            && self.common.kept.load(Ordering::Relaxed) + bytes <= DOMAIN_MOST;
        if bytes != 0 && keep {
            self.common.kept.fetch_add(bytes, Ordering::Relaxed);
        } else if bytes != 0 {
            // SAFETY: the words are consumed, and only the caller has the chunk.
            unsafe { self.empty_part(consumed, consumed.used(), EmptyBox::free) };
        }
        if is_full {
            self.chunks.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: the chunk comes from a box, and the caller has it alone.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
            return;
        }
        let mut first = self.returned.load(Ordering::Relaxed);
        loop {
            consumed.next.store(first, Ordering::Relaxed);
            let put = self.returned.compare_exchange(
                first,
                chunk.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match put {
                Ok(_) => break,
                Err(now) => first = now,
            }
        }
        self.common.note_left();
    }

    /// Takes all chunks that were given back, linked by `next`. For the holder of the stock.
    pub(super) fn take_returned(&self) -> *mut Chunk {
        if self.returned.load(Ordering::Relaxed).is_null() {
            return ptr::null_mut();
        }
        // Acquire pairs with the finisher's Release: the words are consumed.
        self.returned.swap(ptr::null_mut(), Ordering::Acquire)
    }
}

/// Callbacks in the words of a chunk, one after another. The producer *fills* the chunk until the
/// next callback might not fit.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) next: AtomicPtr<Chunk>,
    /// The number of all callbacks up to the last one in this chunk, or 0: not yet known.
    pub(super) end: AtomicU64,
    /// The words that the callbacks take, if `end` is known.
    used: AtomicUsize,
    /// Words that are not consumed.
    left: AtomicUsize,
    /// The bytes of the empty boxes in consumed words.
    bytes: AtomicUsize,
    /// Consumed words before this one hold no box any more. Moved by the thread that takes boxes
    /// out, which has the chunk alone, or has the consumed words alone.
    emptied: AtomicUsize,
    home: &'static Home,
    words: [UnsafeCell<Word>; WORDS],
}

impl Chunk {
    pub(super) fn boxed(home: &'static Home) -> NonNull<Chunk> {
        NonNull::from(Box::leak(Box::new(Chunk {
            next: AtomicPtr::new(ptr::null_mut()),
            end: AtomicU64::new(0),
            used: AtomicUsize::new(0),
            left: AtomicUsize::new(WORDS),
            bytes: AtomicUsize::new(0),
            emptied: AtomicUsize::new(0),
            home,
            words: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
        })))
    }

    /// Writes a callback, and returns the word after it.
    ///
    /// # Safety
    /// The words from `at` on hold no callbacks, no other thread touches them, and they are enough.
    #[inline(always)]
    pub(super) unsafe fn write(&self, at: usize, callback: Callback) -> usize {
        let words = callback.words();
        // One look at the bounds for all words.
        let room = &self.words[at..at + MOST_WORDS];
        callback.into_words(|n, word| {
            // SAFETY: passed on.
            room[n].with_mut(|at| unsafe { *at = word });
        });
        at + words
    }

    /// Returns whether the words from `at` on may be too few for a callback.
    #[inline(always)]
    pub(super) const fn is_full(at: usize) -> bool {
        at > WORDS - MOST_WORDS
    }

    /// Notes that the chunk is filled up to word `used`, with callback number `end`.
    pub(super) fn fill(&self, next: NonNull<Chunk>, used: usize, end: u64) {
        self.next.store(next.as_ptr(), Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
    }

    /// # Safety
    /// The word is written, and no other thread writes it.
    #[inline(always)]
    pub(super) unsafe fn read(&self, at: usize) -> Word {
        // SAFETY: passed on.
        self.words[at].with(|word| unsafe { *word })
    }

    /// Returns how many bytes the empty boxes in the chunk have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes the empty boxes out of the consumed words before `end`, and returns their bytes.
    ///
    /// # Safety
    /// These words are consumed, which comes before this, and no other thread takes their boxes.
    pub(super) unsafe fn empty(&self, end: usize, mut take: impl FnMut(EmptyBox)) -> usize {
        let mut at = self.emptied.load(Ordering::Relaxed);
        let mut bytes = 0;
        // A chunk without boxes is not read.
        if self.bytes() != 0 {
            while at < end {
                // SAFETY: the callback was consumed, and its box is taken once: `emptied` moves on.
                let (words, left) = unsafe { Callback::left_box(|n| self.read(at + n)) };
                at += words;
                if let Some(left) = left {
                    bytes += left.layout.bytes();
                    take(left);
                }
            }
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.emptied.store(end, Ordering::Relaxed);
        bytes
    }

    pub(super) fn inbox(&self) -> &'static Inbox {
        &self.home.inbox
    }

    /// Returns how many words the callbacks of a filled chunk take.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Makes the chunk as new.
    ///
    /// # Safety
    /// The caller has the chunk alone. Its words are consumed, and their boxes were taken.
    pub(super) unsafe fn renew(&self) {
        debug_assert_eq!(self.bytes(), 0);
        self.emptied.store(0, Ordering::Relaxed);
        self.left.store(WORDS, Ordering::Relaxed);
        self.end.store(0, Ordering::Relaxed);
        self.next.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Counts `words` as consumed, with `callbacks` in them, and gives the chunk back with its last
    /// word. `bytes`: those of the boxes that the callbacks have left.
    ///
    /// # Safety
    /// Each word is counted once, after its callback was consumed. The caller does not use `this`
    /// again.
    pub(super) unsafe fn consumed(
        this: NonNull<Chunk>,
        words: usize,
        callbacks: usize,
        bytes: usize,
    ) {
        // SAFETY: the words are not counted yet, so the chunk is still there (invariant 3 of the
        // queue).
        let (home, last) = unsafe {
            let chunk = this.as_ref();
            if bytes != 0 {
                chunk.bytes.fetch_add(bytes, Ordering::Relaxed);
                chunk.home.came.fetch_add(bytes as u64, Ordering::Relaxed);
                chunk.home.common.note_left();
            }
            // AcqRel: the finisher that counts the last word comes after all other finishers.
            (chunk.home, chunk.left.fetch_sub(words, Ordering::AcqRel) == words)
        };
        if last {
            // SAFETY: all words are consumed, and only this thread has the chunk: the producer and
            // the collector are past it (invariant 2 of the queue).
            unsafe { home.take_back(this) };
        }
        // Release: pairs with `finished`.
        home.finished.fetch_add(callbacks as u64, Ordering::Release);
    }
}
