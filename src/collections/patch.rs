//! A patch of a spine: a length, and a tree of the slots that have another element than the spine.
//!
//! A patch and its nodes are written before the patch is published, and never afterwards. A new
//! patch shares the nodes of the patch before it, except for the nodes on the way to a changed
//! slot, which it copies. So a patch costs [`cost`] words, whatever the length of the spine is.
//!
//! # Invariants
//! 1. A node of the lowest level has pointers to elements, and a node of another level has pointers
//!    to nodes. A null pointer leads to slots that are as in the spine.
//! 2. A patch owns the nodes that were made for it, and the patch before it. The spine owns the
//!    newest patch.

use crate::sys::prim::{AtomicPtr, Ordering};
use std::fmt;
use std::ptr::{self, NonNull};

/// An index has so many bits at each level.
const BITS: u32 = 3;
const WAYS: usize = 1 << BITS;

/// The words of a patch without nodes.
const PATCH: usize = size_of::<Patch<()>>() / size_of::<usize>();

#[derive(Clone, Copy)]
struct Node([*mut (); WAYS]);

pub(crate) struct Patch<T> {
    len: usize,
    /// The slots below this are as in the spine.
    unchanged: usize,
    slots: *const AtomicPtr<T>,
    levels: u32,
    /// The node of the highest level, or null.
    root: *mut (),
    /// The nodes that were made for this patch, from a box.
    nodes: *mut [Node],
    /// The words of this patch and of all before it.
    cost: usize,
    /// The patch before this one, from a box, or null.
    earlier: *mut Patch<T>,
}

// SAFETY: a patch lends out addresses only, and does not change while it is shared.
unsafe impl<T> Send for Patch<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Patch<T> {}

/// Returns how many levels lead to each of `capacity` slots.
fn levels(capacity: usize) -> u32 {
    (usize::BITS - capacity.saturating_sub(1).leading_zeros()).div_ceil(BITS)
}

/// Returns how many words a patch takes that changes `edits` slots.
pub(super) fn cost(capacity: usize, edits: usize) -> usize {
    let nodes = edits.saturating_mul(levels(capacity) as usize);
    nodes.saturating_mul(WAYS).saturating_add(PATCH)
}

/// Returns which pointer of a node at `level` leads to the slot.
fn way(at: usize, level: u32) -> usize {
    (at >> (BITS * level)) % WAYS
}

impl<T> Patch<T> {
    /// Makes a patch that changes nothing of a spine.
    ///
    /// # Safety
    /// The spine has `capacity` slots, of which `len` are visible, and outlives the patch.
    pub(super) unsafe fn of(slots: *const AtomicPtr<T>, capacity: usize, len: usize) -> *mut Self {
        Box::into_raw(Box::new(Self {
            len,
            unchanged: len,
            slots,
            levels: levels(capacity),
            root: ptr::null_mut(),
            nodes: Box::into_raw(Box::new([])),
            cost: PATCH,
            earlier: ptr::null_mut(),
        }))
    }

    /// Makes the next patch: `len` elements, where those of `edits` are new.
    ///
    /// # Safety
    /// `earlier` is the spine's newest patch, and belongs to the new one from now on. The edits are
    /// below the capacity. The slots below `len` are visible in `earlier`, or in the edits.
    pub(super) unsafe fn next(
        earlier: *mut Self,
        len: usize,
        edits: &[(usize, NonNull<T>)],
    ) -> *mut Self {
        // SAFETY: not freed while the writer uses it.
        let before = unsafe { &*earlier };
        let levels = before.levels;
        let count = edits.len() * levels as usize;
        let nodes = Box::into_raw(vec![Node([ptr::null_mut(); WAYS]); count].into_boxed_slice());
        let mut free = nodes.cast::<Node>();
        let mut root = before.root;
        for (at, element) in edits {
            let mut link = &raw mut root;
            for level in (0..levels).rev() {
                // SAFETY: `count` has a node for each edit and level. A link is in `root` or in a
                // node of this patch, and leads to a node or to null (invariant 1).
                unsafe {
                    let node = free;
                    free = free.add(1);
                    if let Some(old) = (*link).cast::<Node>().as_ref() {
                        node.write(*old);
                    }
                    link.write(node.cast());
                    link = (&raw mut (*node).0).cast::<*mut ()>().add(way(*at, level));
                }
            }
            // SAFETY: as above. A spine has at least two slots, so there is a level.
            unsafe { link.write(element.as_ptr().cast()) };
        }
        let lowest = edits.iter().map(|(at, _)| *at).fold(len, usize::min);
        Box::into_raw(Box::new(Self {
            len,
            unchanged: before.unchanged.min(lowest),
            slots: before.slots,
            levels,
            root,
            nodes,
            cost: before.cost + count * WAYS + PATCH,
            earlier,
        }))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn unchanged(&self) -> usize {
        self.unchanged
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Returns the element of a slot below the length.
    ///
    /// # Safety
    /// The slot is below the length. The spine and the patch are not freed meanwhile.
    pub(super) unsafe fn get(&self, at: usize) -> *mut T {
        let mut found = self.root;
        for level in (0..self.levels).rev() {
            // SAFETY: a node or null (invariant 1), and not freed before the patch.
            match unsafe { found.cast::<Node>().as_ref() } {
                Some(node) => found = node.0[way(at, level)],
                None => break,
            }
        }
        if found.is_null() {
            // SAFETY: a slot of the spine. Relaxed, since it was written before the patch.
            return unsafe { &*self.slots.add(at) }.load(Ordering::Relaxed);
        }
        found.cast()
    }

    /// Frees a patch and all before it.
    ///
    /// # Safety
    /// Called once, when no reader is left. The patch is the newest one, or null.
    pub(super) unsafe fn free(newest: *mut Self) {
        let mut next = newest;
        while !next.is_null() {
            // SAFETY: from a box (invariant 2), and the caller's alone.
            let patch = unsafe { Box::from_raw(next) };
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(patch.nodes) });
            next = patch.earlier;
        }
    }
}

impl<T> fmt::Debug for Patch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patch").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_way_of_its_own() {
        for (capacity, expected) in [(4, 1), (8, 1), (9, 2), (64, 2), (65, 3), (131_072, 6)] {
            assert_eq!(levels(capacity), expected, "{capacity}");
        }
        assert_eq!(cost(64, 2), 2 * 2 * WAYS + PATCH);
        assert_eq!(cost(64, usize::MAX), usize::MAX);
    }

    #[test]
    fn each_patch_shows_its_own_version() {
        const SLOTS: usize = 200;
        let mut elements: Vec<u32> = (0..1_000).collect();
        let elements: Vec<_> = elements.iter_mut().map(NonNull::from).collect();
        let slots: Vec<_> =
            elements.iter().take(SLOTS).map(|e| AtomicPtr::new(e.as_ptr())).collect();
        // SAFETY: the slots outlive the patches, which are freed once.
        unsafe {
            let mut newest = Patch::of(slots.as_ptr(), SLOTS, SLOTS);
            let mut model: Vec<usize> = (0..SLOTS).collect();
            let mut all = vec![(newest, model.clone())];
            for step in 0..200 {
                let at = 50 + step * 37 % 100;
                let element = 200 + step * 4;
                model.truncate(SLOTS - step % 7);
                model[at] = element;
                let mut edits = vec![(at, elements[element])];
                if step % 3 == 0 && model.len() < SLOTS {
                    edits.push((model.len(), elements[element + 1]));
                    model.push(element + 1);
                } else {
                    // What the model has forgotten is visible no more.
                    let before = &all.last().unwrap().1;
                    model.truncate(before.len());
                }
                newest = Patch::next(newest, model.len(), &edits);
                all.push((newest, model.clone()));
                while model.len() < SLOTS {
                    edits = vec![(model.len(), elements[element + 2])];
                    model.push(element + 2);
                    newest = Patch::next(newest, model.len(), &edits);
                    all.push((newest, model.clone()));
                }
            }
            for (patch, model) in all {
                let patch = &*patch;
                assert_eq!(patch.len(), model.len());
                let shown = (0..patch.len()).map(|at| *patch.get(at));
                assert!(shown.eq(model.iter().map(|at| *at as u32)));
                let unchanged = 0..patch.unchanged();
                assert!(unchanged.clone().all(|at| model[at] == at));
            }
            Patch::free(newest);
        }
    }
}
