//! A bucket, which is one cache line, its overflow chain, and the array of a table's buckets.

use super::word::{Meta, SLOTS, Tag, Word};
use crate::sys::prim::{AtomicPtr, Ordering};
use std::ptr;

/// A bucket. All zero is an empty one.
#[repr(C, align(64))]
pub(crate) struct Bucket<E> {
    pub(super) word: Word,
    pub(super) slots: [AtomicPtr<E>; SLOTS],
    overflow: AtomicPtr<Bucket<E>>,
}

impl<E> Bucket<E> {
    fn with(meta: Meta, entry: *mut E, at: usize) -> Self {
        Self {
            word: Word::new(meta),
            slots: std::array::from_fn(|slot| {
                AtomicPtr::new(if slot == at { entry } else { ptr::null_mut() })
            }),
            overflow: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Returns the next bucket of the chain.
    #[inline(always)]
    pub(crate) fn overflow(&self) -> Option<&Self> {
        // SAFETY: null, or a box that is freed with the table (invariant 1 of the module).
        // Acquire: it is seen whole.
        unsafe { self.overflow.load(Ordering::Acquire).as_ref() }
    }

    /// Links a bucket with one entry after this one, the last of its chain. Called by the holder of
    /// the chain's lock, which has set the hint before.
    pub(super) fn link(&self, tag: Tag, entry: *mut E) {
        let bucket = Self::with(Meta::EMPTY.with_tag(0, tag), entry, 0);
        let bucket = Box::into_raw(Box::new(bucket));
        self.overflow.store(bucket, Ordering::Release);
    }

    /// Frees the overflow chain. Called when nothing else has access.
    pub(super) fn free_overflow(&self) {
        let mut next = self.overflow.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `link`; nothing else has access, and each is in one chain once.
            let bucket = unsafe { Box::from_raw(next) };
            next = bucket.overflow.load(Ordering::Relaxed);
        }
    }

    /// Returns what a slot holds now, for a reader.
    #[inline(always)]
    pub(crate) fn entry(&self, slot: usize) -> Option<&E> {
        // SAFETY: null, or an entry that is freed after the section, which lasts as long as the
        // reference to this bucket (invariants 1, 4 of the module). Acquire: it is seen whole.
        unsafe { self.slots[slot].load(Ordering::Acquire).as_ref() }
    }
}

impl<E> Bucket<E> {
    /// Returns the entry with the tag of this hash for which `eq` returns `true`, in this chain.
    /// `meta` is the bucket's word as it was loaded.
    #[inline(always)]
    pub(super) fn find(
        &self,
        meta: Meta,
        hash: u64,
        eq: &mut impl FnMut(&E) -> bool,
    ) -> Option<&E> {
        match self.find_in_line(meta, hash, eq) {
            // Asked last: most lookups end before.
            None if meta.has_more() => self.find_in_overflow(hash, eq),
            found => found,
        }
    }

    #[inline(always)]
    fn find_in_line(&self, meta: Meta, hash: u64, eq: &mut impl FnMut(&E) -> bool) -> Option<&E> {
        meta.matches(Tag::of(hash)).filter_map(|slot| self.entry(slot)).find(|entry| eq(entry))
    }

    #[inline(never)]
    fn find_in_overflow(&self, hash: u64, eq: &mut impl FnMut(&E) -> bool) -> Option<&E> {
        let mut bucket = self;
        loop {
            bucket = bucket.overflow()?;
            let found = bucket.find_in_line(bucket.word.load(), hash, eq);
            if found.is_some() {
                return found;
            }
        }
    }
}

#[cfg(rcu_loom)]
pub(super) use modelled::Buckets;
#[cfg(not(rcu_loom))]
pub(super) use zeroed::Buckets;

/// An array of buckets in memory that the system gives zeroed.
#[cfg(not(rcu_loom))]
mod zeroed {
    use super::Bucket;
    use crate::sys::pages::prefer_large_pages;
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
    use std::ops::Deref;
    use std::ptr::NonNull;
    use std::slice;

    /// # Invariants
    /// `first` is aligned, and followed by `len` buckets inside the allocation at `base`, whose
    /// layout is that of `len`.
    pub(in super::super) struct Buckets<E> {
        first: NonNull<Bucket<E>>,
        len: usize,
        base: NonNull<u8>,
    }

    // SAFETY: an array of buckets, which are atomics.
    unsafe impl<E> Send for Buckets<E> {}
    // SAFETY: as above.
    unsafe impl<E> Sync for Buckets<E> {}

    impl<E> Buckets<E> {
        /// # Panics
        /// If so many do not fit the address space. Aborts if there is no memory for them.
        pub(in super::super) fn new(len: usize) -> Self {
            let layout = Self::layout(len).expect("a table larger than the address space");
            // SAFETY: the layout's size is not 0.
            let base = unsafe { alloc_zeroed(layout) };
            let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
            prefer_large_pages(base.as_ptr(), layout.size());
            let offset = base.as_ptr().align_offset(align_of::<Bucket<E>>());
            // SAFETY: `layout` has room for this offset before the buckets.
            let first = unsafe { base.add(offset) }.cast();
            Self { first, len, base }
        }

        /// Has a small alignment, and room to align inside. Only for common alignments do
        /// allocators take zeroed pages from the system, which are not touched before use.
        /// Otherwise the whole of a large table would be written when it is made.
        fn layout(len: usize) -> Option<Layout> {
            let size = size_of::<Bucket<E>>().checked_mul(len)?;
            Layout::from_size_align(size.checked_add(align_of::<Bucket<E>>())?, 8).ok()
        }
    }

    impl<E> Deref for Buckets<E> {
        type Target = [Bucket<E>];

        #[inline(always)]
        fn deref(&self) -> &[Bucket<E>] {
            // SAFETY: `len` buckets, by the invariant. Zeroed, which is an empty bucket.
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
}

/// The same for loom, whose atomics are not made of zeroed memory.
#[cfg(rcu_loom)]
mod modelled {
    use super::{Bucket, Meta};
    use std::{ops::Deref, ptr};

    pub(in super::super) struct Buckets<E>(Box<[Bucket<E>]>);

    impl<E> Buckets<E> {
        pub(in super::super) fn new(len: usize) -> Self {
            let empty = || Bucket::with(Meta::EMPTY, ptr::null_mut(), 0);
            Self((0..len).map(|_| empty()).collect())
        }
    }

    impl<E> Deref for Buckets<E> {
        type Target = [Bucket<E>];
        fn deref(&self) -> &[Bucket<E>] {
            &self.0
        }
    }
}
