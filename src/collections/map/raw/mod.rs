//! The map without keys, values and domains: entries that know their hash, in tables of cache-line buckets.
//!
//! # Shape
//! A [`Table`] has `1 << bits` [`Bucket`](bucket::Bucket)s of one cache line each: a word, six slots, and a link to an
//! overflow bucket of the same shape. A hash's *home* is the bucket that its topmost bits number, so a bucket is home to
//! one interval of hashes, and the intervals of a larger and a smaller table nest. Cache-line buckets whose readers take no
//! lock, and whose resizing hands over bucket by bucket, are those of CLHT (David, Guerraoui, Trigonakis: "Asynchronized
//! Concurrency", ASPLOS 2015); tags, nested intervals and the ordering below are this crate's.
//!
//! # States of a bucket
//! Its word says it: `open -> locked -> open` by a writer, any number of times, and once `locked -> moved`, by who resizes.
//! A moved bucket is never written again, and the table's `next` has what was in it. Overflow buckets belong to the bucket
//! whose chain they are in, and are locked and moved with it.
//!
//! # States of a table
//! `current`: [`Raw::table`] points to it. It may be given a `next`, once, and only while it is current. When its last
//! bucket is moved, `next` becomes current; it is then `old`, given to the caller of [`Raw::help`] to be retired, and
//! reached by no section that begins later. So there are never more than two tables with open buckets.
//!
//! # The slot decides, the word only hints
//! An entry is in the map from the store of its address to a slot (or of the link to the overflow bucket that it lies in) to
//! the store that overwrites it. The word's tags tell where looking is worth while. **A tag is set before its slot is
//! filled, and cleared after its slot was emptied**; likewise `more` and the overflow chain. So who finds an entry and looks
//! again finds it again, as long as nobody removes it; with the tag set last, a reader whose word is old would find an
//! entry that the next reader misses.
//!
//! An entry keeps its slot as long as it is in the map and its bucket is not moved, and a replacement takes over the slot.
//! So a key that is there throughout a lookup is found: either its bucket was open when the word was loaded, and then the
//! slots, from that moment to the bucket's end (and after: they are left as they were), hold it in one place; or it was
//! moved, and then the next table's bucket has held it since before `moved` was set.
//!
//! # Order
//! - slot, link: Release stores, Acquire loads. Whoever sees an entry sees it whole, and sees its tag (set before).
//! - word: the lock is taken with Acquire and left with Release; the holder's view of slots is exact. Readers load it with
//!   Acquire: who sees `moved` sees `next` and what was moved there.
//! - [`Raw::table`]: Release when it advances, after Acquire of the count of every moved bucket, and loaded with Acquire: who
//!   sees the new table as current finds in it what anyone moved there.
//!
//! # Why retiring an entry once is enough, though old tables still hold its address
//! Entry E was copied from T0 to T1 and is taken out of T1 by W. T0's bucket still holds E's address, for readers whose
//! word of that bucket is older than `moved`. W came to T1 by seeing `moved` there, or T1 as current; both are Acquire, so
//! `moved` happened before W's unlinking, and before the grace period that W's retiring waits for. A section that begins
//! after that grace period's fence sees `moved`, goes on to T1, and does not see E. A section that began before holds the
//! grace period up. The same for a chain of any length.
//!
//! # Why retiring a table once is enough, though older tables lead to it
//! T1 was current after T0, and both were retired. A section that reached T1 through T0 loaded T0 as current, so it began
//! before T1's grace period did: otherwise it would have seen the table that came after T1.
//!
//! # Invariants
//! 1. A `&'s Table` is made by [`Raw::root`] alone, inside a section that lasts for `'s`, and of it come `&'s` to buckets, later
//!    tables and entries. What was taken out of the map is freed only after a grace period that started later, a table
//!    likewise.
//! 2. Slots, links and tags are written only by who holds the lock of the chain's first bucket, which is not moved.
//! 3. Under a lock there is: a slot is null exactly where its tag is clear; an entry lies in one slot of its home's chain.
//! 4. Entries are never moved out of or written through.
//! 5. No foreign code runs under a lock: comparing keys is done before, and checked by address under it ([`Known`]).

#[cfg_attr(not(rcu_loom), path = "buckets/native.rs")]
#[cfg_attr(rcu_loom, path = "buckets/loom.rs")]
mod buckets;

mod bucket;
mod count;
pub(crate) mod hash;
mod locked;
mod meta;
mod parker;
mod resize;
pub(crate) mod table;
pub(crate) mod teardown;
pub(crate) mod walk;

use crate::sys::prim::{AtomicPtr, AtomicU32, Ordering};
use count::Count;
use locked::{Known, Search};
pub(crate) use locked::{Locked, Place};
use parker::Parker;
pub(crate) use resize::Old;
use table::Table;
use teardown::Teardown;

/// What a bucket holds the address of.
pub(crate) trait Hashed {
    /// The [mixed](hash::mix) hash of its key. The same at every call.
    fn hash(&self) -> u64;
}

/// The map's root.
pub(crate) struct Raw<E> {
    /// The current table.
    table: AtomicPtr<Table<E>>,
    /// It is not shrunk below so many bits.
    floor: AtomicU32,
    count: Count,
    parker: Parker,
}

/// Where a search for writing ended: the home's lock, and the slot of the entry if there is one.
pub(crate) type Located<'s, E> = (Locked<'s, E>, Option<Place<'s, E>>);

impl<E: Hashed> Raw<E> {
    /// With room for so many entries, below which it never shrinks.
    pub(crate) fn new(capacity: usize) -> Self {
        let bits = table::bits_for(capacity);
        Self {
            table: AtomicPtr::new(Box::into_raw(Box::new(Table::new(bits)))),
            floor: AtomicU32::new(bits),
            count: Count::new(),
            parker: Parker::new(),
        }
    }

    /// The current table.
    ///
    /// # Safety
    /// The caller is in a section of the map's domain that lasts for `'s`; what was taken out of the map is freed only after
    /// a grace period.
    #[inline(always)]
    pub(crate) unsafe fn root<'s>(&self) -> &'s Table<E> {
        // SAFETY: loaded in the section: not freed before its end (invariant 1).
        unsafe { &*self.table.load(Ordering::Acquire) }
    }

    /// All that is in it, for who drops the map.
    ///
    /// # Safety
    /// Once, with nobody having access but readers; and the first entry is asked for after a grace period.
    pub(crate) unsafe fn tear_down(&self) -> Teardown<E> {
        // SAFETY: by the caller's word.
        unsafe { Teardown::new(self.table.load(Ordering::Acquire)) }
    }

    /// Entries that were put in and not taken out.
    pub(crate) fn len(&self) -> usize {
        self.count.sum()
    }

    /// Locks the home of `hash`, and finds there the entry of this hash for which `eq` holds. `eq` does not run under the
    /// lock. Entries are looked at again only where others were put in meanwhile.
    pub(crate) fn locate<'s>(
        &'s self,
        root: &'s Table<E>,
        hash: u64,
        mut eq: impl FnMut(&E) -> bool,
    ) -> Located<'s, E> {
        let mut known = Known::new();
        root.find(hash, |entry| known.judge(entry, &mut eq));
        self.locate_known(root, hash, known, eq)
    }

    /// The same, without the lock where there is no such entry.
    pub(crate) fn locate_present<'s>(
        &'s self,
        root: &'s Table<E>,
        hash: u64,
        mut eq: impl FnMut(&E) -> bool,
    ) -> Option<(Locked<'s, E>, Place<'s, E>)> {
        let mut known = Known::new();
        root.find(hash, |entry| known.judge(entry, &mut eq))?;
        let (locked, place) = self.locate_known(root, hash, known, eq);
        Some((locked, place?))
    }

    /// Locks the home of `hash`, and finds this very entry there.
    pub(crate) fn locate_entry<'s>(
        &'s self,
        root: &'s Table<E>,
        entry: &E,
    ) -> Option<(Locked<'s, E>, Place<'s, E>)> {
        let locked = root.lock(entry.hash(), &self.parker);
        let place = locked.place_of(entry)?;
        Some((locked, place))
    }

    /// Locks the home of `hash`.
    pub(crate) fn lock<'s>(&'s self, root: &'s Table<E>, hash: u64) -> Locked<'s, E> {
        root.lock(hash, &self.parker)
    }

    fn locate_known<'s>(
        &'s self,
        root: &'s Table<E>,
        hash: u64,
        mut known: Known<E>,
        mut eq: impl FnMut(&E) -> bool,
    ) -> Located<'s, E> {
        loop {
            let locked = root.lock(hash, &self.parker);
            match locked.search(hash, &mut known) {
                Search::Found(place) => return (locked, Some(place)),
                Search::Absent => return (locked, None),
                Search::Unknown(entry) => {
                    drop(locked);
                    known.judge(entry, &mut eq);
                }
            }
        }
    }
}
