//! The spine of an `RcuVec`: a length and pointers to the elements, in one allocation, and patches.
//!
//! # States of a spine
//! | state | moved there by | reached by |
//! |---|---|---|
//! | private | the writer that makes it | itself |
//! | current | Release store of the array's pointer | all threads |
//! | old | Release store of the next one | sections that began before |
//! | freed | a callback after a grace period that starts later; its elements are not freed with it | no thread |
//!
//! While a spine is current, it is *flat* at first. A writer may make it *patched*, and then it
//! stays patched.
//!
//! # States of a slot of the current spine, while the spine is flat
//! | state | which | written |
//! |---|---|---|
//! | visible | below `len` | never |
//! | left | from `len` to the high-water mark: it was visible, and some reader may hold a view that reaches it | never |
//! | free | at or above the mark | by the writer: a pointer to a whole element, before `len` is raised over it |
//!
//! A push onto a free slot is done in place. A push onto a left slot is not, since an older view
//! must continue to show the old element. When a grace period has elapsed since `len` was last
//! lowered, no section is left that saw more, and the left slots are free ([`HighWater`]).
//!
//! # What cannot be done in place
//! A push onto a left slot and the replacement of an element make a new version in one of two ways:
//! - The writer copies the spine, and publishes the copy. Readers of the copy are as fast as
//!   before, but the old spine costs a word for each slot until its readers have ended.
//! - The writer publishes a [`Patch`] of the current spine. The patch costs the same for each
//!   change, whatever the length is. Readers of a changed slot pass some nodes.
//!
//! A writer copies the spine for its first few changes within a grace period ([`Copies`]), if the
//! spine is full, and if all patches together would cost more words than the array has elements:
//! then the changes pay for the copy. Otherwise it makes a patch. So the memory that a reader holds
//! up is that of a few spines, and a part in proportion to the number of changes.
//!
//! # What `len` and `patch` say together
//! `patch` is null while the spine is flat: `len` is then the array's length. Otherwise `patch` has
//! the length, and says which slots are as in the spine: those below `unchanged`, which `len` is
//! equal to or below. No slot of a patched spine is written.
//!
//! The writer stores in this order: to begin, a patch that changes nothing; then for each change a
//! `len` that does not reach a changed slot; then the patch with the change, which makes it
//! visible. The reader loads `len`, and then `patch`:
//! - An index below the loaded `len` has its element in the spine: no change to it was visible at
//!   the load of `len`. A single lookup ends here, and does not load `patch`.
//! - If `patch` is null, the spine was flat when `len` was loaded, and `len` was the length. A
//!   `len` that was lowered for a patch is never seen with a null `patch`, because the first patch
//!   is stored before it.
//! - Otherwise the patch has everything, and the loaded `len` is not used any more.
//!
//! A thread that has seen a change also sees the lower `len` that was stored before it. So no
//! lookup of this thread returns what the change has taken out.
//!
//! # Order
//! - `len` is raised with Release after the slot is written, and a reader loads it with Acquire. So
//!   the reader sees each slot below `len` and its element, and the slots themselves are Relaxed. A
//!   new spine's slots are published with it, by Release and Acquire of the array's pointer.
//! - `len` is lowered with Release too, so that it publishes what an earlier, larger `len` did, and
//!   the first patch.
//! - `patch` is stored with Release after the patch is written, and loaded with Acquire. A reader
//!   then sees the nodes, the new elements, and the `len` that was stored before.
//! - A view is a spine and a `len` of that spine, or a patch of it, loaded once. It is never the
//!   length of one version and the slots of another.
//!
//! # Why what a view shows is still there
//! An element is retired after it is popped, replaced, or not copied to the next spine. A section
//! that can reach it loaded the old spine, the higher `len` or an earlier patch. So this section
//! holds up every grace period that starts after the change. A section that holds up one grace
//! period holds up every later one: elements that are taken out of later versions live as long,
//! too.
//!
//! # Invariants
//! 1. A spine's allocation is a header followed by `capacity` slots, all initialised.
//! 2. The slots of the newest version point to elements, which are owned by the spine's array, if
//!    the spine is current.
//! 3. Only the holder of the writers' lock writes, and only a private or the current spine.
//! 4. A spine is freed once with its patches, after all sections that could reach it have ended.

use super::patch::{self, Patch};
use super::shown::{Shown, element, patched};
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
    /// The newest patch, or null.
    patch: AtomicPtr<Patch<T>>,
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
            header.write(Header {
                len: AtomicUsize::new(0),
                capacity,
                patch: AtomicPtr::new(ptr::null_mut()),
                slots: [],
            });
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

    /// Returns the slots below a `len` that is loaded here. Their elements are as in the spine.
    ///
    /// # Safety
    /// See [`show`](Self::show).
    #[inline(always)]
    unsafe fn unchanged<'g>(self) -> &'g [AtomicPtr<T>] {
        // SAFETY: not freed before the section ends (invariant 4).
        let len = unsafe { &(*self.0.as_ptr()).len }.load(Ordering::Acquire);
        // SAFETY: initialised, up to the capacity (invariant 1).
        unsafe { slice::from_raw_parts(self.first(), len) }
    }

    /// Returns the newest patch.
    ///
    /// # Safety
    /// See [`show`](Self::show).
    #[inline(always)]
    unsafe fn patch<'g>(self) -> Option<&'g Patch<T>> {
        // SAFETY: not freed before the section ends (invariant 4).
        unsafe { (*self.0.as_ptr()).patch.load(Ordering::Acquire).as_ref() }
    }

    /// Returns what a reader sees: the newest version.
    ///
    /// # Safety
    /// The spine was loaded in a section that lasts for `'g`, or the caller holds the writers' lock
    /// for `'g`, or the spine is the caller's alone.
    #[inline(always)]
    pub(crate) unsafe fn show<'g>(self) -> Shown<'g, T> {
        // SAFETY: by the caller's word.
        let slots = unsafe { self.unchanged() };
        // SAFETY: as above. After `len`: see "What `len` and `patch` say together".
        match unsafe { self.patch() } {
            None => Shown::new(slots, None),
            // SAFETY: initialised, up to the capacity (invariant 1).
            Some(patch) => unsafe { self.show_patched(patch) },
        }
    }

    /// # Safety
    /// See [`show`](Self::show).
    #[cold]
    unsafe fn show_patched<'g>(self, patch: &'g Patch<T>) -> Shown<'g, T> {
        // SAFETY: initialised, up to the capacity (invariant 1).
        let slots = unsafe { slice::from_raw_parts(self.first(), patch.unchanged()) };
        Shown::new(slots, Some(patch))
    }

    /// Returns the element at an index of the newest version, or `None` if it is out of range.
    ///
    /// # Safety
    /// See [`show`](Self::show).
    #[inline(always)]
    pub(crate) unsafe fn find<'g>(self, at: usize) -> Option<NonNull<T>>
    where
        T: 'g,
    {
        // SAFETY: by the caller's word.
        let (slots, patch) = unsafe { (self.unchanged(), || self.patch()) };
        match slots.get(at) {
            Some(slot) => Some(element(slot)),
            None => patch().and_then(|patch| patched(patch, at)),
        }
    }

    /// # Safety
    /// The writers' lock is held, or the spine is private. The same holds for all functions below.
    pub(crate) unsafe fn len(self) -> usize {
        // SAFETY: not freed while the writer uses it.
        unsafe { self.show() }.len()
    }

    /// # Safety
    /// See [`len`](Self::len).
    pub(crate) unsafe fn is_flat(self) -> bool {
        // SAFETY: not freed while the writer uses it.
        unsafe { self.patch() }.is_none()
    }

    /// # Safety
    /// See [`len`](Self::len).
    pub(crate) unsafe fn capacity(self) -> usize {
        // SAFETY: written before it was published, and never since.
        unsafe { (*self.0.as_ptr()).capacity }
    }

    /// Returns the element of a slot below the length.
    ///
    /// # Safety
    /// See [`len`](Self::len); `at` is below that.
    pub(crate) unsafe fn get(self, at: usize) -> NonNull<T> {
        // SAFETY: not freed while the writer uses it, and in range.
        unsafe { self.find(at).unwrap_unchecked() }
    }

    /// Returns whether a patch of `edits` slots and the patches before it cost at most a word for
    /// each of `len` elements, and all indexes are below the capacity.
    ///
    /// # Safety
    /// See [`len`](Self::len).
    pub(crate) unsafe fn has_room_to_patch(self, len: usize, edits: usize) -> bool {
        // SAFETY: not freed while the writer uses it.
        let (capacity, before) = unsafe { (self.capacity(), self.patch()) };
        let before = before.map_or(0, Patch::cost);
        len <= capacity && before.saturating_add(patch::cost(capacity, edits)) <= len
    }

    /// Shows readers `len` elements, where those of `edits` are new. No slot is written.
    ///
    /// # Safety
    /// See [`len`](Self::len); the indexes are below the capacity, and the slots below the new
    /// length are visible or in `edits`.
    pub(crate) unsafe fn set_patch(self, len: usize, edits: &[(usize, NonNull<T>)]) {
        // SAFETY: not freed while the writer uses it; the rest by the caller's word.
        unsafe {
            let header = &*self.0.as_ptr();
            let mut newest = header.patch.load(Ordering::Relaxed);
            if newest.is_null() {
                let visible = header.len.load(Ordering::Relaxed);
                newest = Patch::of(self.first(), header.capacity, visible);
                header.patch.store(newest, Ordering::Release);
            }
            let next = Patch::next(newest, len, edits);
            self.set_len((*next).unchanged());
            header.patch.store(next, Ordering::Release);
        }
    }

    /// Writes a slot.
    ///
    /// # Safety
    /// See [`len`](Self::len); `at` is below the capacity, and the slot free, or the spine private.
    pub(crate) unsafe fn set(self, at: usize, element: NonNull<T>) {
        // SAFETY: inside the allocation, and initialised (invariant 1).
        unsafe { &*self.first().add(at) }.store(element.as_ptr(), Ordering::Relaxed);
    }

    /// Makes the slots below `len` visible, or says that a patch changes none of them.
    ///
    /// # Safety
    /// See [`len`](Self::len); the slots below `len` are written, and as in the newest version.
    pub(crate) unsafe fn set_len(self, len: usize) {
        // SAFETY: not freed while the writer uses it.
        unsafe { &(*self.0.as_ptr()).len }.store(len, Ordering::Release);
    }

    /// Makes a private, flat spine with room for `room`, and the first `len` elements of this one.
    ///
    /// # Safety
    /// See [`len`](Self::len); the argument is at most that, and at most `room`.
    pub(crate) unsafe fn copy(self, len: usize, room: usize) -> Self {
        let copy = Self::with_room(room);
        // SAFETY: not freed while the writer uses it.
        for (at, element) in unsafe { self.show() }.iter().take(len).enumerate() {
            // SAFETY: within the capacity of the copy.
            unsafe { copy.set(at, element) };
        }
        // SAFETY: written just now.
        unsafe { copy.set_len(len) };
        copy
    }

    /// Frees the spine and its patches, without the elements.
    ///
    /// # Safety
    /// Called once, when no reader is left.
    pub(crate) unsafe fn free(self) {
        // SAFETY: invariant 1; the capacity is that of the allocation.
        unsafe {
            let capacity = self.capacity();
            Patch::free((*self.0.as_ptr()).patch.load(Ordering::Acquire));
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

/// The most copies of the spine for the changes of one grace period that a patch could also show.
const COPIES: usize = 4;

/// How many copies of the spine were made, and the cookie of the next grace period after the first
/// of them. A reader holds up this grace period, or began after the first copy. So it holds up the
/// spines of at most twice [`COPIES`].
#[derive(Debug)]
pub(crate) struct Copies<C> {
    made: usize,
    first: Option<C>,
}

impl<C> Copies<C> {
    pub(crate) const NONE: Self = Self { made: 0, first: None };

    /// Returns whether the writer is to copy the spine, and counts the copy. `next` is the next
    /// grace period.
    pub(crate) fn may_copy(
        &mut self,
        next: impl FnOnce() -> C,
        elapsed: impl FnOnce(&C) -> bool,
    ) -> bool {
        if self.first.as_ref().is_none_or(elapsed) {
            *self = Self { made: 0, first: Some(next()) };
        }
        let copies = self.made < COPIES;
        self.made += usize::from(copies);
        copies
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
                assert_eq!(spine.show().iter().count(), 0);
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
    fn patches_show_what_they_change_and_end_in_a_copy() {
        let mut elements: Vec<u32> = (0..300).collect();
        let elements: Vec<_> = elements.iter_mut().map(NonNull::from).collect();
        let spine = Spine::with_room(100);
        // SAFETY: private; each freed once.
        unsafe {
            for (at, element) in elements.iter().take(100).enumerate() {
                spine.set(at, *element);
            }
            spine.set_len(100);
            let flat = spine.show();
            assert!(spine.is_flat());
            spine.set_patch(99, &[]);
            spine.set_patch(101, &[(99, elements[199]), (100, elements[200])]);
            spine.set_patch(101, &[(50, elements[150])]);
            assert!(!spine.is_flat() && !spine.has_room_to_patch(101, 2));
            assert!(!spine.has_room_to_patch(129, 0), "beyond the capacity");
            let numbers = |shown: &Shown<'_, u32>| -> Vec<u32> {
                let there: Vec<u32> =
                    (0..shown.len()).map(|at| *shown.get(at).unwrap().as_ref()).collect();
                let back: Vec<u32> = shown.iter().rev().map(|e| *e.as_ref()).collect();
                assert!(back.iter().rev().eq(&there));
                assert!(shown.iter().map(|e| *e.as_ref()).eq(there.iter().copied()));
                assert_eq!(shown.get(shown.len()), None);
                there
            };
            let mut expected: Vec<u32> = (0..100).collect();
            assert_eq!(numbers(&flat), expected);
            expected[50] = 150;
            expected[99] = 199;
            expected.push(200);
            let patched = spine.show();
            assert_eq!(numbers(&patched), expected);
            let mut walk = patched.iter();
            assert_eq!(walk.nth(60).map(|e| *e.as_ref()), Some(60));
            assert_eq!((walk.size_hint().0, walk.clone().nth(40)), (40, None));
            assert_eq!(spine.find(50).map(|e| *e.as_ref()), Some(150));
            let copy = spine.copy(100, 100);
            spine.free();
            assert!(copy.is_flat());
            assert_eq!(numbers(&copy.show()), expected[..100]);
            copy.free();
        }
    }

    #[test]
    fn copies_are_limited_within_a_grace_period() {
        let mut copies = Copies::NONE;
        for gp in [1, 2] {
            for nth in 0..2 * COPIES {
                let expected = nth < COPIES;
                assert_eq!(copies.may_copy(|| gp, |first| *first < gp), expected);
            }
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
