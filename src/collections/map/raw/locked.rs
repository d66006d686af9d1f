//! What a writer does under a bucket's lock. An insertion sets the hint, then the slot; a removal
//! clears the slot, then the hint, as the parent module states. [`Locked`] has the word that is
//! published when the lock is released: only the holder changes tags, so this is exact.

use super::Hashed;
use super::bucket::Bucket;
use super::table::Table;
use super::word::{Meta, Parker, SLOTS, Tag};
use crate::sys::prim::{Ordering, Pass};
use std::ptr::{self, NonNull};

const _: () = assert!(SLOTS <= 6);

/// The held lock of a home that is not moved.
#[must_use = "the lock is released when it is dropped"]
pub(crate) struct Locked<'s, E> {
    table: &'s Table<E>,
    head: &'s Bucket<E>,
    parker: &'s Parker,
    /// The word that the release publishes.
    meta: Meta,
    /// The last hash of the interval that this home covers, seen from the search's root.
    pub(super) last: u64,
    /// Dropped after the lock is released: no fork happens while a thread has a pass.
    _pass: Pass,
}

/// The slot of an entry, under the lock of its chain.
pub(crate) struct EntrySlot<'s, E> {
    bucket: &'s Bucket<E>,
    slot: usize,
}

impl<E> EntrySlot<'_, E> {
    /// Returns the entry, under the lock.
    pub(crate) fn entry(&self) -> NonNull<E> {
        let entry = self.bucket.slots[self.slot].load(Ordering::Relaxed);
        NonNull::new(entry).expect("the slot of an entry is not empty")
    }
}

/// The end of a search under the lock.
pub(super) enum Search<'s, E> {
    Found(EntrySlot<'s, E>),
    Absent,
    /// An entry of the same hash that has not been compared.
    Unknown(&'s E),
}

/// Entries of one hash that were compared outside of any lock. The section is still open, so no
/// entry is freed, and an address means the same entry.
pub(super) struct Known<E> {
    hash: u64,
    equal: *const E,
    unequal: Vec<*const E>,
    /// The index in `unequal` where the last one was found: searches meet them in the same order.
    at: usize,
}

impl<E: Hashed> Known<E> {
    pub(super) fn of(hash: u64) -> Self {
        Self { hash, equal: ptr::null(), unequal: Vec::new(), at: 0 }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Compares an entry, and remembers the result. Looks at the hash only if the entry is not
    /// equal: what is equal has this hash, and is in this chain in any case.
    #[inline]
    pub(super) fn compare(&mut self, entry: &E, eq: &mut impl FnMut(&E) -> bool) -> bool {
        let equal = eq(entry);
        if equal {
            self.equal = entry;
        } else if entry.hash() == self.hash {
            self.unequal.push(entry);
        }
        equal
    }

    /// Returns the remembered result for an entry of this hash that is not the equal one.
    #[cold]
    fn is_unequal(&mut self, entry: &E) -> bool {
        let (before, after) = self.unequal.split_at(self.at.min(self.unequal.len()));
        let found = |known: &&*const E| ptr::eq(**known, entry);
        let mut known = after.iter().chain(before);
        let steps = known.by_ref().take_while(|known| !found(known)).count();
        if steps == self.unequal.len() {
            return false;
        }
        self.at = (self.at + steps + 1) % self.unequal.len();
        true
    }
}

impl<'s, E: Hashed> Locked<'s, E> {
    /// Locks the open bucket that is home to `hash`, on the way from `root`.
    #[inline(always)]
    pub(super) fn home(root: &'s Table<E>, hash: u64, parker: &'s Parker) -> Self {
        let pass = Pass::enter();
        loop {
            let (table, head, seen, last) = root.open_home(hash);
            // `None`: moved meanwhile, so the way from the root leads further now.
            if let Some(meta) = head.word.lock(seen, parker) {
                return Self { table, head, parker, meta, last, _pass: pass };
            }
        }
    }

    /// Locks a bucket of `table` if it is neither moved nor locked.
    pub(super) fn try_bucket(
        table: &'s Table<E>,
        head: &'s Bucket<E>,
        parker: &'s Parker,
    ) -> Option<Self> {
        let pass = Pass::enter();
        Some(Self { meta: head.word.try_lock()?, table, head, parker, last: u64::MAX, _pass: pass })
    }

    /// Looks for the entry that was compared as equal.
    #[inline(always)]
    pub(super) fn search(&self, known: &mut Known<E>) -> Search<'s, E> {
        let tag = Tag::of(known.hash);
        let found = self.find(
            |meta| meta.matches(tag),
            |entry| {
                ptr::eq(entry, known.equal)
                    || entry.hash() == known.hash && !known.is_unequal(entry)
            },
        );
        match found {
            None => Search::Absent,
            Some((slot, entry)) if ptr::eq(entry, known.equal) => Search::Found(slot),
            Some((_, entry)) => Search::Unknown(entry),
        }
    }

    /// Returns the slot of this very entry, if it is in this chain.
    pub(super) fn slot_of(&self, entry: &E) -> Option<EntrySlot<'s, E>> {
        let tag = Tag::of(entry.hash());
        let found = self.find(|meta| meta.matches(tag), |other| ptr::eq(entry, other));
        found.map(|(slot, _)| slot)
    }

    /// Returns the first of the chosen slots whose entry is accepted.
    #[inline(always)]
    fn find<I: Iterator<Item = usize>>(
        &self,
        choose: impl Fn(Meta) -> I,
        mut accept: impl FnMut(&E) -> bool,
    ) -> Option<(EntrySlot<'s, E>, &'s E)> {
        let (mut bucket, mut meta) = (self.head, self.meta);
        loop {
            for slot in choose(meta) {
                match bucket.entry(slot) {
                    Some(entry) if accept(entry) => {
                        return Some((EntrySlot { bucket, slot }, entry));
                    }
                    _ => {}
                }
            }
            if !self.meta.has_more() {
                return None;
            }
            bucket = bucket.overflow()?;
            meta = bucket.word.load();
        }
    }

    /// Puts in an entry whose key is not in the map.
    pub(crate) fn insert(&mut self, entry: NonNull<E>, hash: u64) {
        let tag = Tag::of(hash);
        if let Some(slot) = self.meta.first_free() {
            self.meta = self.meta.with_tag(slot, tag);
            self.head.word.hint(self.meta);
            self.head.slots[slot].store(entry.as_ptr(), Ordering::Release);
            return;
        }
        if !self.meta.has_more() {
            self.meta = self.meta.with_more();
            self.head.word.hint(self.meta);
        }
        let mut last = self.head;
        while let Some(bucket) = last.overflow() {
            let meta = bucket.word.load();
            if let Some(slot) = meta.first_free() {
                bucket.word.set(meta.with_tag(slot, tag));
                bucket.slots[slot].store(entry.as_ptr(), Ordering::Release);
                return;
            }
            last = bucket;
        }
        self.table.note_overflow();
        last.link(tag, entry.as_ptr());
    }

    /// Replaces an entry with another one of the same key. The caller retires the old one.
    #[inline]
    pub(crate) fn replace(&mut self, at: &EntrySlot<'s, E>, entry: NonNull<E>) -> NonNull<E> {
        let old = at.entry();
        at.bucket.slots[at.slot].store(entry.as_ptr(), Ordering::Release);
        old
    }

    /// Takes out an entry. The caller retires it.
    pub(crate) fn remove(&mut self, at: EntrySlot<'s, E>) -> NonNull<E> {
        let old = at.entry();
        let EntrySlot { bucket, slot } = at;
        bucket.slots[slot].store(ptr::null_mut(), Ordering::Release);
        if ptr::eq(bucket, self.head) {
            self.meta = self.meta.without_tag(slot);
        } else {
            bucket.word.set(bucket.word.load().without_tag(slot));
            if self.overflow_is_empty() {
                self.meta = self.meta.without_more();
            }
        }
        old
    }

    fn overflow_is_empty(&self) -> bool {
        let mut bucket = self.head;
        while let Some(overflow) = bucket.overflow() {
            if overflow.word.load().occupied().next().is_some() {
                return false;
            }
            bucket = overflow;
        }
        true
    }

    /// Takes out each entry whose hash is in `first..=last`. The caller retires them.
    pub(super) fn remove_between(
        &mut self,
        first: u64,
        last: u64,
        mut out: impl FnMut(NonNull<E>, u64),
    ) {
        let wanted = |entry: &E| (first..=last).contains(&entry.hash());
        while let Some((slot, entry)) = self.find(Meta::occupied, wanted) {
            let hash = entry.hash();
            out(self.remove(slot), hash);
        }
    }

    /// Copies each entry to its home in `to`, and leaves this bucket moved and otherwise unchanged.
    ///
    /// The new home is locked. If several buckets become one, other threads may move or write the
    /// other buckets at the same time. Locks are taken from older tables to newer ones, so threads
    /// do not wait in a circle. Nothing here panics half-way: no foreign code runs, and a lack of
    /// memory aborts.
    pub(super) fn move_to(mut self, to: &'s Table<E>) {
        let mut home: Option<Locked<'s, E>> = None;
        let (mut bucket, mut meta) = (self.head, self.meta);
        loop {
            for slot in meta.occupied() {
                let entry = bucket.slots[slot].load(Ordering::Relaxed);
                // SAFETY: invariants 1 and 3 of the module: an entry that is in the map.
                let hash = unsafe { (*entry).hash() };
                let entry = NonNull::new(entry).expect("a tag is set where an entry is");
                if !home.as_ref().is_some_and(|home| to.is_home(home.head, hash)) {
                    // Release the last home first: two homes of one table are never held at once.
                    drop(home.take());
                    home = Some(Locked::home(to, hash, self.parker));
                }
                if let Some(home) = &mut home {
                    home.insert(entry, hash);
                }
            }
            match bucket.overflow() {
                Some(overflow) => (bucket, meta) = (overflow, overflow.word.load()),
                None => break,
            }
        }
        drop(home);
        self.meta = self.meta.moved();
    }
}

impl<E> Drop for Locked<'_, E> {
    #[inline]
    fn drop(&mut self) {
        self.head.word.unlock(self.meta, self.parker);
    }
}
