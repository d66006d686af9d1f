//! The map without keys, values and domains: entries that know their hash, in tables of buckets.
//!
//! # Shape
//! A [`Table`] has `1 << bits` [`Bucket`](bucket::Bucket)s of one cache line each: a word, six
//! slots, and a link to an overflow bucket of the same shape. The *home* of a hash is the bucket
//! that its topmost bits number. So a bucket is home to one interval of hashes, and the intervals
//! of a larger and a smaller table nest. Cache-line buckets with lock-free readers, and a resize
//! that moves bucket by bucket, are from CLHT (David, Guerraoui, Trigonakis: "Asynchronized
//! Concurrency", ASPLOS 2015). Tags, nested intervals and the order below are this crate's.
//!
//! # States of a bucket
//! The word has the state: `open -> locked -> open` by a writer, any number of times, and once
//! `locked -> moved`, by a writer that resizes. A moved bucket is never written again; its entries
//! are in the table's `next`. Overflow buckets are locked and moved with the first bucket of their
//! chain.
//!
//! # States of a table
//! [`Raw::table`] points to the `current` table. A table gets a `next` once, and only while it is
//! current. When its last bucket is moved, `next` becomes current. The table is then `old`: the
//! caller of [`Raw::help`] retires it, and no section that begins later reaches it. So at most two
//! tables have open buckets.
//!
//! # The slot decides, the word only hints
//! An entry is in the map from the store of its address to a slot (or of the link to the overflow
//! bucket that it lies in) to the store that overwrites it. The word's tags tell a reader where to
//! look. **A tag is set before its slot is filled, and cleared after its slot was emptied**. The
//! same holds for `more` and the overflow chain. So a reader that finds an entry and looks again
//! finds it again, as long as no writer removes it. If the tag were set last, a reader with an old
//! word would find an entry that the next reader misses.
//!
//! An entry keeps its slot while it is in the map and its bucket is not moved. A replacement takes
//! over the slot. So a lookup finds a key that is in the map throughout. If the bucket was open
//! when its word was loaded, one of its slots holds the key from then on, also after the move,
//! since a moved bucket is not written. If the bucket was moved, the next table's bucket has held
//! the key since before `moved` was set.
//!
//! # Order
//! - slot, link: Release stores, Acquire loads. A thread that sees an entry sees it whole, with its
//!   tag, which was set before.
//! - word: the lock is taken with Acquire and released with Release, so the holder sees the slots
//!   as they are. Readers load the word with Acquire: a thread that sees `moved` sees `next` and
//!   what was moved there.
//! - [`Raw::table`]: stored with Release when it advances, after an Acquire of the count of moved
//!   buckets, and loaded with Acquire. A thread that sees the new table as current finds in it what
//!   any thread moved there.
//!
//! # Why retiring an entry once is enough, though old tables still hold its address
//! Writer W takes entry E, which was copied from T0 to T1, out of T1. T0's bucket still holds E's
//! address, for readers that loaded that bucket's word before `moved`. W came to T1 by seeing
//! `moved` there, or T1 as current. Both are Acquire, so `moved` happened before W's unlinking, and
//! before the grace period that W's retiring waits for. A section that begins after that grace
//! period's fence sees `moved`, goes on to T1, and does not see E. A section that began before
//! holds the grace period up. The same holds for a chain of tables of any length.
//!
//! # Why retiring a table once is enough, though older tables lead to it
//! T1 was current after T0, and both were retired. A section that reached T1 through T0 loaded T0
//! as current. So it began before T1's grace period: otherwise it would have seen the table after
//! T1.
//!
//! # Invariants
//! 1. Only [`Raw::root`] makes a `&'s Table`, inside a section that lasts for `'s`. References to
//!    buckets, later tables and entries come from it. Removed entries and old tables are freed only
//!    after a grace period that started later.
//! 2. Only the holder of the lock of a chain's first bucket, which is not moved, writes the chain's
//!    slots, links and tags.
//! 3. Under a lock, a slot is null exactly if its tag is clear, and an entry lies in one slot of
//!    its home's chain.
//! 4. Entries are never moved out of or written through.
//! 5. No foreign code runs under a lock: keys are compared before, and addresses under the lock
//!    ([`Known`]).

mod bucket;
mod locked;
mod resize;
pub(crate) mod table;
pub(crate) mod walk;
mod word;

use crate::sys::prim::{AtomicPtr, AtomicU32, Ordering};
pub(crate) use locked::{EntrySlot, Locked};
use locked::{Known, Search};
use resize::Count;
use table::Table;
use walk::Teardown;
use word::Parker;
pub(crate) use word::mix;

/// An entry, whose address a bucket holds.
pub(crate) trait Hashed {
    /// Returns the [mixed](mix) hash of its key, the same at every call.
    fn hash(&self) -> u64;
}

/// The map's root.
pub(crate) struct Raw<E> {
    /// The current table.
    table: AtomicPtr<Table<E>>,
    /// The map does not shrink below this many bits by itself.
    floor: AtomicU32,
    count: Count,
    parker: Parker,
}

/// The result of a search for writing: the home's lock, and the entry's slot if there is one.
pub(crate) type Located<'s, E> = (Locked<'s, E>, Option<EntrySlot<'s, E>>);

impl<E: Hashed> Raw<E> {
    /// Makes an empty map with room for `capacity` entries, below which it does not shrink by
    /// itself.
    pub(crate) fn new(capacity: usize) -> Self {
        let bits = table::bits_for(capacity);
        Self {
            table: AtomicPtr::new(Box::into_raw(Box::new(Table::new(bits)))),
            floor: AtomicU32::new(bits),
            count: Count::new(),
            parker: Parker::new(),
        }
    }

    /// Returns the current table.
    ///
    /// # Safety
    /// The caller is in a section of the map's domain that lasts for `'s`. What was taken out of
    /// the map is freed only after a grace period.
    #[inline(always)]
    pub(crate) unsafe fn root<'s>(&self) -> &'s Table<E> {
        // SAFETY: loaded in the section: not freed before its end (invariant 1).
        unsafe { &*self.table.load(Ordering::Acquire) }
    }

    /// Takes a dropped map apart.
    ///
    /// # Safety
    /// Called once, when nothing but readers has access. The first entry is asked for after a grace
    /// period.
    pub(crate) unsafe fn tear_down(&self) -> Teardown<E> {
        // SAFETY: by the caller's word.
        unsafe { Teardown::new(self.table.load(Ordering::Acquire)) }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count.sum()
    }

    /// Locks the home of `hash`, and finds there the entry of this hash for which `eq` returns
    /// `true`. `eq` does not run under the lock, and may see entries of other hashes. Entries that
    /// are inserted meanwhile are compared, too.
    #[inline(always)]
    pub(crate) fn locate<'s>(
        &'s self,
        root: &'s Table<E>,
        hash: u64,
        mut eq: impl FnMut(&E) -> bool,
    ) -> Located<'s, E> {
        let mut known = Known::of(hash);
        root.find(hash, |entry| known.compare(entry, &mut eq));
        self.locate_known(root, &mut known, &mut eq)
    }

    /// [`locate`](Self::locate) that does not take the lock if there is no such entry.
    #[inline(always)]
    pub(crate) fn locate_present<'s>(
        &'s self,
        root: &'s Table<E>,
        hash: u64,
        mut eq: impl FnMut(&E) -> bool,
    ) -> Option<(Locked<'s, E>, EntrySlot<'s, E>)> {
        let mut known = Known::of(hash);
        root.find(hash, |entry| known.compare(entry, &mut eq))?;
        let (locked, slot) = self.locate_known(root, &mut known, &mut eq);
        Some((locked, slot?))
    }

    /// Locks the home of the entry's hash, and finds this very entry there.
    pub(crate) fn locate_entry<'s>(
        &'s self,
        root: &'s Table<E>,
        entry: &E,
    ) -> Option<(Locked<'s, E>, EntrySlot<'s, E>)> {
        let locked = Locked::home(root, entry.hash(), &self.parker);
        let slot = locked.slot_of(entry)?;
        Some((locked, slot))
    }

    /// Locks the home of `hash`.
    pub(crate) fn lock<'s>(&'s self, root: &'s Table<E>, hash: u64) -> Locked<'s, E> {
        Locked::home(root, hash, &self.parker)
    }

    #[inline(always)]
    fn locate_known<'s>(
        &'s self,
        root: &'s Table<E>,
        known: &mut Known<E>,
        eq: &mut impl FnMut(&E) -> bool,
    ) -> Located<'s, E> {
        loop {
            let locked = Locked::home(root, known.hash(), &self.parker);
            match locked.search(known) {
                Search::Found(slot) => return (locked, Some(slot)),
                Search::Absent => return (locked, None),
                Search::Unknown(entry) => {
                    drop(locked);
                    known.compare(entry, eq);
                }
            }
        }
    }
}
