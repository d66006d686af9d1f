//! From one table to the next, a few buckets with each write.
//!
//! # Who does what
//! Whoever finds the table too small or too large [starts](Raw::start): it claims the current table's one change of size by
//! a swap, makes the next table and hangs it on. From then on each write [`helps`](Raw::help): it takes a run of buckets by
//! a shared cursor and moves those that are neither moved nor locked at this moment. Nobody waits for another helper, or
//! for the lock of a bucket that is being moved. When the cursor is past the end, helpers sweep: they begin again at the
//! front, with longer runs, and find what was locked, or was left by a helper that was suspended. Each bucket is moved by
//! one, who counts it; the helper whose count makes all of them makes `next` current, and gives the old table to its
//! caller to retire.
//!
//! So an operation never pays for more than a run, an allocation of zeroed pages, and the waiting for one bucket's lock.
//!
//! # Order
//! The count is AcqRel and the table's advance Release: who sees the new table as current finds there what any helper
//! moved, and has every `moved` behind it.
//! `next` is Release; it is set while the table is current, since a table without `next` cannot cease to be that.

use super::table::{Table, bits_for};
use super::{Hashed, Raw};
use crate::sys::prim::{AtomicBool, AtomicUsize, Ordering};
use std::ptr::NonNull;

crate::sys::prim::model_const! {
    /// The least number of buckets that a write moves.
    const RUN: usize = 16, loom 1;
}
/// Looking at a moved bucket costs less.
const SWEEP: usize = 16;

pub(super) struct Progress {
    /// Somebody makes the next table, or made it.
    claimed: AtomicBool,
    cursor: AtomicUsize,
    moved: AtomicUsize,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            claimed: AtomicBool::new(false),
            cursor: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
        }
    }
}

/// A table that is not current any more: to be freed after a grace period. No `Box`, which would claim alone what readers may
/// still look at.
#[must_use = "to be freed after a grace period"]
pub(crate) struct Old<E>(NonNull<Table<E>>);

// SAFETY: the only owner of a table, which is `Send`.
unsafe impl<E> Send for Old<E> {}

impl<E> Old<E> {
    /// # Safety
    /// After a grace period that began since the table ceased to be current.
    pub(crate) unsafe fn free(self) {
        // SAFETY: made by `Box::into_raw`, taken out once, and no reader is left.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<E: Hashed> Raw<E> {
    /// After an entry of this hash was put in.
    pub(crate) fn added(&self, root: &Table<E>, hash: u64) {
        let estimate = self.count.add(hash);
        if estimate > root.capacity() && self.len() > root.capacity() {
            let floor = self.floor.load(Ordering::Relaxed);
            let bits = bits_for(self.len().saturating_mul(2));
            self.start(root, bits.max(floor));
        }
    }

    /// After an entry of this hash was taken out.
    pub(crate) fn removed(&self, root: &Table<E>, hash: u64) {
        if self.count.remove(hash) < root.too_few() {
            self.shrink(root);
        }
    }

    /// Starts a smaller table where the current one is too large.
    #[cold]
    fn shrink(&self, root: &Table<E>) {
        let len = self.len();
        let floor = self.floor.load(Ordering::Relaxed);
        if len < root.too_few() && root.bits() > floor {
            self.start(root, bits_for(len.saturating_mul(2)).max(floor));
        }
    }

    /// Makes room for so many entries, below which the map does not shrink by itself; does not wait for others.
    ///
    /// Gives back the tables to retire.
    pub(crate) fn reserve(&self, root: &Table<E>, entries: usize) -> Vec<Old<E>> {
        let bits = bits_for(entries);
        self.floor.fetch_max(bits, Ordering::Relaxed);
        self.resize(root, |now| bits > now, bits)
    }

    /// Forgets what was reserved, and has the map no larger than it must be; does not wait for others.
    ///
    /// Gives back the tables to retire.
    pub(crate) fn shrink_to_fit(&self, root: &Table<E>) -> Vec<Old<E>> {
        self.floor.store(0, Ordering::Relaxed);
        let bits = bits_for(self.len());
        self.resize(root, |now| bits < now, bits)
    }

    /// Takes out what is there when its home is passed, and gives it to `out`, under the lock: no foreign code, no panic.
    ///
    /// Gives back the tables to retire.
    pub(crate) fn clear(&self, root: &Table<E>, mut out: impl FnMut(NonNull<E>)) -> Vec<Old<E>> {
        let mut next = Some(0);
        while let Some(first) = next {
            let mut locked = self.lock(root, first);
            let last = locked.last();
            locked.remove_between(first, last, |entry, hash| {
                self.count.remove(hash);
                out(entry);
            });
            drop(locked);
            next = last.checked_add(1);
        }
        self.shrink(root);
        Vec::from_iter(self.finish(root))
    }

    /// Ends the move that is under way, and makes another if it is wanted.
    fn resize(&self, root: &Table<E>, wanted: impl Fn(u32) -> bool, bits: u32) -> Vec<Old<E>> {
        let mut old = Vec::from_iter(self.finish(root));
        let root = root.newest();
        if wanted(root.bits()) {
            self.start(root, bits);
            old.extend(self.finish(root));
        }
        old
    }

    /// Hangs the next table on the current one, if nobody has.
    #[cold]
    fn start(&self, root: &Table<E>, bits: u32) {
        let current = std::ptr::eq(self.table.load(Ordering::Acquire), root);
        // A table that was current and is claimed here for the first time has no next one, so it still is.
        if !current || bits == root.bits() || root.progress.claimed.swap(true, Ordering::Relaxed) {
            return;
        }
        let next = Box::into_raw(Box::new(Table::new(bits)));
        root.next.store(next, Ordering::Release);
    }

    /// Moves a run of buckets, if the table is being moved. Once per table it gives back the table, which is to be retired.
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

    /// Moves all that can be moved now.
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
            if let Some(locked) = root.try_lock(bucket, &self.parker) {
                locked.move_to(next);
                count += 1;
            }
        }
        let progress = &root.progress;
        if count == 0 || progress.moved.fetch_add(count, Ordering::AcqRel) + count < buckets.len() {
            return None;
        }
        // The last one: nobody else comes here with this table.
        let next = root.next.load(Ordering::Acquire);
        let old = self.table.swap(next, Ordering::AcqRel);
        debug_assert!(
            std::ptr::eq(old, root),
            "tables become current in their order"
        );
        NonNull::new(old).map(Old)
    }
}
