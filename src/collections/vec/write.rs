//! The writer of an array, whose edits are published together or not at all.
//!
//! # Invariants
//! 1. The writer holds the lock, so the current spine is the one that `elements` was copied from.
//! 2. `elements` is the array as edited. `removed` has what the edits took out, in their order.
//!    `added` has what the writer made, in `elements` or `removed`. Before `elements` is published,
//!    the writer owns what it added, and the current spine owns the rest.
//! 3. A removed element becomes a `Retired` only after the array without it is published.

use super::super::drop_all::drop_boxes;
use super::super::shown::Shown;
use super::super::writers::Writing;
use super::{RcuVec, State, boxed, out_of_range};
use crate::Retired;
use std::fmt;
use std::mem;
use std::ptr::NonNull;

/// The right to write an [`RcuVec`], and the array as edited. From [`RcuVec::write`].
///
/// The methods work on the edited array. [`publish`](Self::publish) shows all edits to readers in
/// one step. If the writer is dropped before, also by a panic, the array stays as it was, and the
/// domain's executor drops the added elements. Other writers wait until this writer is dropped; if
/// it is leaked, for ever, and what it added is leaked. Meanwhile this thread may read the array,
/// and must write it only through the writer.
///
/// ```
/// use async_rcu::RcuVec;
/// let array: RcuVec<u32> = (0..3).collect();
/// let mut writer = array.write();
/// writer.remove(0);
/// writer.push(3);
/// assert_eq!(array.len(), 3);                    // readers see no edit yet
/// writer.publish();
/// assert_eq!(array.len(), 3);                    // 1, 2, 3
/// let mut writer = array.write();
/// writer.pop();
/// drop(writer);                                  // no reader sees this edit
/// assert_eq!(array.len(), 3);
/// ```
#[must_use = "edits are lost unless published"]
pub struct VecWriter<'a, T: Send + Sync + 'static> {
    array: &'a RcuVec<T>,
    state: Writing<'a, State>,
    elements: Vec<NonNull<T>>,
    removed: Vec<NonNull<T>>,
    added: Vec<NonNull<T>>,
}

impl<'a, T: Send + Sync + 'static> VecWriter<'a, T> {
    pub(super) fn new(array: &'a RcuVec<T>, state: Writing<'a, State>) -> Self {
        let spine = array.spine();
        // SAFETY: the lock is held.
        let shown = spine.map_or(Shown::EMPTY, |spine| unsafe { spine.show() });
        let elements = shown.iter().collect();
        Self { array, state, elements, removed: Vec::new(), added: Vec::new() }
    }

    /// Returns the number of elements.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.push(3);
    /// assert_eq!((writer.len(), array.len()), (4, 3));
    /// ```
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns whether there are no elements.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = [1].into_iter().collect();
    /// let mut writer = array.write();
    /// writer.pop();
    /// assert!(writer.is_empty() && !array.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns an element, or `None` if the index is out of range.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.replace(0, 10);
    /// assert_eq!((writer.get(0), writer.get(3)), (Some(&10), None));
    /// ```
    pub fn get(&self, index: usize) -> Option<&T> {
        // SAFETY: not freed while the writer holds the lock (invariants 1, 2).
        self.elements.get(index).map(|at| unsafe { at.as_ref() })
    }

    /// Adds an element at the end.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = RcuVec::new();
    /// let mut writer = array.write();
    /// writer.push(1);
    /// writer.publish();
    /// assert_eq!(array.len(), 1);
    /// ```
    pub fn push(&mut self, value: T) {
        let value = self.add(value);
        self.elements.push(value);
    }

    /// Removes the last element. Returns `false` if there is none.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = [1].into_iter().collect();
    /// let mut writer = array.write();
    /// assert!(writer.pop());
    /// assert!(!writer.pop());
    /// ```
    pub fn pop(&mut self) -> bool {
        let last = self.elements.pop();
        self.removed.extend(last);
        last.is_some()
    }

    /// Replaces an element.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.replace(1, 10);
    /// let old = writer.publish();
    /// assert_eq!(*old[0], 1);
    /// ```
    ///
    /// # Panics
    /// If `index` is out of range.
    #[track_caller]
    pub fn replace(&mut self, index: usize, value: T) {
        self.assert_in_range(index, "replace");
        let value = self.add(value);
        let old = mem::replace(&mut self.elements[index], value);
        self.removed.push(old);
    }

    /// Removes an element, and moves the last one to its place.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.swap_remove(0);
    /// writer.publish();
    /// assert!(array.iter(&Rcu::global().read()).eq(&[2, 1]));
    /// ```
    ///
    /// # Panics
    /// If `index` is out of range.
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) {
        self.assert_in_range(index, "swap_remove");
        self.removed.push(self.elements.swap_remove(index));
    }

    /// Removes an element, and moves the later ones forward.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.remove(0);
    /// writer.publish();
    /// assert!(array.iter(&Rcu::global().read()).eq(&[1, 2]));
    /// ```
    ///
    /// # Panics
    /// If `index` is out of range.
    #[track_caller]
    pub fn remove(&mut self, index: usize) {
        self.assert_in_range(index, "remove");
        self.removed.push(self.elements.remove(index));
    }

    /// Inserts an element before the one at `index`, or at the end.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = [1, 3].into_iter().collect();
    /// let mut writer = array.write();
    /// writer.insert(1, 2);
    /// writer.publish();
    /// assert!(array.iter(&Rcu::global().read()).eq(&[1, 2, 3]));
    /// ```
    ///
    /// # Panics
    /// If `index` is beyond the end.
    #[track_caller]
    pub fn insert(&mut self, index: usize, value: T) {
        if index > self.len() {
            out_of_range("insert", index, self.len());
        }
        let value = self.add(value);
        self.elements.insert(index, value);
    }

    /// Exchanges the places of two elements.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.swap(0, 2);
    /// writer.publish();
    /// assert!(array.iter(&Rcu::global().read()).eq(&[2, 1, 0]));
    /// ```
    ///
    /// # Panics
    /// If one of them is out of range.
    #[track_caller]
    pub fn swap(&mut self, a: usize, b: usize) {
        self.assert_in_range(a, "swap");
        self.assert_in_range(b, "swap");
        self.elements.swap(a, b);
    }

    /// Shows all edits to readers, and releases the lock. Returns what was removed, in the order of
    /// the edits.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let mut writer = array.write();
    /// writer.pop();
    /// let removed = writer.publish();
    /// assert_eq!((array.len(), *removed[0]), (2, 2));
    /// ```
    pub fn publish(mut self) -> Vec<Retired<T>> {
        // Starts the domain first, so that a refused start loses nothing.
        self.array.rcu();
        // SAFETY: the lock is held. What is not shown any more is retired below.
        unsafe { self.array.show(&mut self.state, &self.elements) };
        // Nothing panics from here on. The added elements are in the array or in `removed`.
        self.added = Vec::new();
        let removed = mem::take(&mut self.removed);
        let retire = |element| {
            // SAFETY: not in the published spine, and each once (invariant 2).
            unsafe { self.array.retired(element) }
        };
        removed.into_iter().map(retire).collect()
    }

    fn add(&mut self, value: T) -> NonNull<T> {
        let value = boxed(self.array.rcu().boxed(value));
        self.added.push(value);
        value
    }

    #[track_caller]
    fn assert_in_range(&self, index: usize, what: &str) {
        if index >= self.len() {
            out_of_range(what, index, self.len());
        }
    }
}

impl<T: Send + Sync + 'static> Drop for VecWriter<'_, T> {
    fn drop(&mut self) {
        if self.added.is_empty() {
            return;
        }
        let added = mem::take(&mut self.added);
        // In a callback, since the lock is held here, and a panic may be unwinding.
        // SAFETY: from boxes and owned by the writer alone (invariant 2); `T` is `Send`.
        unsafe { self.array.rcu().call_unchecked(move || drop_boxes(added).end()) };
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for VecWriter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = (0..self.len()).map(|at| self.get(at));
        f.debug_list().entries(elements.flatten()).finish()
    }
}
