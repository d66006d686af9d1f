//! The number of entries, and the move from one table to the next, a few buckets each write.
//!
//! # Who does what
//! A writer that finds the table too small or too large [starts](Raw::start) a change: it claims
//! the one change of size of the current table by a swap, makes the next table and links it. From
//! then on each write [helps](Raw::help): it takes a run of buckets by a shared cursor and moves
//! those that are neither moved nor locked at this moment. A helper waits neither for another
//! helper nor for a bucket's lock. When the cursor is past the end, helpers sweep: they begin again
//! at the front with longer runs, and find buckets that were locked or that a suspended helper
//! left. One helper moves and counts each bucket. The helper that counts the last one makes `next`
//! current, and returns the old table to its caller to retire.
//!
//! So an operation never pays for more than a run, an allocation of zeroed pages, and a wait for
//! one bucket's lock.
//!
//! # Order
//! The count is AcqRel and the table's advance Release: a thread that sees the new table as current
//! finds there what any helper moved, and every `moved` happened before. The store of `next` is
//! Release. A table gets `next` while it is current, since a table without `next` stays current.

use super::locked::Locked;
use super::table::{Old, Table, bits_for};
use super::{Hashed, Raw};
use crate::sys::prim::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::ptr::NonNull;

crate::sys::prim::model_const! {
    /// The fewest buckets that a write moves.
    const RUN: usize = 16, loom 1;
    /// The stripes of a [`Count`].
    const STRIPES: usize = 8, loom 1;
}
/// How many times longer a run of a sweep is: looking at a moved bucket costs less.
const SWEEP: usize = 16;

/// The number of entries, in several stripes, so that writers on different buckets seldom meet. An
/// entry is counted in the stripe of its hash, after the lock is released. So its removal may be
/// counted before its insertion: stripes wrap, and a negative count means none.
pub(crate) struct Count(Box<[CachePadded<AtomicUsize>]>);

impl Count {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| CachePadded::new(AtomicUsize::new(0))).collect())
    }

    /// Counts one more. Returns about how many that makes, judging by this stripe alone.
    pub(super) fn add(&self, hash: u64) -> usize {
        let own = self.stripe(hash).fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        estimate(own)
    }

    /// Counts one less. Returns about how many that leaves, judging by this stripe alone.
    pub(super) fn remove(&self, hash: u64) -> usize {
        let own = self.stripe(hash).fetch_sub(1, Ordering::Relaxed).wrapping_sub(1);
        estimate(own)
    }

    pub(super) fn sum(&self) -> usize {
        let sum = self
            .0
            .iter()
            .fold(0, |sum: usize, stripe| sum.wrapping_add(stripe.load(Ordering::Relaxed)));
        not_negative(sum)
    }

    fn stripe(&self, hash: u64) -> &AtomicUsize {
        // Not the topmost bits: they number buckets, and writers may be at neighbouring ones.
        &self.0[(hash >> 16) as usize % STRIPES]
    }
}

fn estimate(own: usize) -> usize {
    not_negative(own).saturating_mul(STRIPES)
}

fn not_negative(count: usize) -> usize {
    usize::try_from(count as isize).unwrap_or(0)
}

impl<E: Hashed> Raw<E> {
    /// Called after an entry of this hash was put in.
    pub(crate) fn added(&self, root: &Table<E>, hash: u64) {
        let estimate = self.count.add(hash);
        if estimate > root.capacity() && self.len() > root.capacity() {
            let floor = self.floor.load(Ordering::Relaxed);
            // Just above the capacity, this is two entries for each bucket.
            self.start(root, bits_for(self.len()).max(floor));
        }
    }

    /// Called after an entry of this hash was taken out.
    pub(crate) fn removed(&self, root: &Table<E>, hash: u64) {
        if self.count.remove(hash) < root.too_few() {
            self.shrink(root);
        }
    }

    /// Starts a smaller table if the current one is too large.
    #[cold]
    fn shrink(&self, root: &Table<E>) {
        let len = self.len();
        let floor = self.floor.load(Ordering::Relaxed);
        if len < root.too_few() && root.bits() > floor {
            self.start(root, bits_for(len.saturating_mul(2)).max(floor));
        }
    }

    /// Makes room for so many entries, below which the map does not shrink by itself. Does not wait
    /// for other helpers. Returns the tables to retire.
    pub(crate) fn reserve(&self, root: &Table<E>, entries: usize) -> Vec<Old<E>> {
        let bits = bits_for(entries);
        self.floor.fetch_max(bits, Ordering::Relaxed);
        self.resize(root, |now| bits > now, bits)
    }

    /// Makes the map no larger than its entries need, and forgets what was reserved. Does not wait
    /// for other helpers. Returns the tables to retire.
    pub(crate) fn shrink_to_fit(&self, root: &Table<E>) -> Vec<Old<E>> {
        self.floor.store(0, Ordering::Relaxed);
        let bits = bits_for(self.len());
        self.resize(root, |now| bits < now, bits)
    }

    /// Takes out the entries that each home has when it is passed, and gives them to `out`, which
    /// runs under the lock: it is no foreign code and does not panic. Returns the tables to retire.
    pub(crate) fn clear(&self, root: &Table<E>, mut out: impl FnMut(NonNull<E>)) -> Vec<Old<E>> {
        let mut next = Some(0);
        while let Some(first) = next {
            let mut locked = self.lock(root, first);
            let last = locked.last;
            locked.remove_between(first, last, |entry, hash| {
                self.count.remove(hash);
                out(entry);
            });
            drop(locked);
            next = last.checked_add(1);
        }
        // A change of size may be under way, to a table that is too large now.
        let mut old = Vec::from_iter(self.finish(root));
        let root = root.newest();
        self.shrink(root);
        old.extend(self.finish(root));
        old
    }

    /// Ends the move that is under way, and makes another one if it is wanted.
    fn resize(&self, root: &Table<E>, wanted: impl Fn(u32) -> bool, bits: u32) -> Vec<Old<E>> {
        let mut old = Vec::from_iter(self.finish(root));
        let root = root.newest();
        if wanted(root.bits()) {
            self.start(root, bits);
            old.extend(self.finish(root));
        }
        old
    }

    /// Links the next table to the current one, if no other writer has.
    #[cold]
    fn start(&self, root: &Table<E>, bits: u32) {
        let current = std::ptr::eq(self.table.load(Ordering::Acquire), root);
        // A table that was current and is first claimed here has no next one, so it still is.
        if !current || bits == root.bits() || root.progress.claimed.swap(true, Ordering::Relaxed) {
            return;
        }
        let next = Box::into_raw(Box::new(Table::new(bits)));
        root.next.store(next, Ordering::Release);
    }

    /// Moves a run of buckets, if the table is being moved. Once for each table, this returns the
    /// table, which is to be retired.
    #[inline]
    #[must_use = "to be retired"]
    pub(crate) fn help(&self, root: &Table<E>) -> Option<Old<E>> {
        let next = root.next()?;
        let all = root.buckets().len();
        let at = root.progress.cursor.fetch_add(RUN, Ordering::Relaxed);
        match at.checked_sub(all) {
            None => self.move_run(root, next, at, RUN),
            Some(past) => self.move_run(root, next, past.wrapping_mul(SWEEP) % all, RUN * SWEEP),
        }
    }

    /// Moves all buckets that can be moved now.
    fn finish(&self, root: &Table<E>) -> Option<Old<E>> {
        let next = root.next()?;
        self.move_run(root, next, 0, root.buckets().len())
    }

    #[cold]
    fn move_run(
        &self,
        root: &Table<E>,
        next: &Table<E>,
        first: usize,
        run: usize,
    ) -> Option<Old<E>> {
        let buckets = root.buckets();
        let mut count = 0;
        for bucket in buckets.iter().skip(first).take(run) {
            if let Some(locked) = Locked::try_bucket(root, bucket, &self.parker) {
                locked.move_to(next);
                count += 1;
            }
        }
        let progress = &root.progress;
        if count == 0 || progress.moved.fetch_add(count, Ordering::AcqRel) + count < buckets.len() {
            return None;
        }
        // The last bucket: no other helper comes here with this table.
        let next = root.next.load(Ordering::Acquire);
        let old = self.table.swap(next, Ordering::AcqRel);
        debug_assert!(std::ptr::eq(old, root), "tables become current in their order");
        NonNull::new(old).map(Old)
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_is_counted_first_does_not_make_the_count_huge() {
        let count = Count::new();
        count.remove(0);
        assert_eq!(count.sum(), 0);
        count.add(0);
        count.add(1 << 16);
        assert_eq!(count.sum(), 1);
    }
}
