//! A thread's queue of callbacks: a chain of chunks, one producer, one collector, no lock.
//!
//! # Roles
//! - The *producer* is the thread that the queue belongs to. It writes slots and `produced`.
//! - The *collector* is the one thread that holds the domain's lock for collecting. It reads
//!   `produced` and takes spans of slots out.
//! - *Finishers* are the threads that run the spans. They count `finished` and give chunks back.
//!
//! # Invariants
//! 1. Slots `[collected, produced)`, counted along the chain, hold callbacks that the queue owns. A
//!    span owns the callbacks in its own slots.
//! 2. `next` of a chunk is set before the chunk's last slot is published. So the producer does not
//!    touch a chunk whose slots are all published, and the collector finds `next` when it has
//!    collected the last slot.
//! 3. A chunk is given back to the [`Stock`] when all its slots are consumed. `left` counts them
//!    down.
//!
//! # Order
//! The producer stores `produced` with Release after it has written the slot, and the collector
//! loads it with Acquire. So the collector sees the slot, and all that the producer did before,
//! such as unlinking what the callback will free. A finisher adds to `finished` with Release after
//! the callback has run. A thread that relies on `finished` loads it with Acquire.

use super::Callback;
pub(crate) use super::chunk::Common;
use super::chunk::{Chunk, WORDS};
use super::inbox::Inbox;
pub(crate) use super::span::CallbackList;
use super::span::Span;
pub(crate) use super::stock::Detached;
use super::stock::Stock;
use crate::sys::delay::{self, Window};
use crate::sys::event::Event;
use crate::sys::prim::{AtomicPtr, AtomicU64, Ordering, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::mem;
use std::ptr::{self, NonNull};

/// Chunks after which a producer asks for an early collection.
const HURRY: usize = 32;

/// `produced` is the number of callbacks, and in the lowest bits the word after the last one.
const AT_BITS: u32 = 8;
const AT_MASK: u64 = (1 << AT_BITS) - 1;
const _: () = assert!(WORDS < 1 << AT_BITS);

fn position(produced: u64, at: usize) -> u64 {
    produced << AT_BITS | at as u64
}

#[derive(Debug)]
struct Tail {
    chunk: *mut Chunk,
    at: usize,
    produced: u64,
    /// Chunks filled since the last hurry.
    filled: usize,
}

#[derive(Debug)]
struct Head {
    chunk: *mut Chunk,
    at: usize,
    collected: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    /// Only the producer touches it.
    tail: CachePadded<UnsafeCell<Tail>>,
    /// Written by the producer, read by the collector.
    produced: CachePadded<AtomicU64>,
    /// Only the collector touches it.
    head: CachePadded<UnsafeCell<Head>>,
    /// The first chunk of the chain, for the first collection.
    first: AtomicPtr<Chunk>,
    event: &'static Event,
    /// What has come back to the producer.
    pub(crate) stock: Stock,
}

// SAFETY: by the contracts of `push` and `collect` only the producer touches `tail`, and only the
// collector `head`. Callbacks are `Send`, and pass by Release and Acquire of `produced`.
unsafe impl Sync for Queue {}
// SAFETY: as above.
unsafe impl Send for Queue {}

impl Queue {
    /// `event` is the collector's.
    pub(crate) fn new(common: &'static Common, event: &'static Event) -> Self {
        Self {
            tail: CachePadded::new(UnsafeCell::new(Tail {
                chunk: ptr::null_mut(),
                at: 0,
                produced: 0,
                filled: 0,
            })),
            produced: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(UnsafeCell::new(Head {
                chunk: ptr::null_mut(),
                at: 0,
                collected: 0,
            })),
            first: AtomicPtr::new(ptr::null_mut()),
            event,
            stock: Stock::new(common),
        }
    }

    /// Queues a callback. The caller must then pass a light fence, and look whether the collector
    /// sleeps.
    ///
    /// # Safety
    /// The caller is the producer.
    #[inline(always)]
    pub(crate) unsafe fn push(&'static self, callback: Callback) {
        // The pointer leaves the closure, so that all of this is inlined.
        let tail = self.tail.with_mut(|tail| tail);
        // SAFETY: this thread is the producer.
        let tail = unsafe { &mut *tail };
        if tail.chunk.is_null() {
            self.begin(tail);
        }
        // SAFETY: the chunk is not filled, so no finisher has given it back (invariants 2, 3).
        let chunk = unsafe { &*tail.chunk };
        // SAFETY: these words are not published, so no other thread touches them (invariant 1), and
        // they are enough for a callback, since the chunk is not filled.
        tail.at = unsafe { chunk.write(tail.at, callback) };
        tail.produced += 1;
        if Chunk::is_full(tail.at) {
            self.fill(tail, chunk);
        }
        delay::at(Window::Publishing);
        self.produced.store(position(tail.produced, tail.at), Ordering::Release);
    }

    #[cold]
    fn begin(&'static self, tail: &mut Tail) {
        tail.chunk = self.chunk().as_ptr();
        self.first.store(tail.chunk, Ordering::Relaxed);
    }

    /// Goes on to the next chunk.
    #[cold]
    fn fill(&'static self, tail: &mut Tail, chunk: &Chunk) {
        let next = self.chunk();
        chunk.fill(next, tail.at, tail.produced);
        tail.chunk = next.as_ptr();
        tail.at = 0;
        tail.filled += 1;
        if tail.filled == HURRY {
            tail.filled = 0;
            self.hurry();
        }
    }

    /// Has the next collection begin at once.
    fn hurry(&self) {
        let common = self.stock.home.common;
        if !common.hurried.swap(true, Ordering::AcqRel) {
            self.event.set();
        }
    }

    #[cold]
    fn chunk(&'static self) -> NonNull<Chunk> {
        // SAFETY: the caller is the producer.
        let spare = unsafe { self.stock.take_chunk() };
        spare.unwrap_or_else(|| Chunk::boxed(&self.stock.home))
    }

    /// Returns whether there is a callback to collect.
    ///
    /// # Safety
    /// The caller is the collector.
    pub(crate) unsafe fn has_more(&self) -> bool {
        // SAFETY: passed on.
        unsafe { self.uncollected() != 0 }
    }

    /// Returns how many callbacks are queued and not collected.
    ///
    /// # Safety
    /// The caller is the collector.
    pub(crate) unsafe fn uncollected(&self) -> u64 {
        let produced = self.produced();
        // SAFETY: this thread is the collector.
        produced - self.head.with(|head| unsafe { (*head).collected })
    }

    /// Moves all published callbacks into `list`.
    ///
    /// # Safety
    /// The caller is the collector.
    pub(crate) unsafe fn collect(&'static self, list: &mut CallbackList) {
        self.head.with_mut(|head| {
            // SAFETY: this thread is the collector.
            let head = unsafe { &mut *head };
            let position = self.produced.load(Ordering::Acquire);
            let produced = position >> AT_BITS;
            while head.collected < produced {
                delay::at(Window::Collecting);
                if head.chunk.is_null() {
                    head.chunk = self.first.load(Ordering::Relaxed);
                }
                let at = NonNull::new(head.chunk).expect("published callbacks are in a chunk");
                // SAFETY: its last callbacks are not collected, so the chunk is there (invariant
                // 3).
                let chunk = unsafe { at.as_ref() };
                let filled = chunk.end.load(Ordering::Relaxed);
                let start = head.at;
                // If the chunk was filled when the position was published, the collector sees that
                // (invariant 2). A later `end` is above `produced`.
                let (collected, end) = match filled {
                    1.. if filled <= produced => {
                        head.chunk = chunk.next.load(Ordering::Relaxed);
                        head.at = 0;
                        (filled, WORDS)
                    }
                    _ => {
                        head.at = (position & AT_MASK) as usize;
                        (produced, head.at)
                    }
                };
                let callbacks = (collected - head.collected) as usize;
                head.collected = collected;
                // SAFETY: the callbacks are published, and `collected` is past them, so no other
                // span gets them.
                list.push(unsafe { Span::new(at, start, end, callbacks) });
            }
        });
    }

    /// Returns how many callbacks have finished. Acquire: all that they did comes before this.
    pub(crate) fn finished(&self) -> u64 {
        self.stock.home.finished()
    }

    /// Returns how many callbacks were queued. Acquire.
    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Acquire) >> AT_BITS
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.finished() == self.produced()
    }

    /// Returns the inbox of the producer.
    pub(crate) fn inbox(&'static self) -> &'static Inbox {
        &self.stock.home.inbox
    }

    /// Returns how many bytes the empty boxes have that have come back.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.stock.home.kept_bytes()
    }

    /// Closes the stock, if memory has come back. A heavy fence and
    /// [`empty_stock`](Self::empty_stock) must follow. The caller is the collector.
    pub(crate) fn close_stock(&self) {
        self.stock.close();
    }

    /// Takes out the memory that has come back, unless the producer takes some now.
    ///
    /// # Safety
    /// The caller is the collector, and has passed a heavy fence after
    /// [`close_stock`](Self::close_stock). No other thread calls
    /// [`take_memory`](Self::take_memory).
    pub(crate) unsafe fn empty_stock(&self) -> Detached {
        // SAFETY: passed on.
        let mut detached = unsafe { self.stock.reopen() };
        // SAFETY: this thread is the collector.
        let (chunk, at) = self.head.with(|head| unsafe { ((*head).chunk, (*head).at) });
        if self.is_idle() && at != 0 {
            let take = |left| detached.part().push(left);
            // SAFETY: some words of the chunk are not collected, so it is there. Those before `at`
            // are consumed, since all callbacks have finished, and no holder gets the chunk before
            // this thread collects the rest.
            unsafe { self.stock.home.empty_part(&*chunk, at, take) };
        } else if self.kept_bytes() != 0 {
            self.stock.home.common.note_left();
        }
        detached
    }

    /// Takes out the memory that has come back to an idle queue.
    ///
    /// # Safety
    /// There is no producer or finisher, and no other thread calls this,
    /// [`close_stock`](Self::close_stock) or [`empty_stock`](Self::empty_stock). All callbacks have
    /// finished.
    pub(crate) unsafe fn take_memory(&self) -> Detached {
        // SAFETY: passed on.
        let mut detached = unsafe { self.stock.detach_unused() };
        // SAFETY: there is no producer.
        let (chunk, at) = self.tail.with(|tail| unsafe { ((*tail).chunk, (*tail).at) });
        if at != 0 {
            let take = |left| detached.part().push(left);
            // SAFETY: the producer was to fill the chunk, so it is there. The words before `at` are
            // consumed, since all callbacks have finished.
            unsafe { self.stock.home.empty_part(&*chunk, at, take) };
        }
        detached
    }

    /// Frees the memory of an idle queue.
    ///
    /// # Safety
    /// No other thread uses the queue: there is no producer, collector or finisher. All callbacks
    /// have finished.
    pub(crate) unsafe fn trim(&self) {
        // SAFETY: passed on.
        drop(unsafe { self.take_memory() });
        // SAFETY: there is no producer.
        let last = self.tail.with_mut(|tail| unsafe {
            (*tail).at = 0;
            mem::replace(&mut (*tail).chunk, ptr::null_mut())
        });
        // SAFETY: there is no collector.
        self.head.with_mut(|head| unsafe {
            (*head).at = 0;
            (*head).chunk = ptr::null_mut();
        });
        self.first.store(ptr::null_mut(), Ordering::Relaxed);
        if !last.is_null() {
            // SAFETY: the chunk comes from a box. The collector was past all callbacks, so its
            // chunk was this one, and the queue has no other.
            drop(unsafe { Box::from_raw(last) });
        }
    }

    #[cfg(test)]
    pub(crate) fn has_chunks(&self) -> bool {
        self.stock.has_chunks() || !self.first.load(Ordering::Relaxed).is_null()
    }

    /// Sets the counts to 0 for a new domain.
    ///
    /// # Safety
    /// No other thread uses the queue: there is no producer, collector or finisher.
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: there is no producer.
        self.tail.with_mut(|tail| unsafe { (*tail).produced = 0 });
        // SAFETY: there is no collector.
        self.head.with_mut(|head| unsafe { (*head).collected = 0 });
        self.produced.store(0, Ordering::Relaxed);
        self.stock.home.reset();
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::any::Any;
    use std::sync::Arc;

    type Out = Vec<usize>;

    /// About as many callbacks as a chunk has room for.
    const SLOTS: usize = WORDS / 2;

    fn queue() -> &'static Queue {
        Box::leak(Box::new(Queue::new(Box::leak(Box::default()), Box::leak(Box::default()))))
    }

    fn push(queue: &'static Queue, n: usize) {
        let push = move |out: &mut dyn Any| out.downcast_mut::<Out>().unwrap().push(n);
        // SAFETY: one thread is producer and collector.
        unsafe { queue.push(Callback::new(push)) }
    }

    fn collect(queue: &'static Queue) -> CallbackList {
        let mut list = CallbackList::new();
        // SAFETY: one thread is producer and collector.
        unsafe { queue.collect(&mut list) };
        list
    }

    #[test]
    fn callbacks_keep_their_order_over_chunks_and_collections() {
        let queue = queue();
        let mut out = Out::new();
        let mut sent = 0;
        for size in [0, 1, SLOTS - 1, 1, SLOTS, 2 * SLOTS, 5 * SLOTS + 3, 0, 7] {
            for _ in 0..size {
                push(queue, sent);
                sent += 1;
            }
            let mut list = collect(queue);
            assert_eq!(list.len(), size);
            // SAFETY: as above.
            assert!(!unsafe { queue.has_more() });
            while let Some(callback) = list.pop() {
                callback.run(&mut out);
            }
            assert_eq!(list.len(), 0);
        }
        assert!(out.iter().copied().eq(0..sent));
        assert_eq!((queue.produced(), queue.finished()), (sent as u64, sent as u64));
        assert!(queue.is_idle());
    }

    #[test]
    fn collections_may_be_consumed_in_any_order() {
        let queue = queue();
        let batches: Vec<_> = (0..10)
            .map(|i| {
                (0..SLOTS / 2 + i).for_each(|n| push(queue, n));
                collect(queue)
            })
            .collect();
        let mut out = Out::new();
        for mut list in batches.into_iter().rev() {
            while let Some(callback) = list.pop() {
                callback.run(&mut out);
            }
        }
        assert!(queue.is_idle());
        assert_eq!(out.len() as u64, queue.finished());
    }

    #[test]
    fn callbacks_that_never_run_are_dropped_once() {
        let queue = queue();
        let held = Arc::new(());
        for _ in 0..3 * SLOTS {
            let held = Arc::clone(&held);
            // SAFETY: as above.
            unsafe { queue.push(Callback::new(move |_| drop(held))) };
        }
        let mut list = collect(queue);
        list.pop().unwrap().run(&mut ());
        assert_eq!(Arc::strong_count(&held), 3 * SLOTS);
        drop(list);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(queue.is_idle());
    }
}
