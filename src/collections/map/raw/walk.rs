//! Walks over all entries of a map in use, and of a dropped map.
//!
//! A [`Walk`] goes through the *hashes*, from 0 upwards. It looks for the open bucket that is home
//! to the next hash, shows the entries whose hashes have their home in this bucket and in each
//! bucket on the way to it, and continues after their interval. Intervals nest. So an entry is
//! neither shown twice nor left out if a change of size splits or joins buckets. A key that is in
//! the map throughout is in one slot of the chain that the walk chose for its hash, and stays there
//! if the bucket is moved, since moved buckets are not written.

use super::Hashed;
use super::bucket::Bucket;
use super::table::Table;
use super::word::SLOTS;
use crate::sys::prim::Ordering;
use std::ops::RangeInclusive;
use std::ptr::{self, NonNull};

pub(crate) struct Walk<'s, E> {
    root: &'s Table<E>,
    /// The next hash to look for; `None` after the last.
    next: Option<u64>,
    /// The rest of the chain, and the next slot in it.
    chain: Option<&'s Bucket<E>>,
    slot: usize,
    /// The hashes that the chain is shown for.
    hashes: RangeInclusive<u64>,
}

impl<'s, E: Hashed> Walk<'s, E> {
    /// `root` is the current table, in a section that lasts for `'s`.
    pub(crate) fn new(root: &'s Table<E>) -> Self {
        Self { root, next: Some(0), chain: None, slot: 0, hashes: 0..=0 }
    }

    fn next_chain(&mut self) -> Option<&'s Bucket<E>> {
        let first = self.next?;
        let (_, bucket, _, last) = self.root.open_home(first);
        self.next = last.checked_add(1);
        self.hashes = first..=last;
        self.slot = 0;
        self.chain = Some(bucket);
        self.chain
    }
}

impl<E> Clone for Walk<'_, E> {
    fn clone(&self) -> Self {
        Self { hashes: self.hashes.clone(), ..*self }
    }
}

impl<'s, E: Hashed> Iterator for Walk<'s, E> {
    type Item = &'s E;

    fn next(&mut self) -> Option<&'s E> {
        loop {
            let bucket = match self.chain {
                Some(bucket) => bucket,
                None => self.next_chain()?,
            };
            while self.slot < SLOTS {
                let entry = bucket.entry(self.slot);
                self.slot += 1;
                match entry {
                    Some(entry) if self.hashes.contains(&entry.hash()) => return Some(entry),
                    _ => {}
                }
            }
            self.chain = bucket.overflow();
            self.slot = 0;
        }
    }
}

/// Takes apart a dropped map, when no reader is left: its entries one by one, then its tables.
///
/// # Invariants
/// `table` was current when the map was dropped, or is a later table; earlier ones are freed.
/// Entries before (`bucket`, `chain`, `slot`) were returned.
pub(crate) struct Teardown<E> {
    table: *mut Table<E>,
    bucket: usize,
    /// The bucket of the chain; null: its head.
    chain: *const Bucket<E>,
    slot: usize,
}

// SAFETY: gives out addresses only; the caller answers for their use.
unsafe impl<E> Send for Teardown<E> {}

impl<E> Teardown<E> {
    /// # Safety
    /// `table` was the current one of a map that nothing has access to when the first entry is
    /// asked for, and that nothing else takes apart.
    pub(crate) unsafe fn new(table: *mut Table<E>) -> Self {
        Self { table, bucket: 0, chain: ptr::null(), slot: 0 }
    }
}

impl<E> Iterator for Teardown<E> {
    type Item = NonNull<E>;

    /// Returns an entry, which the caller owns. After the last one, the tables are freed.
    fn next(&mut self) -> Option<NonNull<E>> {
        // SAFETY: by the invariant not freed yet, and nothing else has access.
        while let Some(table) = unsafe { self.table.as_ref() } {
            let Some(head) = table.buckets().get(self.bucket) else {
                let next = table.next.load(Ordering::Relaxed);
                // SAFETY: made by `Box::into_raw`; nothing else has access, and it is not used
                // again.
                drop(unsafe { Box::from_raw(self.table) });
                (self.table, self.bucket) = (next, 0);
                continue;
            };
            // SAFETY: a bucket of the chain, which is freed with the table.
            let bucket = unsafe { self.chain.as_ref() }.unwrap_or(head);
            // What was in a moved bucket is in the next table.
            if !head.word.load().is_moved() {
                while self.slot < SLOTS {
                    let entry = bucket.slots[self.slot].load(Ordering::Relaxed);
                    self.slot += 1;
                    if let Some(entry) = NonNull::new(entry) {
                        return Some(entry);
                    }
                }
                self.slot = 0;
                if let Some(overflow) = bucket.overflow() {
                    self.chain = overflow;
                    continue;
                }
            }
            self.chain = ptr::null();
            self.bucket += 1;
        }
        None
    }
}
