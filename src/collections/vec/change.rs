//! How a change is shown to readers: in place, by a patch, or by a new spine. `spine` has the
//! protocol.

use super::super::drop_all::drop_boxes;
use super::super::spine::{HighWater, Spine};
use super::super::writers::Writing;
use super::{RcuVec, State, boxed};
use crate::Retired;
use crate::sys::prim::Ordering;
use std::ptr::{self, NonNull};

impl<T: Send + Sync + 'static> RcuVec<T> {
    /// Adds `more` elements at the end.
    pub(super) fn add(
        &self,
        state: &mut Writing<'_, State>,
        more: usize,
        values: impl IntoIterator<Item = Box<T>>,
    ) {
        let current = self.spine();
        if current.is_some() {
            // Starts the domain first, so that a refused start loses nothing.
            self.rcu();
        }
        // SAFETY: the lock is held throughout. Slots that are written are within the capacity, and
        // free or private.
        unsafe {
            let len = current.map_or(0, |spine| spine.len());
            let in_place = current.filter(|spine| {
                len + more <= spine.capacity()
                    && spine.is_flat()
                    && state.water.is_free(len, |next| self.rcu().has_elapsed(*next))
            });
            let spine = match (in_place, current) {
                (Some(spine), _) => spine,
                (None, Some(spine)) if self.patches(state, spine, len + more, more) => {
                    let values: Vec<_> = (len..).zip(values.into_iter().map(boxed)).collect();
                    return spine.set_patch(len + more, &values);
                }
                (None, Some(current)) => current.copy(len, len + more),
                (None, None) => Spine::with_room(more),
            };
            let mut at = len;
            for value in values {
                spine.set(at, boxed(value));
                at += 1;
            }
            spine.set_len(at);
            match in_place {
                Some(_) => state.water.raise(at),
                None => self.publish(state, Some(spine)),
            }
        }
    }

    /// Removes the element at `last`, and retires it.
    ///
    /// # Safety
    /// `last` is the last index of `spine`, which is the current spine.
    pub(super) unsafe fn remove_last(
        &self,
        state: &mut Writing<'_, State>,
        spine: Spine<T>,
        last: usize,
    ) -> Retired<T> {
        // Starts the domain first, so that a refused start loses nothing.
        self.rcu();
        // SAFETY: the lock is held. The element is visible, and `shorten` takes it out.
        unsafe {
            let element = spine.get(last);
            self.shorten(state, spine, last);
            self.retired(element)
        }
    }

    /// Shows readers the first `len` elements only.
    ///
    /// # Safety
    /// As [`change`](Self::change); `len` is below the length.
    unsafe fn shorten(&self, state: &mut Writing<'_, State>, spine: Spine<T>, len: usize) {
        // SAFETY: the lock is held; the rest by the caller's word.
        unsafe {
            if spine.is_flat() {
                spine.set_len(len);
                state.water.lower(self.rcu().grace_period());
            } else {
                self.change(state, spine, len, &[]);
            }
        }
    }

    /// Returns whether a writer that cannot write in place is to patch the spine. Otherwise it
    /// copies the spine, which is counted.
    ///
    /// # Safety
    /// `spine` is the current spine.
    unsafe fn patches(
        &self,
        state: &mut Writing<'_, State>,
        spine: Spine<T>,
        len: usize,
        edits: usize,
    ) -> bool {
        let rcu = self.rcu();
        // SAFETY: the lock is held.
        let has_room = unsafe { spine.has_room_to_patch(len, edits) };
        // A pop needs no new slot, so a copy would only take longer.
        let cheap = edits == 0;
        has_room
            && (cheap
                || !state.copies.may_copy(|| rcu.grace_period(), |first| rcu.has_elapsed(*first)))
    }

    /// Shows readers `len` elements: those of the current spine, but for `edits`.
    ///
    /// # Safety
    /// `spine` is the current spine. The elements below `len` are in it or in `edits`. The caller
    /// has started the domain, and retires the elements that are taken out.
    pub(super) unsafe fn change(
        &self,
        state: &mut Writing<'_, State>,
        spine: Spine<T>,
        len: usize,
        edits: &[(usize, NonNull<T>)],
    ) {
        // SAFETY: the lock is held. A copy is private until it is published.
        unsafe {
            if self.patches(state, spine, len, edits.len()) {
                return spine.set_patch(len, edits);
            }
            let copy = spine.copy(len.min(spine.len()), len);
            for (at, element) in edits {
                copy.set(*at, *element);
            }
            copy.set_len(len);
            self.publish(state, Some(copy));
        }
    }

    /// Shows readers these elements.
    ///
    /// # Safety
    /// As [`change`](Self::change): each element is in the current spine, or new.
    pub(super) unsafe fn show(&self, state: &mut Writing<'_, State>, elements: &[NonNull<T>]) {
        let len = elements.len();
        let current = self.spine().filter(|_| len != 0);
        // SAFETY: the lock is held; the rest by the caller's word.
        unsafe {
            let Some(spine) = current else {
                let spine = (len != 0).then(|| Spine::with_room(len));
                if let Some(spine) = spine {
                    for (at, element) in elements.iter().enumerate() {
                        spine.set(at, *element);
                    }
                    spine.set_len(len);
                }
                return self.publish(state, spine);
            };
            let shown = spine.show();
            let new = elements.iter().copied().enumerate();
            let edits: Vec<_> = new.filter(|(at, new)| shown.get(*at) != Some(*new)).collect();
            match edits.is_empty() {
                false => self.change(state, spine, len, &edits),
                true if len < shown.len() => self.shorten(state, spine, len),
                true => {}
            }
        }
    }

    /// Replaces the current spine, which is retired without its elements.
    ///
    /// # Safety
    /// `spine` is private; the caller retires the elements that are not in it.
    unsafe fn publish(&self, state: &mut Writing<'_, State>, spine: Option<Spine<T>>) {
        let old = self.spine();
        // The caller has started the domain: this does not panic.
        let rcu = old.map(|_| self.rcu());
        self.current.store(spine.map_or(ptr::null_mut(), Spine::as_ptr), Ordering::Release);
        // SAFETY: the lock is held.
        state.water = HighWater::at(spine.map_or(0, |spine| unsafe { spine.len() }));
        if let (Some(old), Some(rcu)) = (old, rcu) {
            // SAFETY: runs after a grace period that starts later, and once.
            unsafe { rcu.call_unchecked(move || old.free()) };
        }
    }

    /// Retires a spine with all elements that it shows.
    ///
    /// # Safety
    /// Just taken out, and nothing else frees it.
    pub(super) unsafe fn retire_whole(&self, spine: Spine<T>) {
        let free = move || {
            // SAFETY: runs once, after a grace period that starts later: no reader is left.
            let drop_all = unsafe {
                let drop_all = drop_boxes(spine.show().iter());
                spine.free();
                drop_all
            };
            drop_all.end();
        };
        // SAFETY: the only owner of the spine and its elements; `T` is `Send`.
        unsafe { self.rcu().call_unchecked(free) };
    }
}
