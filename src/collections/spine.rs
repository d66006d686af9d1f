//! The spine of an `RcuVec`: a length and pointers to the elements, in one allocation.
//!
//! # States of a spine
//! | state | moved there by | reached by |
//! |---|---|---|
//! | private | the writer that makes it | itself |
//! | current | Release store of the array's pointer | all threads |
//! | old | Release store of the next one | sections that began before |
//! | freed | a callback after a grace period that starts later; its elements are not freed with it | no thread |
//!
//! # States of a slot of the current spine
//! | state | which | written |
//! |---|---|---|
//! | visible | below `len` | never |
//! | left | from `len` to the high-water mark: it was visible, and some reader may hold a view that reaches it | never |
//! | free | at or above the mark | by the writer: a pointer to a whole element, before `len` is raised over it |
//!
//! A push onto a free slot is done in place. A push onto a left slot makes a new spine, since an
//! older view must continue to show the old element. When a grace period has elapsed since `len`
//! was last lowered, no section is left that saw more, and the left slots are free ([`HighWater`]).
//! A writer also makes a new spine to grow and to replace an element.
//!
//! # Order
//! - `len` is raised with Release after the slot is written, and a reader loads it with Acquire. So
//!   the reader sees each slot below `len` and its element, and the slots themselves are Relaxed. A
//!   new spine's slots are published with it, by Release and Acquire of the array's pointer.
//! - `len` is lowered with Release too, so that it publishes what an earlier, larger `len` did.
//! - A view is a spine and a `len` of that spine, loaded once. It is never the length of one spine
//!   and the slots of another.
//!
//! # Why what a view shows is still there
//! An element is retired after it is popped or not copied to the next spine. A section that can
//! reach it loaded the old spine, or the higher `len`. So this section holds up every grace period
//! that starts after the change. A section that holds up one grace period holds up every later one:
//! elements that are taken out of later spines live as long, too.
//!
//! # Invariants
//! 1. A spine's allocation is a header followed by `capacity` slots, all initialised.
//! 2. Slots below `len` point to elements, which are owned by the current spine's array.
//! 3. Only the holder of the writers' lock writes, and only a private or the current spine.
//! 4. A spine is freed once, after all sections that could reach it have ended.

use crate::sys::prim::{AtomicPtr, AtomicUsize, Ordering};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::slice;

/// The least capacity.
const LEAST: usize = 4;

#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header<T> {
    len: AtomicUsize,
    capacity: usize,
    /// The beginning of the slots.
    slots: [AtomicPtr<T>; 0],
}

/// A pointer to a spine. Copies are the same spine, and dropping them does not free it.
#[derive(Debug)]
pub(crate) struct Spine<T>(NonNull<Header<T>>);

impl<T> Clone for Spine<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Spine<T> {}

fn layout<T>(capacity: usize) -> Layout {
    let slots = Layout::array::<AtomicPtr<T>>(capacity);
    let whole = slots.and_then(|slots| Layout::new::<Header<T>>().extend(slots));
    match whole {
        Ok((layout, _)) => layout.pad_to_align(),
        Err(_) => panic!("capacity overflow"),
    }
}

impl<T> Spine<T> {
    /// Makes a private, empty spine with room for `len` elements.
    ///
    /// # Panics
    /// If that is more than an allocation may have.
    pub(crate) fn with_room(len: usize) -> Self {
        let capacity = len.checked_next_power_of_two().unwrap_or(len).max(LEAST);
        let layout = layout::<T>(capacity);
        // SAFETY: not of size zero: there is a header.
        let Some(header) = NonNull::new(unsafe { alloc(layout) }.cast::<Header<T>>()) else {
            handle_alloc_error(layout)
        };
        let spine = Self(header);
        // SAFETY: as large as `layout` says, and private: invariant 1 is made.
        unsafe {
            header.write(Header { len: AtomicUsize::new(0), capacity, slots: [] });
            for at in 0..capacity {
                spine.first().add(at).write(AtomicPtr::new(ptr::null_mut()));
            }
        }
        spine
    }

    pub(crate) fn from_raw(header: *mut Header<T>) -> Option<Self> {
        NonNull::new(header).map(Self)
    }

    pub(crate) fn as_ptr(self) -> *mut Header<T> {
        self.0.as_ptr()
    }

    /// Returns the beginning of the slots, with the provenance of the whole.
    fn first(self) -> *mut AtomicPtr<T> {
        // SAFETY: inside the allocation (invariant 1).
        unsafe { (&raw mut (*self.0.as_ptr()).slots).cast() }
    }

    /// Returns what a reader sees: the slots below a `len` that is loaded here.
    ///
    /// # Safety
    /// The spine was loaded in a section that lasts for `'g`, or is the caller's alone.
    #[inline(always)]
    pub(crate) unsafe fn visible<'g>(self) -> &'g [AtomicPtr<T>] {
        // SAFETY: not freed before the section ends (invariant 4).
        let len = unsafe { &(*self.0.as_ptr()).len }.load(Ordering::Acquire);
        // SAFETY: initialised, up to the capacity (invariant 1).
        unsafe { slice::from_raw_parts(self.first(), len) }
    }

    /// # Safety
    /// The writers' lock is held, or the spine is private. The same holds for all functions below.
    pub(crate) unsafe fn len(self) -> usize {
        // SAFETY: not freed while the writer uses it.
        unsafe { &(*self.0.as_ptr()).len }.load(Ordering::Relaxed)
    }

    /// # Safety
    /// See [`len`](Self::len).
    pub(crate) unsafe fn capacity(self) -> usize {
        // SAFETY: written before it was published, and never since.
        unsafe { (*self.0.as_ptr()).capacity }
    }

    /// Returns the element of a visible slot.
    ///
    /// # Safety
    /// See [`len`](Self::len); `at` is below that.
    pub(crate) unsafe fn get(self, at: usize) -> NonNull<T> {
        // SAFETY: inside the allocation, initialised, and not null (invariants 1, 2).
        unsafe { NonNull::new_unchecked((*self.first().add(at)).load(Ordering::Relaxed)) }
    }

    /// Writes a slot.
    ///
    /// # Safety
    /// See [`len`](Self::len); `at` is below the capacity, and the slot free, or the spine private.
    pub(crate) unsafe fn set(self, at: usize, element: NonNull<T>) {
        // SAFETY: inside the allocation, and initialised (invariant 1).
        unsafe { &*self.first().add(at) }.store(element.as_ptr(), Ordering::Relaxed);
    }

    /// Makes the slots below `len` visible.
    ///
    /// # Safety
    /// See [`len`](Self::len); the slots below `len` are written.
    pub(crate) unsafe fn set_len(self, len: usize) {
        // SAFETY: not freed while the writer uses it.
        unsafe { &(*self.0.as_ptr()).len }.store(len, Ordering::Release);
    }

    /// Makes a private spine with room for `room`, and the first `len` elements of this one.
    ///
    /// # Safety
    /// See [`len`](Self::len); the argument is at most that, and at most `room`.
    pub(crate) unsafe fn copy(self, len: usize, room: usize) -> Self {
        let copy = Self::with_room(room);
        for at in 0..len {
            // SAFETY: visible in this spine, and within the capacity of the copy.
            unsafe { copy.set(at, self.get(at)) };
        }
        // SAFETY: written just now.
        unsafe { copy.set_len(len) };
        copy
    }

    /// Frees the spine, without its elements.
    ///
    /// # Safety
    /// Called once, when no reader is left.
    pub(crate) unsafe fn free(self) {
        // SAFETY: invariant 1; the capacity is that of the allocation.
        unsafe {
            let capacity = self.capacity();
            ptr::slice_from_raw_parts_mut(self.first(), capacity).drop_in_place();
            self.0.drop_in_place();
            dealloc(self.0.as_ptr().cast(), layout::<T>(capacity));
        }
    }
}

/// The mark below which a reader may know the slots of the current spine, and the cookie of the
/// next grace period after `len` was last lowered.
#[derive(Debug)]
pub(crate) struct HighWater<C> {
    mark: usize,
    lowered: Option<C>,
}

impl<C> HighWater<C> {
    /// Makes the mark of a new spine.
    pub(crate) const fn at(len: usize) -> Self {
        Self { mark: len, lowered: None }
    }

    /// Notes that the spine's length has been raised in place.
    pub(crate) fn raise(&mut self, len: usize) {
        self.mark = self.mark.max(len);
    }

    /// Notes that `len` has been lowered; `next` is the next grace period.
    pub(crate) fn lower(&mut self, next: C) {
        self.lowered = Some(next);
    }

    /// Returns whether the slots at and above the current `len` are free.
    pub(crate) fn is_free(&mut self, len: usize, elapsed: impl FnOnce(&C) -> bool) -> bool {
        if len >= self.mark {
            return true;
        }
        // `len` has not changed since it was last lowered: raising it in place needs this to be
        // `true`.
        let gone_by = self.lowered.as_ref().is_some_and(elapsed);
        if gone_by {
            *self = Self::at(len);
        }
        gone_by
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn room_grows_by_doubling_and_overflow_panics() {
        for (room, capacity) in [(0, 4), (4, 4), (5, 8), (8, 8), (9, 16)] {
            let spine = Spine::<u32>::with_room(room);
            // SAFETY: private; freed once.
            unsafe {
                assert_eq!((spine.len(), spine.capacity()), (0, capacity));
                assert!(spine.visible().is_empty());
                spine.free();
            }
        }
        for room in [usize::MAX, isize::MAX as usize / 2] {
            let refused = std::panic::catch_unwind(|| Spine::<u32>::with_room(room));
            assert_eq!(refused.unwrap_err().downcast_ref::<&str>(), Some(&"capacity overflow"));
        }
    }

    #[test]
    fn a_copy_has_the_same_elements_and_is_its_own() {
        let mut elements = [1, 2, 3];
        let spine = Spine::with_room(3);
        // SAFETY: private; each freed once.
        unsafe {
            for (at, element) in elements.iter_mut().enumerate() {
                spine.set(at, NonNull::from(element));
                spine.set_len(at + 1);
            }
            let copy = spine.copy(2, 2);
            spine.free();
            assert_eq!((copy.len(), *copy.get(1).as_ptr()), (2, 2));
            copy.free();
        }
    }

    #[test]
    fn slots_are_free_again_after_a_grace_period() {
        let mut water = HighWater::at(5);
        assert!(water.is_free(5, |_: &u32| unreachable!("none was visible")));
        water.raise(6);
        water.lower(1);
        water.lower(2);
        assert!(!water.is_free(4, |next| {
            assert_eq!(*next, 2, "the last lowering counts");
            false
        }));
        assert!(water.is_free(4, |_| true));
        assert!(water.is_free(4, |_| unreachable!("known already")));
        assert!(!water.is_free(3, |_| true), "not lowered since");
    }
}
