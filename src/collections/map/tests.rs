//! Tests of what cannot be seen from outside: that tables change, chains grow, old roots lead on,
//! and no lock is held too long.

use super::RcuMap;
use super::raw::table::{Old, Table};
use super::raw::walk::Walk;
use super::raw::{Hashed, Raw, mix};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::ptr::NonNull;

#[cfg(not(miri))]
const MANY: u64 = 5_000;
#[cfg(miri)]
const MANY: u64 = 200;

struct Item(u64);

impl Hashed for Item {
    fn hash(&self) -> u64 {
        self.0
    }
}

/// A raw map that only this thread uses. Its entries are freed at the end, so every `root` is used
/// within its life.
struct Fixture {
    raw: Raw<Item>,
    /// Taken out and not freed, since an old root may lead there.
    old: Vec<NonNull<Item>>,
    tables: Vec<Old<Item>>,
}

impl Fixture {
    fn new() -> Self {
        Self { raw: Raw::new(0), old: Vec::new(), tables: Vec::new() }
    }

    fn root<'s>(&self) -> &'s Table<Item> {
        // SAFETY: nothing is freed before the fixture is dropped.
        unsafe { self.raw.root() }
    }

    fn insert(&mut self, hash: u64) {
        let root = self.root();
        let item = NonNull::from(Box::leak(Box::new(Item(hash))));
        let (mut locked, place) = self.raw.locate(root, hash, |item| item.0 == hash);
        match place {
            Some(place) => {
                let old = locked.replace(&place, item);
                drop(locked);
                self.old.push(old);
            }
            None => {
                locked.insert(item, hash);
                drop(locked);
                self.raw.added(root, hash);
            }
        }
        self.help();
    }

    fn remove(&mut self, hash: u64) -> bool {
        let root = self.root();
        let Some((mut locked, place)) = self.raw.locate_present(root, hash, |item| item.0 == hash)
        else {
            return false;
        };
        let old = locked.remove(place);
        drop(locked);
        self.old.push(old);
        self.raw.removed(root, hash);
        self.help();
        true
    }

    fn help(&mut self) {
        let root = self.root();
        self.tables.extend(self.raw.help(root));
    }

    fn contains(&self, hash: u64) -> bool {
        let root = self.root();
        root.find(hash, |item| item.0 == hash).is_some()
    }

    fn capacity(&self) -> usize {
        self.root().capacity()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: nothing else has access.
        let left = unsafe { self.raw.tear_down() };
        for item in left.chain(self.old.drain(..)) {
            // SAFETY: from a box, once.
            drop(unsafe { Box::from_raw(item.as_ptr()) });
        }
        for table in self.tables.drain(..) {
            // SAFETY: as above.
            unsafe { table.free() };
        }
    }
}

#[test]
fn a_table_grows_to_two_entries_for_each_bucket() {
    let mut fixture = Fixture::new();
    let mut capacity = fixture.capacity();
    for (len, hash) in (1..).zip(hashes(MANY)) {
        fixture.insert(hash);
        let now = fixture.root().newest().capacity();
        if now != capacity {
            assert_eq!(now, 2 * capacity);
            // The count is an estimate until it is near.
            assert!((capacity + 1..capacity + capacity / 4).contains(&len), "{capacity} {len}");
            capacity = now;
        }
    }
    assert!(capacity > fixture.raw.len());
}

#[test]
fn a_map_that_is_cleared_while_it_grows_keeps_no_large_table() {
    let most = MANY / 5;
    for len in 0..most {
        let mut fixture = Fixture::new();
        let least = fixture.capacity();
        hashes(len).for_each(|hash| fixture.insert(hash));
        let Fixture { raw, old, tables } = &mut fixture;
        // SAFETY: nothing is freed before the fixture is dropped.
        tables.extend(raw.clear(unsafe { raw.root() }, |item| old.push(item)));
        assert_eq!(fixture.root().newest().capacity(), least, "after {len} entries");
        assert!(fixture.root().next().is_none(), "after {len} entries");
    }
}

/// Returns hashes that are spread as those of keys are.
fn hashes(count: u64) -> impl Iterator<Item = u64> + Clone {
    (1..=count).map(mix)
}

#[test]
fn a_table_grows_and_shrinks_with_what_is_in_it() {
    let mut map = Fixture::new();
    let least = map.capacity();
    hashes(MANY).for_each(|hash| map.insert(hash));
    assert_eq!(map.raw.len(), MANY as usize);
    let most = map.capacity();
    assert!(most >= MANY as usize, "{most}");
    assert!(hashes(MANY).all(|hash| map.contains(hash)));
    for hash in hashes(MANY).skip(3) {
        assert!(map.remove(hash));
        assert!(!map.contains(hash));
    }
    assert!(map.capacity() < most / 8, "{}", map.capacity());
    assert!(hashes(3).all(|hash| map.contains(hash)));
    hashes(3).for_each(|hash| assert!(map.remove(hash)));
    // The last change of size may still be under way.
    assert!(map.capacity() <= 2 * least, "{}", map.capacity());
}

#[test]
fn a_size_in_between_is_left_alone() {
    let mut map = Fixture::new();
    hashes(MANY).for_each(|hash| map.insert(hash));
    (0..MANY).for_each(|_| map.help());
    let (size, tables) = (map.capacity(), map.tables.len());
    for _ in 0..3 {
        hashes(MANY).skip(MANY as usize / 2).for_each(|hash| assert!(map.remove(hash)));
        hashes(MANY).skip(MANY as usize / 2).for_each(|hash| map.insert(hash));
    }
    assert_eq!((map.capacity(), map.tables.len()), (size, tables));
}

#[test]
fn a_first_root_leads_through_every_later_table() {
    let mut map = Fixture::new();
    let first = map.root();
    hashes(MANY).for_each(|hash| map.insert(hash));
    assert!(map.tables.len() >= 2, "{}", map.tables.len());
    assert!(hashes(MANY).all(|hash| first.find(hash, |item| item.0 == hash).is_some()));
    let seen: Vec<u64> = Walk::new(first).map(Item::hash).collect();
    assert_eq!(seen.len(), MANY as usize);
    assert_eq!(BTreeSet::from_iter(seen), BTreeSet::from_iter(hashes(MANY)));
}

#[test]
fn a_walk_sees_each_lasting_entry_once_whatever_size_the_table_takes() {
    for step in [1, 7, 50] {
        let mut map = Fixture::new();
        let lasting: Vec<u64> = hashes(MANY / 10).collect();
        lasting.iter().for_each(|hash| map.insert(*hash));
        let walk = Walk::new(map.root());
        let mut seen = Vec::new();
        let others: Vec<u64> = (MANY..2 * MANY).map(mix).collect();
        // The first half of the walk: the table grows. The second half: it shrinks.
        for (turn, item) in walk.enumerate() {
            seen.push(item.hash());
            for other in others.iter().skip(turn * 37 % others.len()).take(37 * step) {
                match seen.len() < lasting.len() {
                    true => map.insert(*other),
                    false => _ = map.remove(*other),
                }
            }
        }
        seen.retain(|hash| lasting.contains(hash));
        let count = seen.len();
        assert_eq!(BTreeSet::from_iter(seen), BTreeSet::from_iter(lasting));
        assert_eq!(count, MANY as usize / 10, "some were seen twice");
    }
}

#[test]
fn one_bucket_takes_any_number() {
    let mut map = Fixture::new();
    // The same home in every table, and one tag.
    let hashes = || (1..=100u64).map(|low| 0xabcd << 48 | low);
    for _ in 0..3 {
        hashes().for_each(|hash| map.insert(hash));
        assert!(hashes().all(|hash| map.contains(hash)));
        hashes().for_each(|hash| map.insert(hash));
        assert_eq!(map.raw.len(), 100);
        hashes().step_by(2).for_each(|hash| assert!(map.remove(hash)));
        assert!(hashes().skip(1).step_by(2).all(|hash| map.contains(hash)));
        assert!(!hashes().step_by(2).any(|hash| map.contains(hash)));
        hashes().skip(1).step_by(2).for_each(|hash| assert!(map.remove(hash)));
        assert_eq!(map.raw.len(), 0);
    }
}

#[test]
fn a_reservation_is_kept_until_it_is_given_up() {
    let mut map = Fixture::new();
    let tables = map.raw.reserve(map.root(), MANY as usize);
    map.tables.extend(tables);
    let size = map.capacity();
    assert!(size >= MANY as usize);
    hashes(10).for_each(|hash| map.insert(hash));
    hashes(9).for_each(|hash| assert!(map.remove(hash)));
    assert_eq!(map.capacity(), size);
    let tables = map.raw.shrink_to_fit(map.root());
    map.tables.extend(tables);
    assert!(map.capacity() < size);
    assert!(map.contains(hashes(10).last().unwrap()));
}

#[test]
fn a_cleared_table_has_no_entry_wherever_it_was() {
    let mut map = Fixture::new();
    hashes(MANY).for_each(|hash| map.insert(hash));
    let mut out = Vec::new();
    let tables = map.raw.clear(map.root(), |item| out.push(item));
    map.tables.extend(tables);
    assert_eq!(out.len(), MANY as usize);
    map.old.extend(out);
    assert_eq!(map.raw.len(), 0);
    assert!(!hashes(MANY).any(|hash| map.contains(hash)));
}

/// Every key at one hash.
#[derive(Clone, Copy, Default)]
struct Same;

impl BuildHasher for Same {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        7
    }
    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn keys_of_one_hash_are_told_apart_by_comparing() {
    let map = RcuMap::with_hasher(Same);
    for key in 0..100 {
        assert!(map.insert(key, key).is_none());
    }
    for key in 0..100 {
        assert_eq!(*map.insert(key, key + 1).unwrap(), key);
    }
    for key in (0..100).rev() {
        assert_eq!(*map.remove(&key).unwrap(), key + 1);
        assert!(map.remove(&key).is_none());
    }
    assert!(map.is_empty());
    map.rcu().blocking_drain();
}

/// Small enough for an interpreter that checks every access. `tests/collections/map.rs` has the
/// large ones.
#[test]
fn readers_and_writers_share_a_map() {
    const LASTING: u64 = 10;
    let map = RcuMap::new_in(&crate::Rcu::new());
    (0..LASTING).for_each(|key| _ = map.insert(key, Box::new(key)));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let map = &map;
            scope.spawn(move || {
                let mine = || (LASTING..MANY / 2).filter(|key| key % 2 == writer);
                mine().for_each(|key| _ = map.insert(key, Box::new(key)));
                (0..LASTING).for_each(|key| _ = map.insert(key, Box::new(key)));
                mine().for_each(|key| assert_eq!(**map.remove(&key).unwrap(), key));
            });
        }
        scope.spawn(|| {
            for _ in 0..10 {
                let guard = map.rcu().read();
                for key in 0..LASTING {
                    assert_eq!(**map.get(&key, &guard).unwrap(), key);
                }
                let lasting = map.iter(&guard).filter(|(key, value)| {
                    assert_eq!(**key, ***value);
                    **key < LASTING
                });
                assert_eq!(lasting.count(), LASTING as usize);
            }
        });
    });
    assert_eq!(map.len(), LASTING as usize);
    let rcu = map.rcu().clone();
    drop(map);
    rcu.blocking_drain();
}
