//! The array of a table's buckets, from memory that the system gives zeroed.

use super::bucket::Bucket;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

/// # Invariants
/// `first` is aligned, and followed by `len` buckets inside the allocation at `base`, whose layout is that of `len`.
pub(super) struct Buckets<E> {
    first: NonNull<Bucket<E>>,
    len: usize,
    base: NonNull<u8>,
    _owned: PhantomData<Bucket<E>>,
}

// SAFETY: an array of buckets, which are atomics.
unsafe impl<E> Send for Buckets<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for Buckets<E> {}

impl<E> Buckets<E> {
    /// # Panics
    /// Where so many do not fit the address space. Aborts where there is no memory for them.
    pub(super) fn new(len: usize) -> Self {
        let layout = Self::layout(len).expect("a table larger than the address space");
        // SAFETY: the layout's size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else {
            handle_alloc_error(layout)
        };
        let offset = base.as_ptr().align_offset(align_of::<Bucket<E>>());
        // SAFETY: `layout` has room for this offset before the buckets.
        let first = unsafe { base.add(offset) }.cast();
        Self {
            first,
            len,
            base,
            _owned: PhantomData,
        }
    }

    /// Of the least alignment, with room to align inside: allocators ask the system for zeroed pages, which are not
    /// touched before they are used, only where no special alignment is asked for. Otherwise making a large table
    /// would write all of it at once.
    fn layout(len: usize) -> Option<Layout> {
        let size = size_of::<Bucket<E>>().checked_mul(len)?;
        Layout::from_size_align(size.checked_add(align_of::<Bucket<E>>())?, 8).ok()
    }
}

impl<E> Deref for Buckets<E> {
    type Target = [Bucket<E>];

    #[inline(always)]
    fn deref(&self) -> &[Bucket<E>] {
        // SAFETY: `len` buckets, by the invariant; zeroed is an empty bucket: integers and null pointers.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<E> Drop for Buckets<E> {
    fn drop(&mut self) {
        let layout = Self::layout(self.len).expect("it was allocated");
        // SAFETY: allocated with this layout. Buckets have no drop of their own.
        unsafe { dealloc(self.base.as_ptr(), layout) }
    }
}
