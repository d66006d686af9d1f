//! Walks over all entries of a map in use, and of a dropped map.
//!
//! A [`Walk`] goes through the *hashes*, from 0 upwards. It looks for the open bucket that is home
//! to the next hash, shows the entries whose hashes have their home in this bucket and in each
//! bucket on the way to it, and continues after their interval. Intervals nest. So an entry is
//! neither shown twice nor left out if a change of size splits or joins buckets. A key that is in
//! the map throughout is in one slot of the chain that the walk chose for its hash, and stays there
//! if the bucket is moved, since moved buckets are not written. The slot has its tag in every word
//! that the walk can load, so a walk looks only at slots that have one.
//!
//! A home has entries of its own interval only. So a walk that shows a whole home, which is every
//! one unless the table is being moved, does not look at the entries' hashes.
//!
//! Entries lie anywhere in memory. In a table that does not fit into a core's caches, a walk asks
//! for the entries of a bucket some buckets ahead. Otherwise it waits for nearly every entry: the
//! number of entries in a bucket cannot be predicted, so the processor does not run far ahead.

use super::Hashed;
use super::bucket::Bucket;
use super::table::Table;
use super::word::{Meta, SLOTS, SlotSet};
use crate::sys::prefetch::prefetch;
use crate::sys::prim::Ordering;
use std::ptr::{self, NonNull};

/// A walk over a table of so many buckets asks for entries in advance.
const LARGE: usize = 2048;
/// How many buckets ahead entries are asked for, and how many ahead buckets are.
const ENTRIES_AHEAD: usize = 4;
const BUCKETS_AHEAD: usize = 12;

pub(crate) struct Walk<'s, E> {
    root: &'s Table<E>,
    /// The number of the root's next bucket.
    at: usize,
    bucket: &'s Bucket<E>,
    /// The slots of the bucket that are still to be looked at.
    slots: SlotSet,
    /// Whether the rest of the bucket's chain is still to be looked at.
    more: bool,
    /// Whether to ask for entries in advance.
    ahead: bool,
    /// The next hash to look for in place of a moved bucket of the root.
    moved: Option<u64>,
    /// The first and the last hash that the chain is shown for. `None`: all that it has.
    only: Option<(u64, u64)>,
}

impl<'s, E: Hashed> Walk<'s, E> {
    /// `root` is the current table, in a section that lasts for `'s`.
    pub(crate) fn new(root: &'s Table<E>) -> Self {
        let buckets = root.buckets();
        Self {
            root,
            at: 0,
            bucket: &buckets[0],
            slots: SlotSet::EMPTY,
            more: false,
            ahead: buckets.len() >= LARGE,
            moved: None,
            only: None,
        }
    }

    /// Goes on to the next bucket. Returns `None` after the last one.
    #[inline(always)]
    fn next_bucket(&mut self) -> Option<()> {
        if self.more || self.moved.is_some() {
            if let Some(found) = self.next_of_chain() {
                return Some(found);
            }
        }
        let bucket = self.root.buckets().get(self.at)?;
        self.at += 1;
        let meta = bucket.word.load();
        if self.ahead {
            self.ask_ahead();
        }
        if meta.is_moved() {
            self.moved = Some(self.root.first(self.at - 1));
            return self.next_of_chain();
        }
        self.only = None;
        self.show(bucket, meta);
        Some(())
    }

    #[inline(always)]
    fn show(&mut self, bucket: &'s Bucket<E>, meta: Meta) {
        self.bucket = bucket;
        self.slots = meta.occupied();
        self.more = meta.has_more();
    }

    /// Goes on to the next overflow bucket, or else to the next of the buckets that a moved bucket
    /// of the root leads to. Returns `None` if there is none.
    #[inline(never)]
    fn next_of_chain(&mut self) -> Option<()> {
        if self.more {
            if let Some(overflow) = self.bucket.overflow() {
                self.bucket = overflow;
                self.slots = overflow.word.load().occupied();
                return Some(());
            }
            self.more = false;
        }
        let first = self.moved.take()?;
        let (table, bucket, meta, last) = self.root.open_home(first);
        if last != self.root.last(first) {
            self.moved = Some(last + 1);
        }
        self.only = (!table.is_interval(first, last)).then_some((first, last));
        self.show(bucket, meta);
        Some(())
    }

    /// Asks for the entries of a later bucket. They may be gone when the walk comes there: nothing
    /// is read from them here.
    #[inline(never)]
    fn ask_ahead(&self) {
        let buckets = self.root.buckets();
        if let Some(bucket) = buckets.get(self.at + BUCKETS_AHEAD) {
            prefetch(bucket);
        }
        if let Some(bucket) = buckets.get(self.at + ENTRIES_AHEAD) {
            for slot in &bucket.slots {
                let entry = slot.load(Ordering::Relaxed);
                // The processor keeps no translation of address 0, and would look for it each time.
                prefetch(if entry.is_null() { ptr::from_ref(bucket).cast() } else { entry });
            }
        }
    }
}

impl<E> Clone for Walk<'_, E> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'s, E: Hashed> Iterator for Walk<'s, E> {
    type Item = &'s E;

    #[inline(always)]
    fn next(&mut self) -> Option<&'s E> {
        loop {
            for slot in self.slots.by_ref() {
                let Some(entry) = self.bucket.entry(slot) else { continue };
                match self.only {
                    Some((first, last)) if !(first..=last).contains(&entry.hash()) => {}
                    _ => return Some(entry),
                }
            }
            self.next_bucket()?;
        }
    }

    fn count(mut self) -> usize {
        // The entries are not looked at.
        self.ahead = false;
        self.fold(0, |count, _| count + 1)
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
