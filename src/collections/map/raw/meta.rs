//! The word of a bucket: a tag for each slot, and what state the bucket is in.
//!
//! # States
//! `LOCKED` is set by compare-exchange from a word that has neither it nor `MOVED`, so a moved bucket is never locked.
//! `PARKED` is set by waiters while `LOCKED` is, and tells the holder that somebody sleeps. [`Word::unlock`] replaces the whole
//! word and takes both away; what it publishes may have `MOVED`, which is final. `MORE` is set while the overflow chain may
//! hold an entry; in the word of an overflow bucket only tags are used.
//!
//! # Order
//! [`lock`](Word::lock) is Acquire and pairs with the Release of [`unlock`](Word::unlock). [`load`](Word::load) is Acquire
//! for the same Release: who sees `MOVED` sees what was moved. Hints are set by a read-modify-write, since waiters may set
//! `PARKED` beside; it may be Relaxed, as the store to the slot that follows is Release and carries it along.

use super::hash::Tag;
use super::parker::Parker;
use crate::sys::prim::{AtomicU64, Ordering};

crate::sys::prim::model_const! {
    /// Slots of a bucket. A bucket has six bytes for tags in any case.
    pub(crate) const SLOTS: usize = 6, loom 2;
    /// How often a waiter looks again before it sleeps. A lock's holder stores only a few words.
    const SPINS: u32 = 100, loom 0;
}

const LOCKED: u64 = 1 << 63;
const PARKED: u64 = 1 << 62;
const MOVED: u64 = 1 << 61;
const MORE: u64 = 1 << 60;
/// What only the locking itself changes.
const FLAGS: u64 = LOCKED | PARKED;

const ONES: u64 = 0x0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080;
const LOW: u64 = 0x7f7f_7f7f_7f7f;
/// The high bits of the bytes that belong to slots.
const USED: u64 = HIGH >> (8 * (6 - SLOTS));

/// A word as it was loaded, or as it will be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta(u64);

impl Meta {
    pub(super) const EMPTY: Self = Self(0);

    #[inline(always)]
    pub(super) fn is_moved(self) -> bool {
        self.0 & MOVED != 0
    }

    #[inline(always)]
    pub(super) fn has_more(self) -> bool {
        self.0 & MORE != 0
    }

    /// The slots whose tag it is.
    #[inline(always)]
    pub(super) fn matches(self, tag: Tag) -> Slots {
        Self(self.0 ^ (ONES * u64::from(tag.byte()))).zeros()
    }

    /// The slots that have a tag.
    pub(super) fn occupied(self) -> Slots {
        Slots(!self.zeros().0 & USED)
    }

    pub(super) fn first_free(self) -> Option<usize> {
        self.zeros().next()
    }

    /// The slots whose byte is 0. Exact: no carry leaves its byte.
    #[inline(always)]
    fn zeros(self) -> Slots {
        Slots(!(((self.0 & LOW) + LOW) | self.0) & USED)
    }

    pub(super) fn with_tag(self, slot: usize, tag: Tag) -> Self {
        Self(self.0 | u64::from(tag.byte()) << (8 * slot))
    }

    pub(super) fn without_tag(self, slot: usize) -> Self {
        Self(self.0 & !(0xff << (8 * slot)))
    }

    pub(super) fn with_more(self) -> Self {
        Self(self.0 | MORE)
    }

    pub(super) fn without_more(self) -> Self {
        Self(self.0 & !MORE)
    }

    pub(super) fn moved(self) -> Self {
        Self(self.0 | MOVED)
    }
}

/// Slots, lowest first: the high bit of a byte for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots(u64);

impl Iterator for Slots {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Word(AtomicU64);

impl Word {
    pub(super) fn new(meta: Meta) -> Self {
        Self(AtomicU64::new(meta.0))
    }

    #[inline(always)]
    pub(super) fn load(&self) -> Meta {
        Meta(self.0.load(Ordering::Acquire))
    }

    /// Takes the lock; `None` where the bucket is moved.
    #[inline]
    pub(super) fn lock(&self, parker: &Parker) -> Option<Meta> {
        let mut spins = 0;
        loop {
            let seen = self.load();
            if seen.is_moved() {
                return None;
            }
            if let Some(meta) = self.lock_from(seen) {
                return Some(meta);
            }
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                parker.sleep(|| self.park());
            }
        }
    }

    /// Takes the lock where nobody has it and the bucket is not moved.
    pub(super) fn try_lock(&self) -> Option<Meta> {
        let seen = self.load();
        match seen.is_moved() {
            true => None,
            false => self.lock_from(seen),
        }
    }

    #[inline(always)]
    fn lock_from(&self, seen: Meta) -> Option<Meta> {
        if seen.0 & LOCKED != 0 {
            return None;
        }
        self.0
            .compare_exchange(
                seen.0,
                seen.0 | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
            .then_some(seen)
    }

    /// Sets the waiters' mark; `false` where the bucket is not locked any more.
    fn park(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            if seen & PARKED != 0 {
                return true;
            }
            match self
                .0
                .compare_exchange(seen, seen | PARKED, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Publishes the hints of `meta` and stays locked. By the lock's holder, before it fills the slot.
    pub(super) fn hint(&self, meta: Meta) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while let Err(now) = self.0.compare_exchange_weak(
            seen,
            meta.0 & !FLAGS | seen & FLAGS,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            // Only by a waiter's mark.
            seen = now;
        }
    }

    /// Leaves the lock, and publishes `meta`. By the lock's holder.
    pub(super) fn unlock(&self, meta: Meta, parker: &Parker) {
        let before = self.0.swap(meta.0 & !FLAGS, Ordering::Release);
        if before & PARKED != 0 {
            parker.notify();
        }
    }

    /// Replaces the word of an overflow bucket. By the holder of its chain's lock.
    pub(super) fn set(&self, meta: Meta) {
        self.0.store(meta.0, Ordering::Release);
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    fn slots(slots: Slots) -> Vec<usize> {
        slots.collect()
    }

    #[test]
    fn tags_are_found_where_they_are_and_nowhere_else() {
        // Every pair of neighbours: what a carry from the lower byte could falsify.
        let step = if cfg!(miri) { 51 } else { 1 };
        for low in (1..=255u64).step_by(step) {
            for high in (1..=255u64).step_by(step) {
                let tag = |byte: u64| Tag::of(byte << 24);
                let meta = Meta::EMPTY.with_tag(1, tag(low)).with_tag(2, tag(high));
                let expected = if low == high { vec![1, 2] } else { vec![1] };
                assert_eq!(slots(meta.matches(tag(low))), expected);
                assert_eq!(slots(meta.occupied()), [1, 2]);
            }
        }
    }

    #[test]
    fn flags_are_no_tags() {
        let meta = Meta(LOCKED | PARKED | MOVED | MORE);
        assert_eq!(slots(meta.occupied()), [0; 0]);
        assert_eq!(meta.first_free(), Some(0));
        let full = (0..SLOTS).fold(meta, |meta, slot| meta.with_tag(slot, Tag::of(0)));
        assert_eq!(full.first_free(), None);
        assert_eq!(full.without_tag(3).first_free(), Some(3));
        assert_eq!(slots(full.matches(Tag::of(0))), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_moved_bucket_is_not_locked() {
        let (word, parker) = (Word::new(Meta::EMPTY), Parker::new());
        let meta = word.lock(&parker).expect("open");
        assert!(word.try_lock().is_none());
        word.unlock(meta.moved(), &parker);
        assert!(word.try_lock().is_none());
        assert!(word.lock(&parker).is_none());
    }
}
