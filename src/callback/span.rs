//! Collected callbacks: the spans of chunks that they lie in, and lists of spans.

use super::Callback;
use super::chunk::Chunk;
use super::inbox::Inbox;
use std::collections::VecDeque;
use std::fmt;
use std::ptr::{self, NonNull};

/// Adjacent callbacks of one chunk that were collected together.
///
/// # Invariant
/// The span alone owns the `left` callbacks from word `next` on. Those in `[start, next)` are
/// consumed. The chunk stays until the span has counted its words, which its drop does.
pub(super) struct Span {
    chunk: NonNull<Chunk>,
    start: usize,
    next: usize,
    end: usize,
    callbacks: usize,
    left: usize,
    /// The bytes of the boxes that the callbacks in `[start, next)` leave empty.
    bytes: usize,
}

// SAFETY: a span owns `Send` callbacks. What it shares of the chunk is atomic.
unsafe impl Send for Span {}

impl Span {
    /// Makes a span of the callbacks in the words `[start, end)`.
    ///
    /// # Safety
    /// They are published, there are so many, and no other span has them.
    pub(super) unsafe fn new(
        chunk: NonNull<Chunk>,
        start: usize,
        end: usize,
        callbacks: usize,
    ) -> Self {
        Self { chunk, start, next: start, end, callbacks, left: callbacks, bytes: 0 }
    }

    fn inbox(&self) -> &'static Inbox {
        // SAFETY: the chunk stays as long as the span does (invariant).
        unsafe { self.chunk.as_ref() }.inbox()
    }

    #[inline]
    fn pop(&mut self) -> Option<Callback> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: the chunk stays as long as the span does (invariant).
        let chunk = unsafe { self.chunk.as_ref() };
        let at = self.next;
        // SAFETY: the span owns the callback, and makes one of its words once: `next` moves on.
        let callback = unsafe { Callback::from_words(|n| chunk.read(at + n)) };
        self.next += callback.words();
        self.bytes += callback.box_bytes();
        Some(callback)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        while let Some(callback) = self.pop() {
            drop(callback);
        }
        let words = self.end - self.start;
        // SAFETY: all callbacks of the span are consumed, and only this drop counts their words.
        unsafe { Chunk::consumed(self.chunk, words, self.callbacks, self.bytes) }
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

    pub(super) fn push(&mut self, span: Span) {
        self.len += span.left;
        self.spans.push_back(span);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Splits the list by the threads that queued the callbacks. Each part comes with the inbox of
    /// its thread.
    pub(crate) fn by_threads(self) -> Vec<(&'static Inbox, CallbackList)> {
        let mut parts: Vec<(&'static Inbox, CallbackList)> = Vec::new();
        for span in self.spans {
            let inbox = span.inbox();
            // The callbacks of a thread were collected together.
            match parts.last_mut().filter(|(last, _)| ptr::eq(*last, inbox)) {
                Some((_, part)) => part.push(span),
                None => {
                    let mut part = CallbackList::new();
                    part.push(span);
                    parts.push((inbox, part));
                }
            }
        }
        parts
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
