//! A table: a power of two of buckets, and the way from one to the next.

use super::Hashed;
use super::bucket::Bucket;
use super::buckets::Buckets;
use super::locked::Locked;
use super::meta::{Meta, SLOTS};
use super::parker::Parker;
use super::resize::Progress;
use crate::sys::prim::{AtomicBool, AtomicPtr, Ordering, Pass, UnsafeCell};
use crossbeam_utils::CachePadded;
use std::ptr;

crate::sys::prim::model_const! {
    /// The smallest table has `1 << MIN_BITS` buckets.
    const MIN_BITS: u32 = 2, loom 1;
    /// Entries per bucket that a table is made for. With four of six slots taken on average, nine
    /// in ten buckets have no overflow.
    const LOAD: usize = 4, loom 1;
}

pub(crate) struct Table<E> {
    buckets: Buckets<E>,
    /// `64 - bits`, where there are `1 << bits` buckets; less than 64.
    shift: u32,
    /// Whether a bucket of it ever got an overflow bucket.
    overflowed: AtomicBool,
    pub(super) next: AtomicPtr<Table<E>>,
    /// Written while the table is moved; a line of its own.
    pub(super) progress: CachePadded<Progress>,
    /// Looked at by who walks through and written by who frees: nothing, but loom sees whether that is ordered.
    life: UnsafeCell<()>,
}

// SAFETY: atomics, and `life`, which nobody writes but in the drop.
unsafe impl<E> Send for Table<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for Table<E> {}

/// The bits of the smallest table for so many entries.
///
/// # Panics
/// Where no address space has room for it.
pub(crate) fn bits_for(entries: usize) -> u32 {
    let buckets = entries.div_ceil(LOAD).checked_next_power_of_two();
    // Twice the buckets' size, so that making the table does not fail for its length.
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
            progress: CachePadded::new(Progress::new()),
            life: UnsafeCell::new(()),
        }
    }

    pub(super) fn bits(&self) -> u32 {
        64 - self.shift
    }

    /// The entries that it is made for.
    pub(crate) fn capacity(&self) -> usize {
        self.buckets.len().saturating_mul(LOAD)
    }

    /// With fewer entries than this it is too large: an eighth of what it is made for, so that it takes long after a
    /// change of size until there is another one.
    pub(super) fn too_few(&self) -> usize {
        self.capacity() / 8
    }

    pub(super) fn buckets(&self) -> &[Bucket<E>] {
        &self.buckets
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> &Bucket<E> {
        self.life.with(|_| ());
        &self.buckets[(hash >> self.shift) as usize]
    }

    pub(super) fn is_home(&self, bucket: &Bucket<E>, hash: u64) -> bool {
        ptr::eq(self.home(hash), bucket)
    }

    /// The last hash of the interval that this one's home covers.
    fn last(&self, hash: u64) -> u64 {
        hash | (u64::MAX >> self.bits())
    }

    /// The table that this one is being moved to, if it is.
    #[inline]
    pub(crate) fn next(&self) -> Option<&Self> {
        // SAFETY: null, or a table that is retired after this one (invariant 1 of the module); Acquire: seen whole.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// The last table on the way from here.
    pub(super) fn newest(&self) -> &Self {
        let mut table = self;
        while let Some(next) = table.next() {
            table = next;
        }
        table
    }

    /// The table that a moved bucket leads to.
    #[cold]
    pub(super) fn moved_to(&self) -> &Self {
        self.next().expect("buckets are moved to the next table")
    }

    pub(super) fn note_overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }

    /// The open bucket that is home to `hash`, its word, and the last hash for which it is, on the way from here.
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
}

impl<E: Hashed> Table<E> {
    /// The entry of this hash for which `eq` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut eq: impl FnMut(&E) -> bool) -> Option<&E> {
        let mut table = self;
        loop {
            let bucket = table.home(hash);
            let meta = bucket.word.load();
            if !meta.is_moved() {
                return bucket.find(meta, hash, &mut eq);
            }
            table = table.moved_to();
        }
    }

    /// Locks the open bucket that is home to `hash`.
    pub(super) fn lock<'s>(&'s self, hash: u64, parker: &'s Parker) -> Locked<'s, E> {
        let pass = Pass::enter();
        loop {
            let (table, bucket, _, last) = self.open_home(hash);
            // Moved between: the way from here leads further now.
            if let Some(meta) = bucket.word.lock(parker) {
                return Locked::new(table, bucket, parker, meta, last, pass);
            }
        }
    }

    /// Locks a bucket that is neither moved nor locked.
    pub(super) fn try_lock<'s>(
        &'s self,
        bucket: &'s Bucket<E>,
        parker: &'s Parker,
    ) -> Option<Locked<'s, E>> {
        let pass = Pass::enter();
        let meta = bucket.word.try_lock()?;
        Some(Locked::new(self, bucket, parker, meta, u64::MAX, pass))
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

const _: () = assert!(LOAD <= SLOTS);
