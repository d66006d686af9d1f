//! A thread's queue of callbacks: chunks in a chain, one producer, one collector, no lock, no read-modify-write.
//!
//! # Roles
//! - the *producer*: the thread that the record belongs to. Writes slots and `produced`.
//! - the *collector*: whoever drives the domain, one at a time. Reads `produced`, hands out spans.
//! - *finishers*: whoever runs the spans, any thread. Count `finished` and give chunks back.
//!
//! # Invariants
//! 1. Slots `[collected, produced)`, counted along the chain, hold callbacks that the queue owns. A span owns its own.
//! 2. `next` of a chunk is set before its last slot is published. So the producer does not touch a chunk whose
//!    slots are all published, and the collector finds `next` as soon as it has collected the last slot.
//! 3. A chunk is given back when all its slots were consumed: `left` counts them down from the whole.
//!
//! # Order
//! `produced` is stored with Release after the slot is written, and loaded with Acquire by the collector: it sees the
//! slot, and all that the producer did before it, such as unlinking what the callback will free. `finished` is added
//! to with Release after the callback has run, and loaded with Acquire by whoever concludes from it.

use super::calls::Span;
use super::erased::Callback;
use crate::reader::registry::Local;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

crate::sys::prim::model_const! {
    /// Slots of a chunk. A chunk takes two kilobytes.
    pub(super) const SLOTS: usize = 62, loom 2;
    /// Empty chunks that a queue keeps. It frees the others.
    const SPARES: usize = 16, loom 2;
}

#[derive(Debug)]
pub(super) struct Chunk<C: 'static> {
    next: AtomicPtr<Chunk<C>>,
    left: AtomicUsize,
    queue: &'static Queue<C>,
    pub(super) slots: [UnsafeCell<MaybeUninit<Callback<C>>>; SLOTS],
}

#[derive(Debug)]
struct Tail<C: 'static> {
    chunk: *mut Chunk<C>,
    at: usize,
    produced: u64,
}

#[derive(Debug)]
struct Head<C: 'static> {
    chunk: *mut Chunk<C>,
    at: usize,
    collected: u64,
}

#[derive(Debug)]
pub(crate) struct Queue<C: 'static> {
    /// The producer's.
    tail: CachePadded<UnsafeCell<Tail<C>>>,
    /// Written by the producer, read by the collector.
    produced: CachePadded<AtomicU64>,
    /// The collector's.
    head: CachePadded<UnsafeCell<Head<C>>>,
    /// Where the chain begins, for the first collection.
    first: AtomicPtr<Chunk<C>>,
    /// Empty chunks that finishers left for the producer: a stack, linked by `next`. Only the producer takes from it, so that
    /// the first one stays the first one until it is taken, and its link what it is.
    spare: AtomicPtr<Chunk<C>>,
    /// How many, more or less.
    spares: AtomicUsize,
    finished: CachePadded<AtomicU64>,
}

// SAFETY: `tail` is the producer's and `head` the collector's alone, by the contracts of `push` and `collect`; callbacks
// are `Send` and go from one to the other by Release and Acquire of `produced`.
unsafe impl<C> Sync for Queue<C> {}
// SAFETY: as above.
unsafe impl<C> Send for Queue<C> {}

impl<C: 'static> Queue<C> {
    /// Queues a callback. A light fence and a look at whether the collector sleeps must follow.
    ///
    /// # Safety
    /// Only by the producer.
    #[inline]
    pub(crate) unsafe fn push(&'static self, callback: Callback<C>) {
        self.tail.with_mut(|tail| {
            // SAFETY: the producer's own.
            let tail = unsafe { &mut *tail };
            if tail.chunk.is_null() {
                tail.chunk = self.chunk();
                self.first.store(tail.chunk, Ordering::Relaxed);
            }
            // SAFETY: not all slots of this chunk are published, so it has not been given back (invariants 2, 3).
            let chunk = unsafe { &*tail.chunk };
            // SAFETY: the slot is at or past `produced`: nobody else touches it (invariant 1).
            chunk.slots[tail.at].with_mut(|slot| unsafe {
                (*slot).write(callback);
            });
            tail.at += 1;
            if tail.at == SLOTS {
                let next = self.chunk();
                chunk.next.store(next, Ordering::Relaxed);
                tail.chunk = next;
                tail.at = 0;
            }
            tail.produced += 1;
            delay::at(Window::Publishing);
            self.produced.store(tail.produced, Ordering::Release);
        });
    }

    #[cold]
    fn chunk(&'static self) -> *mut Chunk<C> {
        if let Some(spare) = self.take_spare() {
            return spare.as_ptr();
        }
        Box::into_raw(Box::new(Chunk {
            next: AtomicPtr::new(ptr::null_mut()),
            left: AtomicUsize::new(SLOTS),
            queue: self,
            slots: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
        }))
    }

    /// By the producer.
    fn take_spare(&self) -> Option<NonNull<Chunk<C>>> {
        // Acquire: pairs with the finisher's Release; the slots are empty.
        let mut first = NonNull::new(self.spare.load(Ordering::Acquire))?;
        loop {
            // SAFETY: in the stack, from which only the producer takes and nobody frees.
            let next = unsafe { first.as_ref() }.next.load(Ordering::Relaxed);
            let taken = self.spare.compare_exchange(
                first.as_ptr(),
                next,
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match taken {
                Ok(_) => break,
                Err(now) => first = NonNull::new(now)?,
            }
        }
        self.spares.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: out of the stack: the producer's own.
        unsafe { first.as_ref() }
            .next
            .store(ptr::null_mut(), Ordering::Relaxed);
        Some(first)
    }

    /// By a finisher, which alone has the chunk: all its slots are consumed, the producer and the collector are past it
    /// (invariant 2).
    fn leave_spare(&self, chunk: NonNull<Chunk<C>>) {
        // SAFETY: not freed: the caller has it.
        let empty = unsafe { chunk.as_ref() };
        empty.left.store(SLOTS, Ordering::Relaxed);
        if self.spares.fetch_add(1, Ordering::Relaxed) >= SPARES {
            self.spares.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: from a box, and the caller's alone.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
            return;
        }
        let mut first = self.spare.load(Ordering::Relaxed);
        loop {
            empty.next.store(first, Ordering::Relaxed);
            let left = self.spare.compare_exchange(
                first,
                chunk.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match left {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Whether there is something to collect.
    ///
    /// # Safety
    /// Only by the collector.
    pub(crate) unsafe fn has_more(&self) -> bool {
        // SAFETY: passed on.
        unsafe { self.uncollected() != 0 }
    }

    /// How many callbacks are queued and not collected.
    ///
    /// # Safety
    /// Only by the collector.
    pub(crate) unsafe fn uncollected(&self) -> u64 {
        let produced = self.produced.load(Ordering::Acquire);
        // SAFETY: the collector's own.
        produced - self.head.with(|head| unsafe { (*head).collected })
    }

    /// Takes out everything published so far.
    ///
    /// # Safety
    /// Only by the collector.
    pub(crate) unsafe fn collect(&'static self, mut each: impl FnMut(Span<C>)) {
        self.head.with_mut(|head| {
            // SAFETY: the collector's own.
            let head = unsafe { &mut *head };
            let produced = self.produced.load(Ordering::Acquire);
            while head.collected < produced {
                delay::at(Window::Collecting);
                if head.chunk.is_null() {
                    head.chunk = self.first.load(Ordering::Relaxed);
                }
                let chunk = NonNull::new(head.chunk).expect("published slots are in a chunk");
                let room = SLOTS - head.at;
                let take = usize::try_from(produced - head.collected).map_or(room, |n| n.min(room));
                head.at += take;
                head.collected += take as u64;
                if head.at == SLOTS {
                    // SAFETY: the span of its last slots is not handed out yet, so the chunk is still here (invariant 3);
                    // `next` is set (invariant 2).
                    head.chunk = unsafe { chunk.as_ref() }.next.load(Ordering::Relaxed);
                    head.at = 0;
                    // SAFETY: slots [SLOTS - take, SLOTS) are published and handed out once: `collected` is past them.
                    each(unsafe { Span::new(chunk, SLOTS - take, SLOTS) });
                } else {
                    // SAFETY: likewise [at - take, at).
                    each(unsafe { Span::new(chunk, head.at - take, head.at) });
                }
            }
        });
    }

    /// How many callbacks have finished. Acquire: what they did comes before.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire)
    }

    /// How many callbacks were queued. Acquire.
    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Acquire)
    }
}

impl<C: 'static> Chunk<C> {
    /// A finisher is done with `n` slots: counts them, and gives the chunk back with the last.
    ///
    /// # Safety
    /// Each slot is counted once, after its callback was taken out; `this` is not used after.
    pub(super) unsafe fn consumed(this: NonNull<Chunk<C>>, n: usize) {
        // SAFETY: some of its slots are not counted yet, so it is still here (invariant 3).
        let (queue, last) = unsafe {
            let chunk = this.as_ref();
            // AcqRel: whoever counts the last slot comes after every other reader of the chunk.
            (chunk.queue, chunk.left.fetch_sub(n, Ordering::AcqRel) == n)
        };
        if last {
            queue.leave_spare(this);
        }
        // Release: pairs with `finished`.
        queue.finished.fetch_add(n as u64, Ordering::Release);
    }
}

impl<C: 'static> Local for Queue<C> {
    fn new() -> Self {
        Self {
            tail: CachePadded::new(UnsafeCell::new(Tail {
                chunk: ptr::null_mut(),
                at: 0,
                produced: 0,
            })),
            produced: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(UnsafeCell::new(Head {
                chunk: ptr::null_mut(),
                at: 0,
                collected: 0,
            })),
            first: AtomicPtr::new(ptr::null_mut()),
            spare: AtomicPtr::new(ptr::null_mut()),
            spares: AtomicUsize::new(0),
            finished: CachePadded::new(AtomicU64::new(0)),
        }
    }

    fn is_idle(&self) -> bool {
        self.finished() == self.produced()
    }

    fn reset(&self) {
        // SAFETY: between two domains there is no producer.
        self.tail.with_mut(|tail| unsafe { (*tail).produced = 0 });
        // SAFETY: nor a collector.
        self.head.with_mut(|head| unsafe { (*head).collected = 0 });
        self.produced.store(0, Ordering::Relaxed);
        self.finished.store(0, Ordering::Relaxed);
    }
}
