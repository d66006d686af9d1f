//! The chain of nodes of an `RcuList`, with one writer at a time and readers that go forward.
//!
//! # States of a node
//! | state | moved there by | reached by |
//! |---|---|---|
//! | private | the thread that makes it | this thread, in a [`Run`] |
//! | linked | a writer: Release store to the link before it | all threads |
//! | removed | a writer: Release store of what follows it to the link before it | sections that began before |
//! | freed | a callback, or `Retired`, after a grace period that starts after the removal | no thread |
//!
//! A node goes through these states once, in this order, and is never moved along the chain.
//!
//! # Order
//! A link is stored with Release, after the node that it will point to is whole, and followed with
//! Acquire. A removal is Release, too: it publishes the next node anew. Another writer may have
//! made that node; this writer saw its publication through the lock, and the reader has not seen
//! it.
//!
//! # A reader on a removed node
//! The removed node's link does not change. The node that it leads to may have been removed since,
//! and retired. Say A was removed first, then the next node B. A section that stands on A reached
//! it by links that were stored before A's removal. So the section holds up a grace period that
//! starts after this removal. B's grace period starts later still, and a section that holds up one
//! grace period holds up every later one. So B lives as long as the section, and so on along the
//! chain.
//!
//! # Numbers
//! A run that is linked at the end gets a new number, the highest. A node that is linked before
//! another gets the number of that one. So numbers never fall along the chain. A walk begins with
//! the highest number, and ends at a node with a higher one: this node and all after it were linked
//! later. So a walk over a list that is used as a queue ends, however fast the queue grows.
//!
//! # Invariants
//! 1. The head link and each linked node's link point to a linked node; the last link is null.
//! 2. Only the holder of the writers' lock stores links, and only the head link and those of linked
//!    nodes. So a removed node's link does not change.
//! 3. `Tail` is the last linked node, null if there is none.
//! 4. A removed node is freed once, after all sections that could reach it have ended.

use super::drop_all::{DropAll, drop_boxes};
use crate::sys::prim::{AtomicPtr, Ordering};
use std::iter;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// A pointer to the next node; null at the end. The list makes the first one in a `const fn`.
#[derive(Debug)]
pub(crate) struct Link<T>(pub(super) AtomicPtr<Node<T>>);

#[derive(Debug)]
pub(crate) struct Node<T> {
    pub(crate) next: Link<T>,
    /// Set before the node is linked: see "Numbers".
    pub(crate) number: u64,
    pub(crate) value: T,
}

impl<T> Link<T> {
    /// Returns the next node, for a reader.
    #[inline(always)]
    pub(crate) fn follow(&self) -> *mut Node<T> {
        self.0.load(Ordering::Acquire)
    }

    /// Returns the next node, for the writer, which stored the link or holds the lock under which
    /// the link was stored.
    pub(crate) fn peek(&self) -> *mut Node<T> {
        self.0.load(Ordering::Relaxed)
    }

    fn point(&self, next: *mut Node<T>) {
        self.0.store(next, Ordering::Release);
    }
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Link(AtomicPtr::new(ptr::null_mut()))
    }
}

/// The end of a chain, which the writers' lock guards.
#[derive(Debug)]
pub(crate) struct Tail<T> {
    last: *mut Node<T>,
    /// The highest number of a node.
    appended: u64,
}

// SAFETY: a pointer into the chain, which only the holder of the writers' lock uses.
unsafe impl<T: Send> Send for Tail<T> {}

impl<T> Tail<T> {
    pub(crate) const EMPTY: Self = Self { last: ptr::null_mut(), appended: 0 };

    pub(crate) fn last(&self) -> *mut Node<T> {
        self.last
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Returns the link after `before`, or the head if `before` is null.
    ///
    /// # Safety
    /// `before` is null or a linked node, and the writers' lock is held as long as the link is
    /// used.
    pub(crate) unsafe fn link_after(head: &Link<T>, before: *mut Node<T>) -> &Link<T> {
        match before.is_null() {
            true => head,
            // SAFETY: linked, and no other writer removes it while the lock is held.
            false => unsafe { &(*before).next },
        }
    }

    /// Links a run after `before`, or at the front if `before` is null.
    ///
    /// # Safety
    /// This is the tail of `head`, the writers' lock is held, and `before` is null or linked.
    pub(crate) unsafe fn insert(&mut self, head: &Link<T>, before: *mut Node<T>, run: Run<T>) {
        let run = ManuallyDrop::new(run);
        let (first, last) = (run.first, run.last);
        if first.is_null() {
            return;
        }
        // SAFETY: by the caller's word.
        let link = unsafe { Self::link_after(head, before) };
        let next = link.peek();
        if next.is_null() {
            self.appended += 1;
            self.last = last;
        }
        // SAFETY: linked (invariant 1).
        let number = unsafe { next.as_ref() }.map_or(self.appended, |next| next.number);
        let mut at = first;
        while let Some(node) = NonNull::new(at) {
            // SAFETY: a node of the run, private as yet.
            unsafe {
                (*node.as_ptr()).number = number;
                at = (*node.as_ptr()).next.peek();
            }
        }
        // SAFETY: the run's last node, private as yet.
        unsafe { &(*last).next }.point(next);
        link.point(first);
    }

    /// Takes out the node after `before`, or the first one if `before` is null. Returns null if
    /// there is none.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert). The caller frees what this returns, by invariant 4.
    pub(crate) unsafe fn remove(&mut self, head: &Link<T>, before: *mut Node<T>) -> *mut Node<T> {
        // SAFETY: by the caller's word.
        let link = unsafe { Self::link_after(head, before) };
        let removed = link.peek();
        if !removed.is_null() {
            // SAFETY: linked (invariant 1).
            let next = unsafe { &(*removed).next }.peek();
            link.point(next);
            if next.is_null() {
                self.last = before;
            }
        }
        removed
    }

    /// Replaces the node after `before`, in one step, and returns the old one. Does nothing and
    /// returns null if there is none.
    ///
    /// # Safety
    /// As for [`remove`](Self::remove).
    pub(crate) unsafe fn replace(
        &mut self,
        head: &Link<T>,
        before: *mut Node<T>,
        mut by: Box<Node<T>>,
    ) -> *mut Node<T> {
        // SAFETY: by the caller's word.
        let link = unsafe { Self::link_after(head, before) };
        let removed = link.peek();
        if !removed.is_null() {
            // SAFETY: linked (invariant 1).
            let old = unsafe { &*removed };
            let next = old.next.peek();
            by.next.point(next);
            by.number = old.number;
            let by = Box::into_raw(by);
            link.point(by);
            if next.is_null() {
                self.last = by;
            }
        }
        removed
    }

    /// Takes out all nodes, which stay linked among themselves. Returns null if there are none.
    ///
    /// # Safety
    /// As for [`remove`](Self::remove); [`free_all`] frees them.
    pub(crate) unsafe fn clear(&mut self, head: &Link<T>) -> *mut Node<T> {
        let first = head.peek();
        head.point(ptr::null_mut());
        self.last = ptr::null_mut();
        first
    }
}

/// Frees a node and all nodes after it, without recursion. A panicking drop does not skip the
/// others.
///
/// # Safety
/// Called once, when no reader is left.
unsafe fn drop_all<T>(first: *mut Node<T>) -> DropAll {
    let mut at = first;
    let nodes = iter::from_fn(|| {
        let node = NonNull::new(at)?;
        // SAFETY: not freed yet.
        at = unsafe { &(*node.as_ptr()).next }.peek();
        Some(node)
    });
    // SAFETY: nodes come from boxes, and these are the caller's alone; none is used again.
    unsafe { drop_boxes(nodes) }
}

/// Frees a node and all nodes after it, without recursion. A panicking drop does not skip the
/// others; the first panic continues at the end.
///
/// # Safety
/// Called once, when no reader is left.
pub(crate) unsafe fn free_all<T>(first: *mut Node<T>) {
    // SAFETY: passed on.
    unsafe { drop_all(first) }.end();
}

/// A row of private nodes, which a writer links in one step.
#[derive(Debug)]
pub(crate) struct Run<T> {
    first: *mut Node<T>,
    last: *mut Node<T>,
    len: usize,
}

impl<T> Run<T> {
    pub(crate) fn of(node: Box<Node<T>>) -> Self {
        let mut run = Run::default();
        run.push(node);
        run
    }

    pub(crate) fn push(&mut self, node: Box<Node<T>>) {
        let node = Box::into_raw(node);
        match self.last.is_null() {
            true => self.first = node,
            // SAFETY: private to this run, which owns it.
            false => unsafe { &(*self.last).next }.point(node),
        }
        self.last = node;
        self.len += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn last(&self) -> *mut Node<T> {
        self.last
    }
}

impl<T> Node<T> {
    pub(crate) fn new(value: T) -> Self {
        Node { next: Link::default(), number: 0, value }
    }
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Run { first: ptr::null_mut(), last: ptr::null_mut(), len: 0 }
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        // The code that fills the run is unwinding, and a second panic would end the process.
        // SAFETY: private to this run, which owns the nodes.
        unsafe { drop_all(self.first) }.end_quietly();
    }
}
