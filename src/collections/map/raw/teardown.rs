//! The end of a map: its entries, one by one, then its tables.

use super::bucket::Bucket;
use super::meta::SLOTS;
use super::table::Table;
use crate::sys::prim::Ordering;
use std::ptr::{self, NonNull};

/// What is left of a map that nobody has access to any more: all of it is the owner's.
///
/// # Invariants
/// `table` is the table that was current, or a later one; all before are freed. Entries before the place (`bucket`, `chain`,
/// `slot`) were given out.
pub(crate) struct Teardown<E> {
    table: *mut Table<E>,
    bucket: usize,
    /// Where in the bucket's chain; null: at its head.
    chain: *const Bucket<E>,
    slot: usize,
}

// SAFETY: gives out addresses only, whose use is the caller's to argue.
unsafe impl<E> Send for Teardown<E> {}

impl<E> Teardown<E> {
    /// # Safety
    /// `table` was the current one of a map that nobody has access to any more, when the first entry is asked for, and
    /// that nobody else takes down.
    pub(crate) unsafe fn new(table: *mut Table<E>) -> Self {
        Self {
            table,
            bucket: 0,
            chain: ptr::null(),
            slot: 0,
        }
    }
}

impl<E> Iterator for Teardown<E> {
    type Item = NonNull<E>;

    /// An entry that was in the map; it is the caller's. With the last one, the tables are freed.
    fn next(&mut self) -> Option<NonNull<E>> {
        // SAFETY: invariant: not freed yet, and nobody else has access.
        while let Some(table) = unsafe { self.table.as_ref() } {
            let Some(head) = table.buckets().get(self.bucket) else {
                let next = table.next.load(Ordering::Relaxed);
                // SAFETY: made by `Box::into_raw`; nobody else has access, and `table` is not used again.
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
