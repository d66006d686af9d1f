//! The view that a reader has of an array.
//!
//! # Invariants
//! 1. What is shown was the newest version of a spine at one moment, in a section that lasts for
//!    `'g`. Until the section ends, no slot of it is written, and the elements live ("Why what a
//!    view shows is still there" in `spine`).

use super::super::shown::{Elements, Shown};
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Index;
use std::ptr::NonNull;

/// An [`RcuVec`](crate::RcuVec) as it was at one moment, bound to the guard. Later writes do not
/// change the view. From [`RcuVec::load`](crate::RcuVec::load).
///
/// ```
/// use async_rcu::{Rcu, RcuVec, collections::VecView};
/// let array: RcuVec<u32> = (0..3).collect();
/// let guard = Rcu::global().read();
/// let view: VecView<'_, u32> = array.load(&guard);
/// array.pop();
/// assert_eq!(view[2], 2);                        // as it was
/// ```
pub struct VecView<'g, T> {
    shown: Shown<'g, T>,
}

/// An iterator over the elements of a [`VecView`], bound to the guard. From [`VecView::iter`] and
/// [`RcuVec::iter`](crate::RcuVec::iter).
///
/// ```
/// use async_rcu::{Rcu, RcuVec};
/// let array: RcuVec<u32> = (0..3).collect();
/// assert!(array.iter(&Rcu::global().read()).rev().eq(&[2, 1, 0]));
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct VecIter<'g, T> {
    elements: Elements<'g, T>,
}

/// Returns an element of a view.
///
/// # Safety
/// Invariant 1 for the element and its lifetime.
#[inline(always)]
unsafe fn lend<'g, T>(element: NonNull<T>) -> &'g T {
    // SAFETY: by the caller's word.
    unsafe { element.as_ref() }
}

impl<'g, T> VecView<'g, T> {
    #[inline(always)]
    pub(super) fn new(shown: Shown<'g, T>) -> Self {
        Self { shown }
    }

    /// Returns the number of elements.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// assert_eq!(array.load(&Rcu::global().read()).len(), 3);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Returns whether there are no elements.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = RcuVec::new();
    /// assert!(array.load(&Rcu::global().read()).is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an element, or `None` if the index is out of range.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let guard = Rcu::global().read();
    /// let view = array.load(&guard);
    /// assert_eq!((view.get(2), view.get(3)), (Some(&2), None));
    /// ```
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'g T> {
        // SAFETY: an element of this view.
        self.shown.get(index).map(|element| unsafe { lend(element) })
    }

    /// Returns the elements, in order.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let guard = Rcu::global().read();
    /// let view = array.load(&guard);
    /// assert_eq!(view.iter().len(), view.len());
    /// ```
    #[inline]
    pub fn iter(&self) -> VecIter<'g, T> {
        VecIter { elements: self.shown.iter() }
    }
}

#[cold]
#[track_caller]
fn out_of_bounds(index: usize, len: usize) -> ! {
    panic!("index out of bounds: the len is {len} but the index is {index}");
}

impl<T> Index<usize> for VecView<'_, T> {
    type Output = T;

    /// # Panics
    /// If `index` is out of range.
    #[inline]
    #[track_caller]
    fn index(&self, index: usize) -> &T {
        match self.get(index) {
            Some(element) => element,
            None => out_of_bounds(index, self.len()),
        }
    }
}

impl<T> Clone for VecView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for VecView<'_, T> {}

impl<T> Clone for VecIter<'_, T> {
    fn clone(&self) -> Self {
        Self { elements: self.elements.clone() }
    }
}

impl<'g, T> IntoIterator for VecView<'g, T> {
    type Item = &'g T;
    type IntoIter = VecIter<'g, T>;
    fn into_iter(self) -> VecIter<'g, T> {
        self.iter()
    }
}

impl<'g, T> IntoIterator for &VecView<'g, T> {
    type Item = &'g T;
    type IntoIter = VecIter<'g, T>;
    fn into_iter(self) -> VecIter<'g, T> {
        self.iter()
    }
}

impl<'g, T> Iterator for VecIter<'g, T> {
    type Item = &'g T;

    #[inline]
    fn next(&mut self) -> Option<&'g T> {
        // SAFETY: an element of a view.
        self.elements.next().map(|element| unsafe { lend(element) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.elements.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<&'g T> {
        // SAFETY: an element of a view.
        self.elements.nth(n).map(|element| unsafe { lend(element) })
    }
}

impl<T> DoubleEndedIterator for VecIter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        // SAFETY: an element of a view.
        self.elements.next_back().map(|element| unsafe { lend(element) })
    }
}

impl<T> ExactSizeIterator for VecIter<'_, T> {}
impl<T> FusedIterator for VecIter<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for VecView<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for VecIter<'_, T> {
    /// Shows the rest of the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
