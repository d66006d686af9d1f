//! An entry, which is one allocation of hash, key and value, and how many entries are freed.
//!
//! # Invariants
//! 1. A published entry came from a box, and is freed once: by the [`Retired`](crate::Retired) or
//!    the [`Doomed`] that it was given to when it was taken out.
//! 2. Nothing is moved out of an entry or written in it while a reader is left.

use super::raw::Hashed;
use super::raw::walk::Teardown;
use crate::Rcu;
use crate::structures::Holder;
use std::ptr::NonNull;

/// A lookup reads the key and the value, and no hash. The hash comes last: if an allocation that is
/// aligned to 16 bytes crosses a cache line, a key and a value of a word each stay in one line.
#[repr(C)]
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    hash: u64,
}

impl<K, V> Entry<K, V> {
    pub(super) fn boxed(rcu: &Rcu, hash: u64, key: K, value: V) -> Box<Self> {
        rcu.boxed(Self { key, value, hash })
    }

    /// Gives up the box, for a slot to hold.
    pub(super) fn publish(self: Box<Self>) -> NonNull<Self> {
        NonNull::from(Box::leak(self))
    }
}

impl<K, V> Hashed for Entry<K, V> {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Holder for Entry<K, V> {
    type Value = V;
    fn value(&self) -> &V {
        &self.value
    }
    fn into_value(self) -> V {
        let Entry { key, value, .. } = self;
        // If this foreign code panics, the value is dropped, too.
        drop(key);
        value
    }
}

/// Entries that one callback frees. Dropping a `Doomed` retires the entries that it still has. So
/// if the drop of a key or value panics, the callback is counted and reported as one that panicked,
/// and the rest of the entries goes to another callback.
pub(super) struct Doomed<K: Send + Sync + 'static, V: Send + Sync + 'static> {
    rcu: Rcu,
    taken: Vec<NonNull<Entry<K, V>>>,
    /// What is left of a map that was dropped.
    map: Option<Teardown<Entry<K, V>>>,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Doomed<K, V> {
    /// Makes one for entries of a map of `rcu`.
    pub(super) fn new(rcu: &Rcu) -> Self {
        Self { rcu: rcu.to_internal(), taken: Vec::new(), map: None }
    }

    /// # Safety
    /// The entry was just taken out of a map of the domain, and nothing else frees it.
    pub(super) unsafe fn push(&mut self, entry: NonNull<Entry<K, V>>) {
        self.taken.push(entry);
    }

    /// # Safety
    /// The map is of the domain, and nothing but readers has access to it.
    pub(super) unsafe fn push_map(&mut self, map: Teardown<Entry<K, V>>) {
        self.map = Some(map);
    }

    /// Frees all of them, after the grace period.
    fn free(mut self) {
        let map = |map: &mut Option<Teardown<_>>| map.as_mut().and_then(Iterator::next);
        while let Some(entry) = self.taken.pop().or_else(|| map(&mut self.map)) {
            // SAFETY: from a box, freed here only, and taken out before the grace period began.
            drop(unsafe { Box::from_raw(entry.as_ptr()) });
        }
        self.map = None;
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Drop for Doomed<K, V> {
    fn drop(&mut self) {
        if self.taken.is_empty() && self.map.is_none() {
            return;
        }
        let left = Self {
            rcu: self.rcu.to_internal(),
            taken: std::mem::take(&mut self.taken),
            map: self.map.take(),
        };
        // SAFETY: the only owner of the entries, whose keys and values are `Send`.
        unsafe { self.rcu.call_unchecked(move || left.free()) };
    }
}
