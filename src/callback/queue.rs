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
//! 3. A chunk is given back when all its slots are consumed. `left` counts them down.
//!
//! # Order
//! The producer stores `produced` with Release after it has written the slot, and the collector
//! loads it with Acquire. So the collector sees the slot, and all that the producer did before,
//! such as unlinking what the callback will free. A finisher adds to `finished` with Release after
//! the callback has run. A thread that relies on `finished` loads it with Acquire.

use super::Callback;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

crate::sys::prim::model_const! {
    /// Slots of a chunk. A chunk takes two kilobytes.
    const SLOTS: usize = 62, loom 2;
    /// Empty chunks that a queue keeps. It frees the others.
    const SPARES: usize = 16, loom 2;
}

#[derive(Debug)]
struct Chunk {
    next: AtomicPtr<Chunk>,
    left: AtomicUsize,
    queue: &'static Queue,
    slots: [UnsafeCell<MaybeUninit<Callback>>; SLOTS],
}

#[derive(Debug)]
struct Tail {
    chunk: *mut Chunk,
    at: usize,
    produced: u64,
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
    /// A stack of empty chunks, linked by `next`. Finishers put chunks in. Only the producer takes
    /// chunks out, so the link of the first chunk does not change meanwhile.
    spare: AtomicPtr<Chunk>,
    /// The approximate number of chunks in `spare`.
    spares: AtomicUsize,
    finished: CachePadded<AtomicU64>,
}

// SAFETY: by the contracts of `push` and `collect` only the producer touches `tail`, and only the
// collector `head`. Callbacks are `Send`, and pass by Release and Acquire of `produced`.
unsafe impl Sync for Queue {}
// SAFETY: as above.
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) fn new() -> Self {
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

    /// Queues a callback. The caller must then pass a light fence, and look whether the collector
    /// sleeps.
    ///
    /// # Safety
    /// The caller is the producer.
    #[inline]
    pub(crate) unsafe fn push(&'static self, callback: Callback) {
        self.tail.with_mut(|tail| {
            // SAFETY: this thread is the producer.
            let tail = unsafe { &mut *tail };
            if tail.chunk.is_null() {
                tail.chunk = self.chunk();
                self.first.store(tail.chunk, Ordering::Relaxed);
            }
            // SAFETY: some slots of this chunk are not published, so no finisher has given it back
            // (invariants 2, 3).
            let chunk = unsafe { &*tail.chunk };
            // SAFETY: the slot is not published, so no other thread touches it (invariant 1).
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
    fn chunk(&'static self) -> *mut Chunk {
        if let Some(spare) = self.take_spare() {
            return spare.as_ptr();
        }
        let chunk = Box::into_raw(Box::new(Chunk {
            next: AtomicPtr::new(ptr::null_mut()),
            left: AtomicUsize::new(SLOTS),
            queue: self,
            slots: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
        }));
        // For `take_spare`.
        _ = chunk.expose_provenance();
        chunk
    }

    /// Takes an empty chunk. The caller is the producer.
    fn take_spare(&self) -> Option<NonNull<Chunk>> {
        // Acquire pairs with the finisher's Release: the slots are empty.
        let mut first = NonNull::new(self.spare.load(Ordering::Acquire))?;
        loop {
            // A finisher may have linked a chunk to a pointer that it loaded before the chunk there
            // was freed and another was made at the same address. So the provenance is taken from
            // the chunk that is there now.
            let first_now = ptr::with_exposed_provenance_mut(first.addr().get());
            first = NonNull::new(first_now)?;
            // SAFETY: the chunk is in the stack. Only the producer takes chunks out.
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
        // SAFETY: the chunk is out of the stack, so only this thread has it.
        unsafe { first.as_ref() }.next.store(ptr::null_mut(), Ordering::Relaxed);
        Some(first)
    }

    /// Gives an empty chunk back. Only the caller, the finisher that consumed its last slots, has
    /// the chunk: the producer and the collector are past it (invariant 2).
    fn leave_spare(&self, chunk: NonNull<Chunk>) {
        // SAFETY: only the caller has the chunk.
        let empty = unsafe { chunk.as_ref() };
        empty.left.store(SLOTS, Ordering::Relaxed);
        if self.spares.fetch_add(1, Ordering::Relaxed) >= SPARES {
            self.spares.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: the chunk comes from a box, and the caller has it alone.
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
        let produced = self.produced.load(Ordering::Acquire);
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
                    // SAFETY: the span of the last slots does not exist yet, so the chunk is still
                    // there (invariant 3), and its `next` is set (invariant 2).
                    head.chunk = unsafe { chunk.as_ref() }.next.load(Ordering::Relaxed);
                    head.at = 0;
                    // SAFETY: the slots are published, and `collected` is past them, so no other
                    // span gets them.
                    list.push(unsafe { Span::new(chunk, SLOTS - take, SLOTS) });
                } else {
                    // SAFETY: as above.
                    list.push(unsafe { Span::new(chunk, head.at - take, head.at) });
                }
            }
        });
    }

    /// Returns how many callbacks have finished. Acquire: all that they did comes before this.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire)
    }

    /// Returns how many callbacks were queued. Acquire.
    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Acquire)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.finished() == self.produced()
    }

    /// Frees the memory of an idle queue.
    ///
    /// # Safety
    /// No other thread uses the queue: there is no producer, collector or finisher. All callbacks
    /// have finished.
    pub(crate) unsafe fn trim(&self) {
        while let Some(spare) = self.take_spare() {
            // SAFETY: the chunk comes from a box, and is out of the stack.
            drop(unsafe { Box::from_raw(spare.as_ptr()) });
        }
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
        let spare = !self.spare.load(Ordering::Relaxed).is_null();
        spare || !self.first.load(Ordering::Relaxed).is_null()
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
        self.finished.store(0, Ordering::Relaxed);
    }
}

impl Chunk {
    /// Counts `n` slots as consumed, and gives the chunk back with its last slot.
    ///
    /// # Safety
    /// Each slot is counted once, after its callback was taken out. The caller does not use `this`
    /// again.
    unsafe fn consumed(this: NonNull<Chunk>, n: usize) {
        // SAFETY: the `n` slots are not counted yet, so the chunk is still there (invariant 3).
        let (queue, last) = unsafe {
            let chunk = this.as_ref();
            // AcqRel: the finisher that counts the last slot comes after all other finishers.
            (chunk.queue, chunk.left.fetch_sub(n, Ordering::AcqRel) == n)
        };
        if last {
            queue.leave_spare(this);
        }
        // Release: pairs with `finished`.
        queue.finished.fetch_add(n as u64, Ordering::Release);
    }
}

/// Adjacent slots of one chunk that were collected together.
///
/// # Invariant
/// The span alone owns the callbacks in slots `[next, end)`. Its slots `[start, next)` are empty.
/// The chunk stays until the span has counted its slots, which its drop does.
struct Span {
    chunk: NonNull<Chunk>,
    start: usize,
    next: usize,
    end: usize,
}

// SAFETY: a span owns `Send` callbacks. What it shares of the chunk is atomic.
unsafe impl Send for Span {}

impl Span {
    /// # Safety
    /// The slots are published, and no other span has them.
    unsafe fn new(chunk: NonNull<Chunk>, start: usize, end: usize) -> Self {
        Self { chunk, start, next: start, end }
    }

    fn len(&self) -> usize {
        self.end - self.next
    }

    #[inline]
    fn pop(&mut self) -> Option<Callback> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: the chunk stays as long as the span does (invariant).
        let slot = &unsafe { self.chunk.as_ref() }.slots[self.next];
        self.next += 1;
        // SAFETY: the span owns the callback, and reads it once: `next` is past it.
        Some(slot.with(|slot| unsafe { MaybeUninit::assume_init_read(&*slot) }))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        while let Some(callback) = self.pop() {
            drop(callback);
        }
        // SAFETY: all slots of the span are empty, and only this drop counts them.
        unsafe { Chunk::consumed(self.chunk, self.end - self.start) }
    }
}

/// Collected callbacks. Those of one thread are in the order in which the thread queued them.
pub(crate) struct CallbackList {
    spans: VecDeque<Span>,
    len: usize,
}

impl CallbackList {
    pub(crate) fn new() -> Self {
        Self { spans: VecDeque::new(), len: 0 }
    }

    fn push(&mut self, span: Span) {
        self.len += span.len();
        self.spans.push_back(span);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes the next callback out. The caller must have run the one before, which may now count as
    /// finished.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Callback> {
        loop {
            let span = self.spans.front_mut()?;
            if let Some(callback) = span.pop() {
                self.len -= 1;
                return Some(callback);
            }
            self.spans.pop_front();
        }
    }
}

impl fmt::Debug for CallbackList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackList").field("len", &self.len).finish()
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::any::Any;
    use std::sync::Arc;

    type Out = Vec<usize>;

    fn queue() -> &'static Queue {
        Box::leak(Box::new(Queue::new()))
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
