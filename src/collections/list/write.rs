//! The writer of a list, which makes edits at the place where it stands.
//!
//! # Invariants
//! 1. The writer holds the lock, so that no other writer changes the links.
//! 2. `before` is the linked node before the place where the writer stands, or null if the writer
//!    stands at the front.

use super::super::chain::{Link, Node, Run, Tail};
use super::super::drop_all::drop_boxes;
use super::super::writers::Writing;
use super::RcuList;
use crate::Retired;
use crate::sys::prim::Ordering;
use std::fmt;
use std::mem;
use std::ptr::{self, NonNull};

/// The right to write an [`RcuList`], and a place in it: on an element, or at the end, after the
/// last element. From [`RcuList::write`].
///
/// Readers see each edit as it is made. Edits before and after the writer's element do not move the
/// writer. Other writers wait until this writer is dropped; if it is leaked, for ever. Meanwhile
/// this thread may read the list, and must write it only through the writer.
///
/// ```
/// use async_rcu::{Rcu, RcuList};
/// let list = RcuList::new();
/// let mut writer = list.write();
/// writer.push_back("b");
/// writer.move_to_front();
/// assert_eq!(writer.current(), Some(&"b"));
/// writer.insert_before("a");
/// writer.insert_after("c");
/// assert_eq!(writer.current(), Some(&"b"));
/// let b = writer.remove().unwrap();
/// assert_eq!((*b, writer.current()), ("b", Some(&"c")));
/// drop(writer);
/// assert!(list.iter(&Rcu::global().read()).eq(&["a", "c"]));
/// ```
#[must_use = "the list is unlocked when the writer is dropped"]
pub struct ListWriter<'a, T: Send + Sync + 'static> {
    list: &'a RcuList<T>,
    tail: Writing<'a, Tail<T>>,
    before: *mut Node<T>,
}

impl<'a, T: Send + Sync + 'static> ListWriter<'a, T> {
    /// Makes a writer on the first element.
    pub(super) fn new(list: &'a RcuList<T>, tail: Writing<'a, Tail<T>>) -> Self {
        Self { list, tail, before: ptr::null_mut() }
    }

    /// Returns the link to the element that the writer stands on.
    fn current_link(&self) -> &Link<T> {
        // SAFETY: invariants 1, 2.
        unsafe { Tail::link_after(&self.list.head, self.before) }
    }

    /// Returns the element that the writer stands on; `None` at the end.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// let mut writer = list.write();
    /// assert_eq!(writer.current(), Some(&1));
    /// writer.move_next();
    /// assert_eq!(writer.current(), None);            // at the end
    /// ```
    pub fn current(&self) -> Option<&T> {
        // SAFETY: null or linked, and not removed while `self` is borrowed (invariant 1).
        let node = unsafe { self.current_link().peek().as_ref() };
        node.map(|node| &node.value)
    }

    /// Goes to the next element. At the end the writer stays there.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1, 2].into_iter().collect();
    /// let mut writer = list.write();
    /// writer.move_next();
    /// assert_eq!(writer.current(), Some(&2));
    /// ```
    pub fn move_next(&mut self) {
        let node = self.current_link().peek();
        if !node.is_null() {
            self.before = node;
        }
    }

    /// Goes back to the first element.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1, 2].into_iter().collect();
    /// let mut writer = list.write();
    /// writer.move_next();
    /// writer.move_to_front();
    /// assert_eq!(writer.current(), Some(&1));
    /// ```
    pub fn move_to_front(&mut self) {
        self.before = ptr::null_mut();
    }

    /// Adds an element before the writer's element, or as the last if the writer is at the end.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [2].into_iter().collect();
    /// let mut writer = list.write();
    /// writer.insert_before(1);
    /// assert_eq!(writer.current(), Some(&2));
    /// drop(writer);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2]));
    /// ```
    pub fn insert_before(&mut self, value: T) {
        let run = Run::of(self.list.rcu().boxed(Node::new(value)));
        let added = run.last();
        self.insert(self.before, run);
        self.before = added;
    }

    /// Adds an element after the writer's element. A writer at the end adds the last, and stays at
    /// the end.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [1, 3].into_iter().collect();
    /// let mut writer = list.write();
    /// writer.insert_after(2);
    /// assert_eq!(writer.current(), Some(&1));
    /// drop(writer);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2, 3]));
    /// ```
    pub fn insert_after(&mut self, value: T) {
        let node = self.current_link().peek();
        match node.is_null() {
            true => self.insert_before(value),
            false => self.insert(node, Run::of(self.list.rcu().boxed(Node::new(value)))),
        }
    }

    /// Removes the writer's element, and goes to the next. Returns `None` at the end.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1, 2].into_iter().collect();
    /// let mut writer = list.write();
    /// assert_eq!(*writer.remove().unwrap(), 1);
    /// assert_eq!(writer.current(), Some(&2));
    /// ```
    pub fn remove(&mut self) -> Option<Retired<T>> {
        let node = self.take_out()?;
        // SAFETY: just taken out.
        Some(unsafe { self.retired(node) })
    }

    /// Replaces the writer's element in one step, and stays on the new one. Returns the old one.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// let mut writer = list.write();
    /// assert_eq!(*writer.replace(10).unwrap(), 1);
    /// assert_eq!(writer.current(), Some(&10));
    /// writer.move_next();
    /// assert_eq!(writer.replace(20).unwrap_err(), 20);
    /// ```
    ///
    /// # Errors
    /// The value, at the end.
    pub fn replace(&mut self, value: T) -> Result<Retired<T>, T> {
        if self.current_link().peek().is_null() {
            return Err(value);
        }
        let node = self.list.rcu().boxed(Node::new(value));
        self.list.start();
        // SAFETY: invariants 1, 2.
        let removed = unsafe { self.tail.replace(&self.list.head, self.before, node) };
        let removed = NonNull::new(removed).expect("looked at above");
        // SAFETY: just taken out.
        Ok(unsafe { self.retired(removed) })
    }

    /// Adds an element at the front.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [2].into_iter().collect();
    /// let mut writer = list.write();
    /// writer.push_front(1);
    /// assert_eq!(writer.current(), Some(&2));
    /// drop(writer);
    /// assert_eq!(list.front(&Rcu::global().read()), Some(&1));
    /// ```
    pub fn push_front(&mut self, value: T) {
        let run = Run::of(self.list.rcu().boxed(Node::new(value)));
        let added = run.last();
        self.insert(ptr::null_mut(), run);
        if self.before.is_null() {
            // The writer stood on the first element, or at the end of an empty list.
            self.before = added;
        }
    }

    /// Adds an element at the back. A writer at the end stays at the end.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// list.write().push_back(2);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2]));
    /// ```
    pub fn push_back(&mut self, value: T) {
        let at_end = self.current_link().peek().is_null();
        let run = Run::of(self.list.rcu().boxed(Node::new(value)));
        let added = run.last();
        self.insert(self.last(), run);
        if at_end {
            self.before = added;
        }
    }

    /// Removes the first element. A writer that stood on it goes to the next.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1, 2].into_iter().collect();
    /// let mut writer = list.write();
    /// assert_eq!(*writer.pop_front().unwrap(), 1);
    /// assert_eq!(writer.current(), Some(&2));
    /// ```
    pub fn pop_front(&mut self) -> Option<Retired<T>> {
        let first = self.list.head.peek();
        let before = mem::replace(&mut self.before, ptr::null_mut());
        let removed = self.take_out();
        if before != first {
            // The writer stood on a later element.
            self.before = before;
        }
        // SAFETY: just taken out.
        removed.map(|node| unsafe { self.retired(node) })
    }

    /// Removes elements as [`RcuList::retain`] does, and goes to the first element.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = (0..10).collect();
    /// let mut writer = list.write();
    /// writer.retain(|n| n % 5 == 0);
    /// assert_eq!(writer.len(), 2);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.move_to_front();
        let mut refused = Refused { list: self.list, nodes: Vec::new() };
        while let Some(value) = self.current() {
            if keep(value) {
                self.move_next();
            } else {
                refused.nodes.extend(self.take_out());
            }
        }
        self.move_to_front();
    }

    /// Removes all elements, and retires them in one callback.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = (0..10).collect();
    /// let mut writer = list.write();
    /// writer.clear();
    /// writer.push_back(7);                           // readers may see the list empty between
    /// assert_eq!(writer.len(), 1);
    /// ```
    pub fn clear(&mut self) {
        self.list.start();
        self.before = ptr::null_mut();
        // SAFETY: invariant 1.
        let first = unsafe { self.tail.clear(&self.list.head) };
        self.list.len.store(0, Ordering::Relaxed);
        // SAFETY: just taken out.
        unsafe { self.list.retire_all(first) };
    }

    /// Returns the number of elements.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = (0..10).collect();
    /// assert_eq!(list.write().len(), 10);
    /// ```
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are no elements.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = RcuList::new();
    /// assert!(list.write().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn last(&self) -> *mut Node<T> {
        self.tail.last()
    }

    /// Inserts after `before`, which is null or linked.
    pub(super) fn insert(&mut self, before: *mut Node<T>, run: Run<T>) {
        let len = self.len() + run.len();
        // SAFETY: the lock is held (invariant 1), and `before` is null or linked.
        unsafe { self.tail.insert(&self.list.head, before, run) };
        self.list.appended.store(self.tail.appended(), Ordering::Relaxed);
        self.list.len.store(len, Ordering::Relaxed);
    }

    /// Takes out the node that the writer stands on.
    fn take_out(&mut self) -> Option<NonNull<Node<T>>> {
        self.list.start();
        // SAFETY: invariants 1, 2.
        let removed = NonNull::new(unsafe { self.tail.remove(&self.list.head, self.before) })?;
        self.list.len.store(self.len() - 1, Ordering::Relaxed);
        Some(removed)
    }

    /// # Safety
    /// The node has just been taken out, and nothing else frees it.
    unsafe fn retired(&self, node: NonNull<Node<T>>) -> Retired<T> {
        // SAFETY: only sections of the list's domain reach it, and none from now on.
        unsafe { Retired::from_holder(self.list.rcu(), node.as_ptr()) }
    }
}

/// The nodes that `retain` has taken out, and retires when it ends, also by a panic.
struct Refused<'a, T: Send + Sync + 'static> {
    list: &'a RcuList<T>,
    nodes: Vec<NonNull<Node<T>>>,
}

impl<T: Send + Sync + 'static> Drop for Refused<'_, T> {
    fn drop(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let nodes = mem::take(&mut self.nodes);
        // SAFETY: the only owner of nodes that were taken out before. The callback runs after a
        // grace period that starts later (invariant 2 of the list). `T` is `Send`.
        unsafe { self.list.rcu().call_unchecked(move || drop_boxes(nodes).end()) };
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for ListWriter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListWriter").field("current", &self.current()).finish_non_exhaustive()
    }
}
