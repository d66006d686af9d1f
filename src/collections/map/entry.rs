//! What lies in a bucket: one allocation of hash, key and value.
//!
//! # Invariants
//! 1. A published entry came from a box, and is freed once: by the [`Retired`](crate::Retired) or the
//!    [`Doomed`](super::doomed::Doomed) that it was given to when it was taken out.
//! 2. Nothing is moved out of it or written in it before no reader is left.

use super::raw::Hashed;
use crate::cell::Holder;
use std::ptr::NonNull;

pub(super) struct Entry<K, V> {
    hash: u64,
    pub(super) key: K,
    pub(super) value: V,
}

impl<K, V> Entry<K, V> {
    pub(super) fn boxed(hash: u64, key: K, value: V) -> Box<Self> {
        Box::new(Self { hash, key, value })
    }

    /// Gives the box up for a slot to hold.
    pub(super) fn publish(self: Box<Self>) -> NonNull<Self> {
        // SAFETY: a box's pointer is not null.
        unsafe { NonNull::new_unchecked(Box::into_raw(self)) }
    }
}

impl<K, V> Hashed for Entry<K, V> {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<K, V> Holder<V> for Entry<K, V> {
    unsafe fn value(this: NonNull<Self>) -> NonNull<V> {
        // SAFETY: points into a living entry, by the caller's word.
        unsafe { NonNull::new_unchecked(&raw mut (*this.as_ptr()).value) }
    }

    unsafe fn take(this: NonNull<Self>) -> Box<V> {
        // SAFETY: from a box, once, and no reader is left (invariant 1).
        let entry = unsafe { Box::from_raw(this.as_ptr()) };
        let Entry { key, value, .. } = *entry;
        let value = Box::new(value);
        // Foreign code, which may panic: the value is then dropped, and not lost.
        drop(key);
        value
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: as in `take`.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }
}
