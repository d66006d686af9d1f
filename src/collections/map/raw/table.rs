//! A table: a power of two of buckets, and the way from one table to the next.

use super::bucket::{Bucket, Buckets};
use super::word::{Meta, SLOTS};
use crate::sys::prim::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::ptr::{self, NonNull};

crate::sys::prim::model_const! {
    /// The smallest table has `1 << MIN_BITS` buckets.
    const MIN_BITS: u32 = 2, loom 1;
    /// Entries for each bucket that a table is made for. With four of six slots taken, nine in ten
    /// buckets have no overflow.
    const LOAD: usize = 4, loom 1;
}
const _: () = assert!(LOAD <= SLOTS);

pub(crate) struct Table<E> {
    buckets: Buckets<E>,
    /// `64 - bits`, if there are `1 << bits` buckets; less than 64.
    shift: u32,
    /// Whether a bucket of this table ever got an overflow bucket.
    overflowed: AtomicBool,
    pub(super) next: AtomicPtr<Table<E>>,
    /// Written while the table is moved, so it has a line of its own.
    pub(super) progress: CachePadded<Progress>,
    /// Holds nothing. Readers read it and the drop writes it, so that loom checks their order.
    life: UnsafeCell<()>,
}

/// How far the move to the next table has come. See [`resize`](super::resize).
pub(super) struct Progress {
    /// Whether a writer makes the next table, or has made it.
    pub(super) claimed: AtomicBool,
    pub(super) cursor: AtomicUsize,
    pub(super) moved: AtomicUsize,
}

// SAFETY: atomics, and `life`, which only the drop writes.
unsafe impl<E> Send for Table<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for Table<E> {}

/// Returns the bits of the smallest table for this many entries.
///
/// # Panics
/// If no address space has room for it.
pub(crate) fn bits_for(entries: usize) -> u32 {
    let buckets = entries.div_ceil(LOAD).checked_next_power_of_two();
    // Twice the buckets' size, so that the length does not make the allocation fail.
    let fits = buckets.filter(|buckets| isize::try_from(buckets.saturating_mul(128)).is_ok());
    let buckets = fits.expect("a table larger than the address space");
    buckets.trailing_zeros().max(MIN_BITS)
}

impl<E> Table<E> {
    pub(super) fn new(bits: u32) -> Self {
        Self {
            buckets: Buckets::new(1 << bits),
            shift: 64 - bits,
            overflowed: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
            progress: CachePadded::new(Progress {
                claimed: AtomicBool::new(false),
                cursor: AtomicUsize::new(0),
                moved: AtomicUsize::new(0),
            }),
            life: UnsafeCell::new(()),
        }
    }

    pub(super) fn bits(&self) -> u32 {
        64 - self.shift
    }

    /// Returns how many entries the table is made for.
    pub(crate) fn capacity(&self) -> usize {
        self.buckets.len().saturating_mul(LOAD)
    }

    /// Returns the number of entries below which the table is too large: an eighth of its capacity,
    /// so that changes of size do not follow each other soon.
    pub(super) fn too_few(&self) -> usize {
        self.capacity() / 8
    }

    pub(super) fn buckets(&self) -> &[Bucket<E>] {
        &self.buckets
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> &Bucket<E> {
        self.life.with(|_| ());
        // SAFETY: `shift` is at least 1, so this is less than `1 << bits`, the number of buckets.
        unsafe { self.buckets.get_unchecked((hash >> self.shift) as usize) }
    }

    /// Returns the first hash whose home is the bucket of this number.
    pub(super) fn first(&self, bucket: usize) -> u64 {
        (bucket as u64) << self.shift
    }

    pub(super) fn is_home(&self, bucket: &Bucket<E>, hash: u64) -> bool {
        ptr::eq(self.home(hash), bucket)
    }

    /// Returns the last hash that has the same home as this one.
    pub(super) fn last(&self, hash: u64) -> u64 {
        hash | (u64::MAX >> self.bits())
    }

    /// Returns whether one bucket is home to these hashes and to no others.
    #[inline]
    pub(super) fn is_interval(&self, first: u64, last: u64) -> bool {
        let rest = u64::MAX >> self.bits();
        first & rest == 0 && last == first | rest
    }

    /// Returns the table that this one is being moved to, if it is.
    #[inline]
    pub(crate) fn next(&self) -> Option<&Self> {
        // SAFETY: null, or a table that is retired after this one (invariant 1 of the module).
        // Acquire: it is seen whole.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the last table on the way from here.
    pub(crate) fn newest(&self) -> &Self {
        let mut table = self;
        while let Some(next) = table.next() {
            table = next;
        }
        table
    }

    /// Returns the table that a moved bucket leads to.
    #[cold]
    fn moved_to(&self) -> &Self {
        self.next().expect("buckets are moved to the next table")
    }

    pub(super) fn note_overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }

    /// Returns the open bucket on the way from here that is home to `hash`, its table, its word,
    /// and the last hash for which it is the home.
    #[inline]
    pub(super) fn open_home(&self, hash: u64) -> (&Self, &Bucket<E>, Meta, u64) {
        let (mut table, mut last) = (self, self.last(hash));
        loop {
            let bucket = table.home(hash);
            let meta = bucket.word.load();
            if !meta.is_moved() {
                return (table, bucket, meta, last);
            }
            table = table.moved_to();
            last = last.min(table.last(hash));
        }
    }

    /// Returns the entry with the tag of this hash for which `eq` returns `true`. Does not compare
    /// hashes: a lookup need not load the entry's hash.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut eq: impl FnMut(&E) -> bool) -> Option<&E> {
        let bucket = self.home(hash);
        let meta = bucket.word.load();
        match meta.is_moved() {
            false => bucket.find(meta, hash, &mut eq),
            true => self.find_later(hash, &mut eq),
        }
    }

    /// Does the work of [`find`](Self::find) if this table's bucket is moved.
    #[cold]
    #[inline(never)]
    fn find_later(&self, hash: u64, eq: &mut impl FnMut(&E) -> bool) -> Option<&E> {
        let (_, bucket, meta, _) = self.moved_to().open_home(hash);
        bucket.find(meta, hash, eq)
    }
}

impl<E> Drop for Table<E> {
    fn drop(&mut self) {
        self.life.with_mut(|_| ());
        if self.overflowed.load(Ordering::Relaxed) {
            for bucket in self.buckets.iter() {
                bucket.free_overflow();
            }
        }
    }
}

/// A table that is no longer current. Not a `Box`, which would claim that no reader is left.
#[must_use = "to be freed after a grace period"]
pub(crate) struct Old<E>(pub(super) NonNull<Table<E>>);

// SAFETY: the only owner of a table, which is `Send`.
unsafe impl<E> Send for Old<E> {}

impl<E> Old<E> {
    /// # Safety
    /// A grace period has elapsed that began after the table ceased to be current.
    pub(crate) unsafe fn free(self) {
        // SAFETY: made by `Box::into_raw`, taken out once, and no reader is left.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
