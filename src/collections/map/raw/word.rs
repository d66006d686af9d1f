//! The word of a bucket, which has its state and a tag for each slot; the bits of a hash; and how
//! writers wait for a locked bucket.
//!
//! # States
//! A compare-exchange sets `LOCKED` in a word without `LOCKED` and `MOVED`, so a moved bucket is
//! never locked. Waiters set `HAS_WAITERS` while `LOCKED` is set, to tell the holder that a thread
//! sleeps. [`Word::unlock`] replaces the whole word and clears both. The new word may have `MOVED`,
//! which is final. `MORE` is set while the overflow chain may hold an entry. In the word of an
//! overflow bucket only tags are used.
//!
//! # Order
//! [`lock`](Word::lock) is Acquire and pairs with the Release of [`unlock`](Word::unlock).
//! [`load`](Word::load) is Acquire for the same Release: a thread that sees `MOVED` sees what was
//! moved. Hints are set by a read-modify-write, since waiters may set `HAS_WAITERS` at the same
//! time. Relaxed is enough: the store to the slot that follows is Release and covers it.
//!
//! # Waiting
//! All waiters of a map sleep at one [`Parker`]. Sleeping is rare (the holder was preempted; it
//! runs no foreign code), so waking all is cheap enough.
//!
//! A waiter marks the bucket's word under the parker's lock, and falls asleep and releases this
//! lock in one step. A writer that unlocks clears the mark together with the bucket's lock. If
//! there was a mark, the writer takes and releases the parker's lock before it notifies. So the
//! writer notifies after the waiter has fallen asleep; or the waiter marks the word later, finds it
//! unlocked and does not sleep.
//!
//! A waiter has a [`Pass`](crate::sys::prim::Pass), as the holder of a bucket's lock has: no fork
//! happens.

use crate::sys::prim::{AtomicU64, Condvar, LongMutex, Ordering};

crate::sys::prim::model_const! {
    /// Slots of a bucket. A word has six bytes for tags in any case.
    pub(crate) const SLOTS: usize = 6, loom 2;
    /// How often a waiter looks again before it sleeps. A holder stores a few words; models sleep
    /// at once.
    const SPINS: u32 = 100, loom 0;
}

const LOCKED: u64 = 1 << 63;
const HAS_WAITERS: u64 = 1 << 62;
const MOVED: u64 = 1 << 61;
const MORE: u64 = 1 << 60;
/// The flags that belong to locking.
const FLAGS: u64 = LOCKED | HAS_WAITERS;

const ONES: u64 = 0x0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080;
const LOW: u64 = 0x7f7f_7f7f_7f7f;
/// The high bits of the bytes that belong to slots.
const USED: u64 = HIGH >> (8 * (6 - SLOTS));

/// Spreads a hash over all its higher bits (Fibonacci hashing), for hashers that leave some of them
/// unchanged. One to one: different hashes stay different.
#[inline(always)]
pub(crate) fn mix(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A byte of a mixed hash. Never 0, which is the tag of an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u8);

impl Tag {
    /// Takes bits below those that number buckets, so that tags differ inside a bucket.
    #[inline(always)]
    pub(crate) fn of(hash: u64) -> Self {
        Self(((hash >> 24) as u8).max(1))
    }
}

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

    /// Returns the slots that have this tag, and sometimes slots after one that has it: a borrow
    /// passes on from there. This costs less than an exact answer, and the entry tells.
    #[inline(always)]
    pub(super) fn matches(self, tag: Tag) -> SlotSet {
        let zero_if_equal = self.0 ^ (ONES * u64::from(tag.0));
        SlotSet(zero_if_equal.wrapping_sub(ONES) & !zero_if_equal & USED)
    }

    /// Returns the slots that have a tag.
    pub(super) fn occupied(self) -> SlotSet {
        SlotSet(!self.zeros().0 & USED)
    }

    pub(super) fn first_free(self) -> Option<usize> {
        self.zeros().next()
    }

    /// Returns the slots whose byte is 0. Exact: no carry leaves its byte.
    #[inline(always)]
    fn zeros(self) -> SlotSet {
        SlotSet(!(((self.0 & LOW) + LOW) | self.0) & USED)
    }

    pub(super) fn with_tag(self, slot: usize, tag: Tag) -> Self {
        Self(self.0 | u64::from(tag.0) << (8 * slot))
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

/// A set of slots, lowest first. Each slot is the high bit of a byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotSet(u64);

impl SlotSet {
    pub(super) const EMPTY: Self = Self(0);
}

impl Iterator for SlotSet {
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

    /// Takes the lock. Returns `None` if the bucket is moved. `seen` is the word as it was loaded
    /// before.
    #[inline(always)]
    pub(super) fn lock(&self, seen: Meta, parker: &Parker) -> Option<Meta> {
        match seen.is_moved() {
            true => None,
            false => self.lock_from(seen).or_else(|| self.lock_contended(parker)),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self, parker: &Parker) -> Option<Meta> {
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
                parker.sleep(|| self.mark_waiter());
            }
        }
    }

    /// Takes the lock if it is free and the bucket is not moved.
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
            .compare_exchange(seen.0, seen.0 | LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then_some(seen)
    }

    /// Sets the waiters' mark. Returns `false` if the bucket is no longer locked.
    fn mark_waiter(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            if seen & HAS_WAITERS != 0 {
                return true;
            }
            match self.0.compare_exchange(
                seen,
                seen | HAS_WAITERS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Publishes the hints of `meta`. Called by the lock's holder, before it fills the slot.
    pub(super) fn hint(&self, meta: Meta) {
        let mut seen = self.0.load(Ordering::Relaxed);
        while let Err(now) = self.0.compare_exchange_weak(
            seen,
            meta.0 & !FLAGS | seen & FLAGS,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            // Only a waiter's mark changes it.
            seen = now;
        }
    }

    /// Releases the lock, and publishes `meta`. Called by the lock's holder.
    #[inline]
    pub(super) fn unlock(&self, meta: Meta, parker: &Parker) {
        let before = self.0.swap(meta.0 & !FLAGS, Ordering::Release);
        if before & HAS_WAITERS != 0 {
            parker.notify();
        }
    }

    /// Replaces the word of an overflow bucket. Called by the holder of its chain's lock.
    pub(super) fn set(&self, meta: Meta) {
        self.0.store(meta.0, Ordering::Release);
    }
}

pub(super) struct Parker {
    lock: LongMutex<()>,
    freed: Condvar,
}

impl Parker {
    pub(super) fn new() -> Self {
        Self { lock: LongMutex::new(()), freed: Condvar::new() }
    }

    /// Sleeps until a notification, or a spurious wake-up. Does not sleep if `mark` returns
    /// `false`.
    #[cold]
    pub(super) fn sleep(&self, mark: impl FnOnce() -> bool) {
        let guard = self.lock.lock();
        if mark() {
            // Poison does not matter: the lock guards no data.
            drop(self.freed.wait(guard));
        }
    }

    #[cold]
    pub(super) fn notify(&self) {
        drop(self.lock.lock());
        self.freed.notify_all();
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    fn slots(slots: SlotSet) -> Vec<usize> {
        slots.collect()
    }

    #[test]
    fn tags_are_found_in_their_slots() {
        // Every pair of neighbours: a borrow from the lower byte may show the higher one, too, but
        // hides none, and nothing is shown without one that has the tag.
        let step = if cfg!(miri) { 51 } else { 1 };
        for low in (1..=255u64).step_by(step) {
            for high in (1..=255u64).step_by(step) {
                let tag = |byte: u64| Tag::of(byte << 24);
                let meta = Meta::EMPTY.with_tag(1, tag(low)).with_tag(2, tag(high));
                assert_eq!(meta.matches(tag(low)).next(), Some(1));
                assert!(slots(meta.matches(tag(high))).contains(&2));
                let neither = tag((low ^ high) % 255 + 1);
                if neither != tag(low) && neither != tag(high) {
                    assert_eq!(slots(meta.matches(neither)), [0; 0]);
                }
                assert_eq!(slots(meta.occupied()), [1, 2]);
            }
        }
    }

    #[test]
    fn flags_are_not_taken_for_tags() {
        let meta = Meta(LOCKED | HAS_WAITERS | MOVED | MORE);
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
        let meta = word.lock(word.load(), &parker).expect("open");
        assert!(word.try_lock().is_none());
        word.unlock(meta.moved(), &parker);
        assert!(word.try_lock().is_none());
        assert!(word.lock(word.load(), &parker).is_none());
        assert!(word.lock(meta, &parker).is_none());
    }
}
