//! What is done under a bucket's lock.
//!
//! Each change keeps the order of the module above: hint, slot on the way in, slot, hint on the way out. The guard knows what
//! the word will be when the lock is left; only the holder changes tags, so this is exact.

use super::Hashed;
use super::bucket::Bucket;
use super::hash::Tag;
use super::meta::{Meta, SLOTS};
use super::parker::Parker;
use super::table::Table;
use crate::sys::prim::{Ordering, Pass};
use std::ptr::{self, NonNull};

/// The lock of a home that is not moved, until it is dropped.
#[must_use = "the lock is left when it is dropped"]
pub(crate) struct Locked<'s, E> {
    table: &'s Table<E>,
    head: &'s Bucket<E>,
    parker: &'s Parker,
    /// What the word will be.
    meta: Meta,
    /// The last hash for which this is the home, seen from the root that the way here began at.
    last: u64,
    /// Dropped after the lock is left: no fork happens while another thread has it.
    _pass: Pass,
}

/// The slot of an entry, under the lock of its chain.
pub(crate) struct Place<'s, E> {
    bucket: &'s Bucket<E>,
    slot: usize,
}

impl<E> Place<'_, E> {
    /// What lies there, under the lock.
    pub(crate) fn entry(&self) -> NonNull<E> {
        let entry = self.bucket.slots[self.slot].load(Ordering::Relaxed);
        NonNull::new(entry).expect("a place holds an entry")
    }
}

/// The end of a search under the lock.
pub(super) enum Search<'s, E> {
    Found(Place<'s, E>),
    Absent,
    /// An entry of the same hash that has not been judged.
    Unknown(&'s E),
}

/// Entries of one hash that were compared, outside of any lock, in the section that goes on: so an address means the same
/// entry, as none is freed and its memory used again before the section ends.
pub(super) struct Known<E> {
    equal: *const E,
    unequal: Vec<*const E>,
    /// Where in `unequal` the last one was found: searches meet them in the same order.
    at: usize,
}

impl<E: Hashed> Known<E> {
    pub(super) fn new() -> Self {
        Self {
            equal: ptr::null(),
            unequal: Vec::new(),
            at: 0,
        }
    }

    /// Compares, and remembers.
    pub(super) fn judge(&mut self, entry: &E, eq: &mut impl FnMut(&E) -> bool) -> bool {
        let equal = eq(entry);
        match equal {
            true => self.equal = entry,
            false => self.unequal.push(entry),
        }
        equal
    }

    fn verdict(&mut self, entry: &E) -> Option<bool> {
        if ptr::eq(entry, self.equal) {
            return Some(true);
        }
        let (before, after) = self.unequal.split_at(self.at.min(self.unequal.len()));
        let found = |known: &&*const E| ptr::eq(**known, entry);
        let mut known = after.iter().chain(before);
        let steps = known.by_ref().take_while(|known| !found(known)).count();
        if steps == self.unequal.len() {
            return None;
        }
        self.at = (self.at + steps + 1) % self.unequal.len();
        Some(false)
    }
}

impl<'s, E: Hashed> Locked<'s, E> {
    /// Where `head`, of `table`, was locked with `meta`.
    pub(super) fn new(
        table: &'s Table<E>,
        head: &'s Bucket<E>,
        parker: &'s Parker,
        meta: Meta,
        last: u64,
        pass: Pass,
    ) -> Self {
        Self {
            table,
            head,
            parker,
            meta,
            last,
            _pass: pass,
        }
    }

    /// The last hash of the interval that this home covers.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The entry that was judged equal, if it is here.
    pub(super) fn search(&self, hash: u64, known: &mut Known<E>) -> Search<'s, E> {
        let mut judged = true;
        let tag = Tag::of(hash);
        let found = self.places(
            |meta| meta.matches(tag),
            |entry| {
                entry.hash() == hash
                    && known.verdict(entry).unwrap_or_else(|| {
                        judged = false;
                        true
                    })
            },
        );
        match found {
            None => Search::Absent,
            Some((place, _)) if judged => Search::Found(place),
            Some((_, entry)) => Search::Unknown(entry),
        }
    }

    /// Where this very entry is, if it is here.
    pub(super) fn place_of(&self, entry: &E) -> Option<Place<'s, E>> {
        let tag = Tag::of(entry.hash());
        let found = self.places(|meta| meta.matches(tag), |other| ptr::eq(entry, other));
        found.map(|(place, _)| place)
    }

    /// The first of the chosen slots whose entry is accepted.
    fn places<I: Iterator<Item = usize>>(
        &self,
        choose: impl Fn(Meta) -> I,
        mut accept: impl FnMut(&E) -> bool,
    ) -> Option<(Place<'s, E>, &'s E)> {
        let (mut bucket, mut meta) = (self.head, self.meta);
        loop {
            for slot in choose(meta) {
                match bucket.entry(slot) {
                    Some(entry) if accept(entry) => return Some((Place { bucket, slot }, entry)),
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

    /// Puts an entry in that is not in the map.
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

    /// Puts an entry of the same key in the place of another one, which is now the caller's to retire.
    pub(crate) fn replace(&mut self, place: &Place<'s, E>, entry: NonNull<E>) -> NonNull<E> {
        let old = place.entry();
        place.bucket.slots[place.slot].store(entry.as_ptr(), Ordering::Release);
        old
    }

    /// Takes an entry out, which is now the caller's to retire.
    pub(crate) fn remove(&mut self, place: Place<'s, E>) -> NonNull<E> {
        let old = place.entry();
        let Place { bucket, slot } = place;
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

    /// Takes out every entry whose hash lies between these, both included; they are now the caller's to retire.
    pub(super) fn remove_between(
        &mut self,
        first: u64,
        last: u64,
        mut out: impl FnMut(NonNull<E>, u64),
    ) {
        let wanted = |entry: &E| (first..=last).contains(&entry.hash());
        while let Some((place, entry)) = self.places(Meta::occupied, wanted) {
            let hash = entry.hash();
            out(self.remove(place), hash);
        }
    }

    /// Copies every entry to its home in `to`, and leaves this bucket moved, as it is.
    ///
    /// The new home is locked: where several buckets become one, others may be moved, or written, at the same time. Locks are
    /// taken from older tables to newer ones, so nobody waits in a circle. Nothing here can panic half-way: there is no
    /// foreign code, and want of memory aborts.
    pub(super) fn move_to(mut self, to: &'s Table<E>) {
        let mut home: Option<Locked<'s, E>> = None;
        let (mut bucket, mut meta) = (self.head, self.meta);
        loop {
            for slot in meta.occupied() {
                let entry = bucket.slots[slot].load(Ordering::Relaxed);
                // SAFETY: invariants 1 and 3 of the module: an entry that is in the map.
                let hash = unsafe { (*entry).hash() };
                let entry = NonNull::new(entry).expect("a tag is set where an entry is");
                if !home
                    .as_ref()
                    .is_some_and(|home| to.is_home(home.head, hash))
                {
                    // The one before is left first: two homes of one table are never held at once.
                    drop(home.take());
                    home = Some(to.lock(hash, self.parker));
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
    fn drop(&mut self) {
        self.head.word.unlock(self.meta, self.parker);
    }
}

const _: () = assert!(SLOTS <= 6);
