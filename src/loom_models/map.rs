//! The map's buckets: a lasting entry is not missed, a key is not put in twice, and nothing is
//! freed under a reader. Under loom a bucket has two slots, the smallest table has two buckets, and
//! a helper moves one bucket.

use super::*;
use crate::collections::map::raw::table::{Old, Table};
use crate::collections::map::raw::walk::Walk;
use crate::collections::map::raw::{Hashed, Raw};
use loom::sync::Arc;
use std::ptr::NonNull;

struct Item {
    hash: u64,
    alive: Value,
}

impl Hashed for Item {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Makes an item, whose memory is leaked, so that loom finds a use after it is freed.
fn item(hash: u64) -> NonNull<Item> {
    NonNull::from(leak(Item { hash, alive: Value::new(1) }))
}

struct Model(Raw<Item>);

impl Model {
    fn new(capacity: usize, hashes: &[u64]) -> Arc<Self> {
        let model = Self(Raw::new(capacity));
        for hash in hashes {
            assert!(model.insert(*hash));
        }
        Arc::new(model)
    }

    fn root(&self) -> &Table<Item> {
        // SAFETY: in a section, or while nothing is freed; otherwise loom fails.
        unsafe { self.0.root() }
    }

    /// Returns whether the hash was not there.
    fn insert(&self, hash: u64) -> bool {
        let root = self.root();
        let (mut locked, place) = self.0.locate(root, hash, |item| item.hash == hash);
        if place.is_none() {
            locked.insert(item(hash), hash);
            drop(locked);
            self.0.added(root, hash);
            return true;
        }
        false
    }

    fn remove(&self, hash: u64) -> Option<NonNull<Item>> {
        let root = self.root();
        let (mut locked, place) = self.0.locate_present(root, hash, |item| item.hash == hash)?;
        Some(locked.remove(place))
    }

    fn replace(&self, hash: u64) -> Option<NonNull<Item>> {
        let root = self.root();
        let (mut locked, place) = self.0.locate_present(root, hash, |item| item.hash == hash)?;
        Some(locked.replace(&place, item(hash)))
    }

    /// Finds the item, and looks at it.
    fn find(&self, hash: u64) -> bool {
        self.root().find(hash, |item| item.hash == hash).map(|item| item.alive.look()).is_some()
    }

    fn help(&self) -> Option<Old<Item>> {
        self.0.help(self.root())
    }

    fn grow(&self) -> Vec<Old<Item>> {
        self.0.reserve(self.root(), 3)
    }

    fn shrink(&self) -> Vec<Old<Item>> {
        self.0.shrink_to_fit(self.root())
    }

    fn lock_and_unlock(&self, hash: u64) {
        drop(self.0.lock(self.root(), hash));
    }

    fn walk(&self) -> Vec<u64> {
        Walk::new(self.root()).map(Item::hash).collect()
    }
}

/// Marks an item as freed, after its grace period. No thread may look at the item from now on.
fn free(item: NonNull<Item>) {
    // SAFETY: items are leaked.
    unsafe { item.as_ref() }.alive.free();
}

/// Frees tables, after their grace period or with all threads joined.
fn free_tables(old: impl IntoIterator<Item = Old<Item>>) {
    for table in old {
        // SAFETY: by the caller; otherwise loom fails.
        unsafe { table.free() };
    }
}

fn reads_first(registry: &'static Registry, map: &Arc<Model>) -> JoinHandle<bool> {
    let map = map.clone();
    in_section(registry.acquire(), move || map.find(FIRST))
}

/// Hashes of the first and the second half; the third shares a bucket and a tag with `FIRST`.
const FIRST: u64 = 1;
const SECOND: u64 = 1 << 63 | 1;
const BESIDE_FIRST: u64 = 2;
/// A hash with the home of `FIRST` in the smallest table, and another home in the next.
const APART: u64 = 1 << 62;

/// A reader finds lasting entries while their table is moved.
#[test]
fn loom_models_a_lasting_entry_is_found_while_its_table_is_moved() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, SECOND]);
        let reader = beside(&map, |map| assert!(map.find(FIRST) && map.find(SECOND)));
        let old = map.grow();
        reader.join().unwrap();
        assert_eq!(old.len(), 1);
        assert!(map.find(FIRST) && map.find(SECOND));
    });
}

/// Two threads move a table. The table is returned once, to be retired.
#[test]
fn loom_models_two_move_a_table() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, SECOND]);
        let helper = beside(&map, |map| map.help());
        let old = map.grow();
        let other = helper.join().unwrap();
        // No mover waits for a bucket that the other has locked. The next helper moves the rest.
        let rest = map.help();
        assert_eq!(old.iter().chain(&other).chain(&rest).count(), 1);
        assert!(map.find(FIRST) && map.find(SECOND));
        assert!(map.help().is_none());
    });
}

/// A reader that sees the table that one thread made current finds what another thread moved.
#[test]
fn loom_models_the_work_of_all_movers_is_seen() {
    loom::model(|| {
        // The third entry starts the next table; nothing is moved yet.
        let map = Model::new(0, &[FIRST, SECOND, SECOND + 1]);
        let mover = beside(&map, |map| map.help());
        let reader = beside(&map, |map| assert!(map.find(FIRST)));
        let old = map.help();
        let other = mover.join().unwrap();
        reader.join().unwrap();
        assert!(old.is_some() ^ other.is_some());
    });
}

/// An entry is copied to the next table, taken out there, and freed after a grace period. A reader
/// that still looks at the old table sees neither the entry nor the table freed.
#[test]
fn loom_models_an_entry_is_retired_once_for_all_tables() {
    loom::model(|| {
        let (registry, engine) = engine();
        let map = Model::new(0, &[FIRST]);
        let reader = reads_first(registry, &map);
        let old = map.grow();
        assert_eq!(old.len(), 1);
        let item = map.remove(FIRST).unwrap();
        grace_period(engine);
        free(item);
        free_tables(old);
        reader.join().unwrap();
    });
}

/// The same, if a writer takes the entry out through the old table while another thread moves it.
#[test]
fn loom_models_an_entry_is_taken_out_beside_a_move() {
    loom::model(|| {
        let (registry, engine) = engine();
        let map = Model::new(0, &[FIRST]);
        let reader = reads_first(registry, &map);
        let mover = beside(&map, |map| map.grow());
        let item = map.replace(FIRST).unwrap();
        grace_period(engine);
        free(item);
        let old = mover.join().unwrap();
        reader.join().unwrap();
        assert!(map.find(FIRST));
        free_tables(old);
    });
}

/// Two threads insert one key: one succeeds, and the other one sees it.
#[test]
fn loom_models_one_of_two_puts_a_key_in() {
    loom::model(|| {
        let map = Model::new(0, &[]);
        let other = beside(&map, |map| map.insert(FIRST));
        let ours = map.insert(FIRST);
        assert!(map.find(FIRST));
        assert!(ours ^ other.join().unwrap());
        assert_eq!((map.0.len(), map.walk()), (1, vec![FIRST]));
    });
}

/// Three writers at one bucket: a waiter is woken, also if an earlier waiter's mark is gone.
#[test]
fn loom_models_writers_that_wait_are_woken() {
    loom::model(|| {
        let map = Model::new(0, &[]);
        let others = [(); 2].map(|()| beside(&map, |map| map.lock_and_unlock(FIRST)));
        map.lock_and_unlock(FIRST);
        join_all(others);
    });
}

/// A writer whose bucket is moved meanwhile writes to the new bucket.
#[test]
fn loom_models_what_is_put_in_beside_a_move_is_not_lost() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST]);
        let writer = beside(&map, |map| {
            assert!(map.insert(APART));
            assert!(!map.insert(FIRST));
            assert!(map.find(APART));
        });
        let old = map.grow();
        writer.join().unwrap();
        assert!(map.find(FIRST) && map.find(APART));
        free_tables(old);
        let mut all = map.walk();
        all.sort_unstable();
        assert_eq!(all, [FIRST, APART]);
    });
}

/// Changes a map beside a reader. If the reader finds `FIRST`, it finds `FIRST` again.
fn found_again_beside(capacity: usize, hashes: &[u64], change: fn(&Model)) {
    let map = Model::new(capacity, hashes);
    let reader = beside(&map, |map| assert!(!map.find(FIRST) || map.find(FIRST)));
    change(&map);
    reader.join().unwrap();
}

/// A reader that finds an entry finds it again: the tag is set before the slot is filled. The word
/// that the reader loaded may be older, from an entry with the same tag in the slot.
#[test]
fn loom_models_what_was_found_is_found_again() {
    loom::model(|| {
        found_again_beside(0, &[BESIDE_FIRST], |map| {
            map.remove(BESIDE_FIRST).unwrap();
            assert!(map.insert(FIRST));
        });
    });
}

/// The same in the overflow chain.
#[test]
fn loom_models_what_was_found_in_the_overflow_is_found_again() {
    loom::model(|| {
        found_again_beside(4, &[BESIDE_FIRST, FIRST + 2, FIRST + 3], |map| {
            map.remove(FIRST + 3).unwrap();
            assert!(map.insert(FIRST));
        });
    });
}

/// An overflow bucket is seen whole.
#[test]
fn loom_models_an_overflow_bucket_is_seen_whole() {
    loom::model(|| {
        found_again_beside(4, &[BESIDE_FIRST, FIRST + 2], |map| {
            assert!(map.insert(FIRST));
        });
    });
}

/// Two buckets become one while another thread walks. The walk sees each entry once.
#[test]
fn loom_models_a_walk_sees_each_entry_once_while_buckets_are_joined() {
    loom::model(|| {
        let map = Model::new(4, &[FIRST, APART]);
        let walker = beside(&map, |map| assert_eq!(map.walk(), [FIRST, APART]));
        let old = map.shrink();
        walker.join().unwrap();
        assert_eq!(old.len(), 1);
        assert_eq!(map.walk(), [FIRST, APART]);
    });
}

/// One bucket becomes two while another thread walks, and then an entry of the first one goes. The
/// walk sees each lasting entry once.
#[test]
fn loom_models_a_walk_sees_each_entry_once_while_a_bucket_is_split() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, APART]);
        let walker = beside(&map, |map| {
            let seen = map.walk();
            assert_eq!(seen.iter().filter(|hash| **hash == APART).count(), 1);
            assert!(seen.iter().filter(|hash| **hash == FIRST).count() <= 1);
        });
        let old = map.grow();
        map.remove(FIRST).unwrap();
        walker.join().unwrap();
        assert_eq!(old.len(), 1);
        assert_eq!(map.walk(), [APART]);
    });
}

/// A walk sees a lasting entry while another one comes and goes in its bucket's other slot.
#[test]
fn loom_models_a_walk_sees_a_lasting_entry_beside_others() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, BESIDE_FIRST]);
        let walker = beside(&map, |map| assert!(map.walk().contains(&BESIDE_FIRST)));
        map.remove(FIRST).unwrap();
        assert!(map.insert(FIRST));
        walker.join().unwrap();
        assert_eq!(map.walk().len(), 2);
    });
}
