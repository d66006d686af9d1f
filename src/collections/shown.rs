//! What a reader sees of a spine: one version of the array. `spine` has the protocol.

use super::patch::Patch;
use crate::sys::prim::{AtomicPtr, Ordering};
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

/// A version of the array: the slots that are as in the spine, and a patch that has the rest.
#[derive(Debug)]
pub(crate) struct Shown<'g, T> {
    slots: &'g [AtomicPtr<T>],
    patch: Option<&'g Patch<T>>,
}

impl<T> Clone for Shown<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shown<'_, T> {}

/// Returns the element of a visible slot.
#[inline(always)]
pub(super) fn element<T>(slot: &AtomicPtr<T>) -> NonNull<T> {
    // Relaxed, since the slot was written before the `len` or the pointer that led here.
    let element = slot.load(Ordering::Relaxed);
    // SAFETY: a visible slot points to an element (invariant 2 of `spine`).
    unsafe { NonNull::new_unchecked(element) }
}

/// Returns the element of a patch, or `None` if the index is out of range.
#[cold]
pub(super) fn patched<T>(patch: &Patch<T>, at: usize) -> Option<NonNull<T>> {
    // SAFETY: in range, and the reference proves that the spine is not freed. The slots of a
    // version point to elements (invariant 2 of `spine`).
    (at < patch.len()).then(|| unsafe { NonNull::new_unchecked(patch.get(at)) })
}

impl<'g, T> Shown<'g, T> {
    /// The version without elements.
    pub(crate) const EMPTY: Self = Self { slots: &[], patch: None };

    #[inline(always)]
    pub(super) fn new(slots: &'g [AtomicPtr<T>], patch: Option<&'g Patch<T>>) -> Self {
        Self { slots, patch }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.patch.map_or(self.slots.len(), Patch::len)
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> Option<NonNull<T>> {
        match self.slots.get(at) {
            Some(slot) => Some(element(slot)),
            None => self.patch.and_then(|patch| patched(patch, at)),
        }
    }

    #[inline]
    pub(crate) fn iter(&self) -> Elements<'g, T> {
        let rest = self.slots.len()..self.len();
        Elements { slots: self.slots.iter(), patch: self.patch, rest }
    }
}

/// The elements of a version.
#[derive(Debug)]
pub(crate) struct Elements<'g, T> {
    slots: slice::Iter<'g, AtomicPtr<T>>,
    patch: Option<&'g Patch<T>>,
    /// The indexes of the elements after those of `slots`.
    rest: Range<usize>,
}

impl<T> Clone for Elements<'_, T> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), patch: self.patch, rest: self.rest.clone() }
    }
}

impl<T> Elements<'_, T> {
    #[cold]
    fn patched(&self, at: Option<usize>) -> Option<NonNull<T>> {
        self.patch.and_then(|patch| patched(patch, at?))
    }
}

impl<T> Iterator for Elements<'_, T> {
    type Item = NonNull<T>;

    #[inline]
    fn next(&mut self) -> Option<NonNull<T>> {
        match self.slots.next() {
            Some(slot) => Some(element(slot)),
            None if self.rest.is_empty() => None,
            None => {
                let at = self.rest.next();
                self.patched(at)
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.slots.len() + self.rest.len();
        (len, Some(len))
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<NonNull<T>> {
        let slots = self.slots.len();
        match self.slots.nth(n) {
            Some(slot) => Some(element(slot)),
            None if self.rest.is_empty() => None,
            None => {
                let at = self.rest.nth(n - slots);
                self.patched(at)
            }
        }
    }
}

impl<T> DoubleEndedIterator for Elements<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<NonNull<T>> {
        if self.rest.is_empty() {
            return self.slots.next_back().map(element);
        }
        let at = self.rest.next_back();
        self.patched(at)
    }
}
