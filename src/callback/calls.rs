//! Callbacks that were collected: owned, in order, taken out one by one before they run.

use super::erased::Callback;
use super::queue::Chunk;
use std::collections::VecDeque;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Neighbouring slots of one chunk.
///
/// # Invariants
/// Slots `[next, end)` hold callbacks that this span alone owns; `[start, next)` were its own and are empty. The chunk
/// stays until the span has counted all its slots, which it does when dropped.
pub(crate) struct Span<C: 'static> {
    chunk: NonNull<Chunk<C>>,
    start: usize,
    next: usize,
    end: usize,
}

// SAFETY: it owns `Send` callbacks, and shares of the chunk only what is atomic.
unsafe impl<C> Send for Span<C> {}

impl<C: 'static> Span<C> {
    /// # Safety
    /// The slots are published, and handed out to nobody else.
    pub(super) unsafe fn new(chunk: NonNull<Chunk<C>>, start: usize, end: usize) -> Self {
        Self {
            chunk,
            start,
            next: start,
            end,
        }
    }

    fn len(&self) -> usize {
        self.end - self.next
    }

    #[inline]
    fn pop(&mut self) -> Option<Callback<C>> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: the chunk stays while the span does (invariant).
        let slot = &unsafe { self.chunk.as_ref() }.slots[self.next];
        self.next += 1;
        // SAFETY: published, owned by this span, and not read again: `next` is past it.
        Some(slot.with(|slot| unsafe { MaybeUninit::assume_init_read(&*slot) }))
    }
}

impl<C: 'static> Drop for Span<C> {
    fn drop(&mut self) {
        while let Some(callback) = self.pop() {
            drop(callback);
        }
        // SAFETY: its slots are all taken out, and counted here only.
        unsafe { Chunk::consumed(self.chunk, self.end - self.start) }
    }
}

/// The callbacks of one collection, in the order in which each thread queued them.
pub(crate) struct Calls<C: 'static> {
    spans: VecDeque<Span<C>>,
    len: usize,
}

impl<C: 'static> Calls<C> {
    pub(crate) fn new() -> Self {
        Self {
            spans: VecDeque::new(),
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, span: Span<C>) {
        self.len += span.len();
        self.spans.push_back(span);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes the next callback out. The one taken before counts as finished once its span is used up, so a callback
    /// must have run before the next is taken.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Callback<C>> {
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

impl<C: 'static> fmt::Debug for Calls<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("len", &self.len).finish()
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::super::queue::{Queue, SLOTS};
    use super::*;
    use crate::reader::registry::Local;
    use std::sync::Arc;

    fn queue() -> &'static Queue<Vec<usize>> {
        Box::leak(Box::new(Queue::new()))
    }

    fn push(queue: &'static Queue<Vec<usize>>, n: usize) {
        // SAFETY: one thread is producer and collector.
        unsafe { queue.push(Callback::new(move |out: &mut Vec<usize>| out.push(n))) }
    }

    fn collect(queue: &'static Queue<Vec<usize>>) -> Calls<Vec<usize>> {
        let mut calls = Calls::new();
        // SAFETY: one thread is producer and collector.
        unsafe { queue.collect(|span| calls.push(span)) };
        calls
    }

    #[test]
    fn keeps_the_order_over_chunks_and_collections() {
        let queue = queue();
        let mut out = Vec::new();
        let mut sent = 0;
        for size in [0, 1, SLOTS - 1, 1, SLOTS, 2 * SLOTS, 5 * SLOTS + 3, 0, 7] {
            for _ in 0..size {
                push(queue, sent);
                sent += 1;
            }
            let mut calls = collect(queue);
            assert_eq!(calls.len(), size);
            // SAFETY: as above.
            assert!(!unsafe { queue.has_more() });
            while let Some(call) = calls.pop() {
                call.run(&mut out);
            }
            assert_eq!(calls.len(), 0);
        }
        assert!(out.iter().copied().eq(0..sent));
        assert_eq!(
            (queue.produced(), queue.finished()),
            (sent as u64, sent as u64)
        );
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
        let mut out = Vec::new();
        for mut calls in batches.into_iter().rev() {
            while let Some(call) = calls.pop() {
                call.run(&mut out);
            }
        }
        assert!(queue.is_idle());
        assert_eq!(out.len() as u64, queue.finished());
    }

    #[test]
    fn what_is_dropped_unrun_is_dropped_once() {
        let queue = queue();
        let held = Arc::new(());
        for _ in 0..3 * SLOTS {
            let held = Arc::clone(&held);
            // SAFETY: as above.
            unsafe { queue.push(Callback::new(move |_: &mut Vec<usize>| drop(held))) };
        }
        let mut calls = collect(queue);
        calls.pop().unwrap().run(&mut Vec::new());
        assert_eq!(Arc::strong_count(&held), 3 * SLOTS);
        drop(calls);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(queue.is_idle());
    }
}
