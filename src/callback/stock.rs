//! What comes back to a thread from the callbacks that it queued: chunks of its queue, and the
//! [empty boxes](super::boxes) in their words.
//!
//! # Where an empty box is
//! | place | put there by | taken out by |
//! |---|---|---|
//! | a consumed slot of the chunk that the producer fills | a finisher | the collector, if the queue is idle |
//! | a chunk in `returned` | the finisher of the chunk's last slot | the holder |
//! | a chunk in `own.chunks` | the holder | the holder |
//! | a shelf | the holder | the holder |
//!
//! A finisher frees the boxes of a chunk instead, if so much is kept already. The holder frees the
//! boxes for which it has no shelf. Shelves are for the few layouts that the thread allocates most.
//!
//! # The holder
//! `own` has one holder at a time. The producer becomes the holder by *entering*: it sets `busy`,
//! passes a light fence, and reads `closed`. If that is set, the producer leaves again, and does
//! without: it never waits. While it does without, it allocates.
//!
//! Another thread that wants the memory back *closes* the stock: it sets `closed`, passes a heavy
//! fence, and reads `busy`. If that is not set, the thread is the holder until it opens the stock
//! again. By the contract of [`barrier`], the producer sees `closed`, or the other thread sees
//! `busy`. One thread at a time closes: it holds the domain's lock for collecting.
//!
//! Both stores that end a holding are Release, and both loads are Acquire: a holder comes after all
//! that the holder before did.
//!
//! # Invariants
//! 1. Chunks in `returned` and in `own.chunks` are consumed, and only the stock has them.
//! 2. Boxes on a shelf are of its layout, and only the shelf has them.

use super::boxes::{BoxLayout, EmptyBox};
use super::chunk::{Chunk, Common, Home, WORDS};
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, Ordering, UnsafeCell};
use std::alloc::Layout;
use std::mem;
use std::ptr::{self, NonNull};

crate::sys::prim::model_const! {
    /// Boxes on a shelf.
    const SHELF: usize = 2 * WORDS, loom 2;
}

/// Layouts that a thread keeps boxes of.
const SHELVES: usize = 4;

/// The most that [`Shelf::wanted`] counts, so that a layout can lose its shelf after a long time.
const WANTED: u32 = 1024;

#[derive(Debug)]
struct Shelf {
    layout: Option<BoxLayout>,
    /// How often boxes of this layout were wanted, and others were not. The layouts that are wanted
    /// most keep their shelves: the algorithm of Misra and Gries.
    wanted: u32,
    boxes: Vec<NonNull<u8>>,
}

#[derive(Debug)]
struct Own {
    /// A chain of chunks that have come back, linked by `next`.
    chunks: *mut Chunk,
    shelves: [Shelf; SHELVES],
    /// The `left` up to which `kept` is settled.
    settled: u64,
}

#[derive(Debug)]
pub(crate) struct Stock {
    own: UnsafeCell<Own>,
    busy: AtomicBool,
    closed: AtomicBool,
    pub(super) home: Home,
}

// SAFETY: only the holder touches `own`, and there is one at a time. The rest is atomic. Boxes and
// chunks are memory, which any thread may free.
unsafe impl Sync for Stock {}
// SAFETY: as above.
unsafe impl Send for Stock {}

impl Stock {
    pub(super) fn new(common: &'static Common) -> Self {
        let shelf = || Shelf { layout: None, wanted: 0, boxes: Vec::new() };
        Self {
            own: UnsafeCell::new(Own {
                chunks: ptr::null_mut(),
                shelves: std::array::from_fn(|_| shelf()),
                settled: 0,
            }),
            busy: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            home: Home::new(common),
        }
    }

    /// Calls `f` as the holder, unless another thread has closed the stock, or the current thread
    /// is the holder already: the allocator, which `f` calls, may be foreign code.
    ///
    /// # Safety
    /// The caller is the producer.
    #[inline(always)]
    unsafe fn enter<R>(&self, f: impl FnOnce(&mut Own) -> R) -> Option<R> {
        if self.busy.load(Ordering::Relaxed) {
            return None;
        }
        self.busy.store(true, Ordering::Relaxed);
        barrier::light();
        delay::at(Window::Entering);
        let mut result = None;
        if !self.closed.load(Ordering::Acquire) {
            // SAFETY: the thread is the holder.
            result = Some(self.own.with_mut(|own| f(unsafe { &mut *own })));
        }
        self.busy.store(false, Ordering::Release);
        result
    }

    /// Takes the memory of an empty box of this layout, if there is one.
    ///
    /// # Safety
    /// The caller is the producer.
    #[inline]
    pub(crate) unsafe fn take_box(&self, layout: Layout) -> Option<NonNull<u8>> {
        let layout = BoxLayout::of(layout)?;
        // SAFETY: passed on.
        let taken = unsafe {
            self.enter(|own| {
                let shelf = own.shelves.iter_mut().find(|shelf| shelf.layout == Some(layout));
                let Some(shelf) = shelf else {
                    self.is_gone(own.want(layout));
                    return None;
                };
                shelf.wanted = (shelf.wanted + 1).min(WANTED);
                let taken = shelf.boxes.pop()?;
                self.is_gone(layout.bytes());
                Some(taken)
            })
        };
        taken?
    }

    /// Counts bytes that a holder has used again or freed. For the holder.
    #[inline(always)]
    fn is_gone(&self, bytes: usize) {
        let gone = self.home.gone.load(Ordering::Relaxed);
        self.home.gone.store(gone + bytes as u64, Ordering::Relaxed);
    }

    /// Takes what has gone off the count of the domain. For the holder.
    fn settle(&self, own: &mut Own) {
        let gone = self.home.gone.load(Ordering::Relaxed);
        if gone != own.settled {
            self.home.common.kept.fetch_sub((gone - own.settled) as usize, Ordering::Relaxed);
            own.settled = gone;
        }
    }

    /// Takes a chunk that has come back, and puts its boxes on the shelves.
    ///
    /// # Safety
    /// The caller is the producer.
    pub(super) unsafe fn take_chunk(&self) -> Option<NonNull<Chunk>> {
        // SAFETY: passed on.
        unsafe { self.enter(|own| self.take_chunk_in(own)) }?
    }

    fn take_chunk_in(&self, own: &mut Own) -> Option<NonNull<Chunk>> {
        if own.chunks.is_null() {
            own.chunks = self.home.take_returned();
        }
        let first = NonNull::new(own.chunks)?;
        // SAFETY: only the holder has the chunk (invariant 1).
        let chunk = unsafe { first.as_ref() };
        own.chunks = chunk.next.load(Ordering::Relaxed);
        self.home.chunks.fetch_sub(1, Ordering::Relaxed);
        let mut freed = 0;
        // SAFETY: the words are consumed, and only the holder has them (invariant 1).
        unsafe {
            chunk.empty(chunk.used(), |left| freed += own.put(left));
            chunk.renew();
        }
        self.is_gone(freed);
        self.settle(own);
        Some(first)
    }

    /// Takes everything out. For the holder.
    fn detach(&self, own: &mut Own) -> Detached {
        let mut detached = Detached::default();
        let mut bytes = 0;
        for shelf in &mut own.shelves {
            if let Some(layout) = shelf.layout.filter(|_| !shelf.boxes.is_empty()) {
                bytes += shelf.boxes.len() * layout.bytes();
                // The memory of the list goes too.
                detached.boxes.push((layout, mem::take(&mut shelf.boxes)));
            }
        }
        for mut chunks in
            [mem::replace(&mut own.chunks, ptr::null_mut()), self.home.take_returned()]
        {
            while let Some(first) = NonNull::new(chunks) {
                // SAFETY: only the holder has the chunk (invariant 1).
                let chunk = unsafe { first.as_ref() };
                chunks = chunk.next.load(Ordering::Relaxed);
                bytes += chunk.bytes();
                self.home.chunks.fetch_sub(1, Ordering::Relaxed);
                detached.chunks.push(first);
            }
        }
        self.is_gone(bytes);
        self.settle(own);
        detached
    }

    /// Frees everything, at the end of the producer's thread.
    ///
    /// # Safety
    /// The caller is the producer.
    pub(crate) unsafe fn give_up(&self) {
        // SAFETY: passed on.
        drop(unsafe { self.enter(|own| self.detach(own)) });
    }

    /// Closes the stock, if there is something in it. A heavy fence must follow, and then
    /// [`reopen`](Self::reopen). The caller is the collector.
    pub(super) fn close(&self) {
        if self.home.has_memory() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Takes everything out of a closed stock, unless the producer is using it now, and opens it.
    ///
    /// # Safety
    /// The caller is the collector, and has passed a heavy fence after [`close`](Self::close).
    pub(super) unsafe fn reopen(&self) -> Detached {
        if !self.closed.load(Ordering::Relaxed) {
            return Detached::default();
        }
        delay::at(Window::Closed);
        let detached = match self.busy.load(Ordering::Acquire) {
            // SAFETY: the stock is closed and not busy, so this thread is the holder.
            false => self.own.with_mut(|own| self.detach(unsafe { &mut *own })),
            true => {
                // The next idle time is another chance.
                self.home.common.note_left();
                Detached::default()
            }
        };
        self.closed.store(false, Ordering::Release);
        detached
    }

    /// Takes everything out, and opens the stock: the collector may have closed it, and may not
    /// find it again.
    ///
    /// # Safety
    /// There is no producer and no finisher, and no other thread calls this,
    /// [`close`](Self::close) or [`reopen`](Self::reopen).
    pub(super) unsafe fn detach_unused(&self) -> Detached {
        // SAFETY: no other thread becomes the holder.
        let detached = self.own.with_mut(|own| self.detach(unsafe { &mut *own }));
        self.closed.store(false, Ordering::Release);
        detached
    }

    #[cfg(all(test, rcu_loom))]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn has_chunks(&self) -> bool {
        self.home.chunks.load(Ordering::Relaxed) != 0
    }
}

/// What was taken out of a stock. Its drop frees it, outside of the crate's locks: the allocator is
/// foreign code.
#[derive(Debug, Default)]
pub(crate) struct Detached {
    boxes: Vec<(BoxLayout, Vec<NonNull<u8>>)>,
    chunks: Vec<NonNull<Chunk>>,
    /// From the consumed part of a chunk.
    part: Vec<EmptyBox>,
}

// SAFETY: owns memory, which any thread may free.
unsafe impl Send for Detached {}

impl Detached {
    pub(super) fn part(&mut self) -> &mut Vec<EmptyBox> {
        &mut self.part
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.boxes.iter().all(|(_, boxes)| boxes.is_empty())
            && self.chunks.is_empty()
            && self.part.is_empty()
    }

    /// Frees about so many boxes, or chunks with their boxes. Returns whether some are left.
    pub(crate) fn free_some(&mut self, most: usize) -> bool {
        let mut freed = 0;
        while freed < most {
            if let Some(left) = self.part.pop() {
                left.free();
            } else if let Some(chunk) = self.chunks.pop() {
                // SAFETY: the chunk comes from a box. Its words are consumed, and this has it
                // alone.
                unsafe {
                    let chunk = Box::from_raw(chunk.as_ptr());
                    chunk.empty(chunk.used(), |left| {
                        freed += 1;
                        left.free();
                    });
                }
            } else if let Some((layout, boxes)) = self.boxes.last_mut() {
                match boxes.pop() {
                    Some(at) => EmptyBox { at, layout: *layout }.free(),
                    None => _ = self.boxes.pop(),
                }
            } else {
                return false;
            }
            freed += 1;
        }
        !self.is_empty()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.free_some(usize::MAX);
    }
}

impl Shelf {
    /// Frees the boxes, and the memory of their list. Returns the bytes freed.
    fn clear(&mut self) -> usize {
        let Some(layout) = self.layout else { return 0 };
        let boxes = mem::take(&mut self.boxes);
        let freed = boxes.len() * layout.bytes();
        boxes.into_iter().for_each(|at| EmptyBox { at, layout }.free());
        freed
    }
}

impl Own {
    /// Notes that a layout without a shelf was wanted. If it is wanted often, it gets the shelf of
    /// a layout that is not. Returns the bytes freed.
    #[cold]
    fn want(&mut self, layout: BoxLayout) -> usize {
        if let Some(shelf) = self.shelves.iter_mut().find(|shelf| shelf.wanted == 0) {
            let freed = shelf.clear();
            shelf.layout = Some(layout);
            shelf.wanted = 1;
            return freed;
        }
        self.shelves.iter_mut().for_each(|shelf| shelf.wanted -= 1);
        0
    }

    /// Puts an empty box on the shelf of its layout, or frees it. Returns the bytes freed.
    fn put(&mut self, left: EmptyBox) -> usize {
        let fits = |shelf: &&mut Shelf| shelf.layout == Some(left.layout);
        if let Some(shelf) = self.shelves.iter_mut().find(fits) {
            if shelf.boxes.len() < SHELF {
                shelf.boxes.push(left.at);
                return 0;
            }
        }
        let bytes = left.layout.bytes();
        left.free();
        bytes
    }
}

#[cfg(all(test, not(rcu_loom), not(rcu_free_boxes)))]
mod tests {
    use super::*;
    use crate::callback::Callback;
    use crate::callback::queue::{CallbackList, Queue};
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// About as many callbacks as a chunk has room for.
    const SLOTS: usize = WORDS / 2;

    fn queue() -> &'static Queue {
        Box::leak(Box::new(Queue::new(Box::leak(Box::default()), Box::leak(Box::default()))))
    }

    fn push(queue: &'static Queue, n: usize) {
        // SAFETY: one thread is producer and collector.
        unsafe { queue.push(Callback::new(move |_| assert_eq!(n, 0))) }
    }

    fn collect(queue: &'static Queue) -> CallbackList {
        let mut list = CallbackList::new();
        // SAFETY: one thread is producer and collector.
        unsafe { queue.collect(&mut list) };
        list
    }

    fn retire<T: Send + 'static>(queue: &'static Queue, value: T) -> usize {
        let value = Box::into_raw(Box::new(value));
        // SAFETY: one thread is producer and collector. From a box, and given away.
        unsafe { queue.push(Callback::emptying(value)) };
        value.addr()
    }

    fn run(queue: &'static Queue) {
        let mut list = collect(queue);
        while let Some(callback) = list.pop() {
            _ = catch_unwind(AssertUnwindSafe(|| callback.run(&mut ())));
        }
    }

    fn take<T>(queue: &'static Queue) -> Option<usize> {
        // SAFETY: one thread is producer. The box is made anew of its memory, and freed.
        unsafe {
            let at = queue.stock.take_box(Layout::new::<T>())?;
            drop(Box::from_raw(at.cast::<std::mem::MaybeUninit<T>>().as_ptr()));
            Some(at.addr().get())
        }
    }

    /// Retires so many values that the chunks of the first ones come back.
    fn circulate<T: Send + 'static>(queue: &'static Queue, value: impl Fn() -> T) {
        for _ in 0..4 * SLOTS {
            retire(queue, value());
        }
        run(queue);
        for _ in 0..2 * SLOTS {
            push(queue, 0);
        }
    }

    #[test]
    fn a_thread_gets_its_empty_boxes_again_by_their_exact_layout() {
        let queue = queue();
        assert_eq!(take::<[u64; 3]>(queue), None, "wanted from now on");
        let retired: HashSet<_> = (0..2 * SLOTS).map(|_| retire(queue, [7_u64; 3])).collect();
        let bytes = 24 * retired.len() as u64;
        assert_eq!(queue.kept_bytes(), 0);
        run(queue);
        assert_eq!(queue.kept_bytes(), bytes);
        (0..2 * SLOTS).for_each(|_| push(queue, 0));
        assert_eq!(take::<[u32; 6]>(queue), None, "another alignment");
        let mut taken = 0;
        while let Some(at) = take::<[u64; 3]>(queue) {
            assert!(retired.contains(&at));
            taken += 1;
        }
        assert!(taken >= SLOTS);
        assert_eq!(queue.kept_bytes(), bytes - 24 * taken as u64);
        drop(collect(queue));
        // SAFETY: there is no producer, and all callbacks have finished.
        drop(unsafe { queue.take_memory() });
        assert_eq!(queue.kept_bytes(), 0);
    }

    #[test]
    fn boxes_that_the_thread_does_not_allocate_are_freed() {
        let queue = queue();
        circulate(queue, || [0_u64; 2]);
        assert_eq!(take::<[u64; 2]>(queue), None);
        assert!(queue.kept_bytes() < 16 * 4 * SLOTS as u64);
    }

    #[test]
    fn a_panic_in_a_drop_loses_no_box_and_gives_none_twice() {
        struct Bomb(#[expect(dead_code, reason = "gives the box a size")] u64);
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("told"));
            }
        }
        let queue = queue();
        assert_eq!(take::<Bomb>(queue), None);
        circulate(queue, || Bomb(7));
        assert_eq!(queue.kept_bytes(), 8 * 4 * SLOTS as u64);
        let mut taken = Vec::new();
        // SAFETY: one thread is producer.
        while let Some(at) = unsafe { queue.stock.take_box(Layout::new::<Bomb>()) } {
            taken.push(at);
        }
        let different: HashSet<_> = taken.iter().collect();
        assert!(different.len() >= SLOTS && different.len() == taken.len());
        for at in taken {
            // SAFETY: the memory of a box of a `u64`.
            drop(unsafe { Box::from_raw(at.cast::<u64>().as_ptr()) });
        }
    }

    #[test]
    fn the_most_wanted_layouts_have_the_shelves() {
        let queue = queue();
        for _ in 0..100 {
            // Five layouts, the last one rarely.
            take::<[u64; 1]>(queue);
            take::<[u64; 2]>(queue);
            take::<[u64; 3]>(queue);
            take::<[u64; 4]>(queue);
        }
        take::<[u64; 5]>(queue);
        circulate(queue, || [0_u64; 4]);
        assert!(take::<[u64; 4]>(queue).is_some());
        circulate(queue, || [0_u64; 5]);
        assert!(take::<[u64; 5]>(queue).is_none());
        // Then it is wanted most.
        for _ in 0..1000 {
            take::<[u64; 5]>(queue);
        }
        circulate(queue, || [0_u64; 5]);
        assert!(take::<[u64; 5]>(queue).is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let queue = queue();
        take::<[u8; 1024]>(queue);
        for _ in 0..20 {
            (0..1000).for_each(|_| _ = retire(queue, [0_u8; 1024]));
            run(queue);
            let kept = queue.kept_bytes();
            assert!((1 << 19..(1 << 20) + (1 << 18)).contains(&kept), "{kept} bytes");
        }
    }

    #[test]
    fn an_idle_queue_gives_all_its_boxes_back() {
        let queue = queue();
        take::<u64>(queue);
        circulate(queue, || 7_u64);
        run(queue);
        assert_ne!(queue.kept_bytes(), 0);
        queue.close_stock();
        assert_eq!(take::<u64>(queue), None, "closed");
        // SAFETY: one thread is producer and collector.
        drop(unsafe { queue.empty_stock() });
        assert_eq!(queue.kept_bytes(), 0);
        circulate(queue, || 7_u64);
        assert!(take::<u64>(queue).is_some(), "open again");
    }
}
