//! One cache line of the table, and the chain that hangs on it.

use super::Hashed;
use super::hash::Tag;
use super::meta::{Meta, SLOTS, Word};
use crate::sys::prim::{AtomicPtr, Ordering};
use std::ptr;

/// All zero is an empty bucket.
#[repr(C, align(64))]
pub(crate) struct Bucket<E> {
    pub(super) word: Word,
    pub(super) slots: [AtomicPtr<E>; SLOTS],
    overflow: AtomicPtr<Bucket<E>>,
}

impl<E> Bucket<E> {
    #[cfg_attr(
        not(rcu_loom),
        allow(dead_code, reason = "natively a table's are zeroed")
    )]
    pub(super) fn new() -> Self {
        Self::with(Meta::EMPTY, ptr::null_mut(), 0)
    }

    fn with(meta: Meta, entry: *mut E, at: usize) -> Self {
        Self {
            word: Word::new(meta),
            slots: std::array::from_fn(|slot| {
                AtomicPtr::new(if slot == at { entry } else { ptr::null_mut() })
            }),
            overflow: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The next one of the chain.
    #[inline(always)]
    pub(crate) fn overflow(&self) -> Option<&Self> {
        // SAFETY: null, or a box that goes with the table (invariant 1 of the module); Acquire: seen whole.
        unsafe { self.overflow.load(Ordering::Acquire).as_ref() }
    }

    /// Hangs a bucket with one entry on the chain's last. By the holder of the chain's lock, and with a hint set before.
    pub(super) fn link(&self, tag: Tag, entry: *mut E) {
        let bucket = Self::with(Meta::EMPTY.with_tag(0, tag), entry, 0);
        let bucket = Box::into_raw(Box::new(bucket));
        self.overflow.store(bucket, Ordering::Release);
    }

    /// Frees the chain below. By the last who has access.
    pub(super) fn free_overflow(&self) {
        let mut next = self.overflow.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `link`; nobody else has access, and each is in one chain once.
            let bucket = unsafe { Box::from_raw(next) };
            next = bucket.overflow.load(Ordering::Relaxed);
        }
    }

    /// What is in a slot now, for a reader.
    #[inline(always)]
    pub(crate) fn entry(&self, slot: usize) -> Option<&E> {
        // SAFETY: null, or an entry that is freed after the section which lasts as long as the reference to this bucket
        // (invariants 1, 4 of the module); Acquire: seen whole.
        unsafe { self.slots[slot].load(Ordering::Acquire).as_ref() }
    }
}

impl<E: Hashed> Bucket<E> {
    /// The entry of this hash for which `eq` holds, in this chain, whose word was loaded as `meta`.
    #[inline(always)]
    pub(super) fn find(
        &self,
        meta: Meta,
        hash: u64,
        eq: &mut impl FnMut(&E) -> bool,
    ) -> Option<&E> {
        match self.find_here(meta, hash, eq) {
            // Asked last: most of what is looked up is found before.
            None if meta.has_more() => self.find_below(hash, eq),
            found => found,
        }
    }

    #[inline(always)]
    fn find_here(&self, meta: Meta, hash: u64, eq: &mut impl FnMut(&E) -> bool) -> Option<&E> {
        meta.matches(Tag::of(hash))
            .filter_map(|slot| self.entry(slot))
            .find(|entry| entry.hash() == hash && eq(entry))
    }

    #[inline(never)]
    fn find_below(&self, hash: u64, eq: &mut impl FnMut(&E) -> bool) -> Option<&E> {
        let mut bucket = self;
        loop {
            bucket = bucket.overflow()?;
            let found = bucket.find_here(bucket.word.load(), hash, eq);
            if found.is_some() {
                return found;
            }
        }
    }
}
