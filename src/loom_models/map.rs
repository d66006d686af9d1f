//! The map's buckets: nothing that lasts is missed, nothing is put in twice, and nothing is freed under a reader.
//!
//! Two slots for each bucket, two buckets in the smallest table, and one bucket moved with each help.

use super::{engine, enter, leave, scan_until};
use crate::collections::map::raw::table::Table;
use crate::collections::map::raw::walk::Walk;
use crate::collections::map::raw::{Hashed, Old, Raw};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::ptr::NonNull;

struct Item {
    hash: u64,
    /// Written by who frees it.
    alive: UnsafeCell<bool>,
}

impl Hashed for Item {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Entries are never really freed, so that a use after that is loom's to find.
fn item(hash: u64) -> NonNull<Item> {
    let alive = UnsafeCell::new(false);
    // A write that loom sees, and that has to come before every look.
    // SAFETY: not shared yet.
    alive.with_mut(|alive| unsafe { *alive = true });
    NonNull::from(Box::leak(Box::new(Item { hash, alive })))
}

struct Model(Raw<Item>);

// SAFETY: the items' cells are what loom watches.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    fn new(capacity: usize, hashes: &[u64]) -> Arc<Self> {
        let model = Self(Raw::new(capacity));
        for hash in hashes {
            assert!(model.insert(*hash));
        }
        Arc::new(model)
    }

    fn root(&self) -> &Table<Item> {
        // SAFETY: in a section, or while nothing is freed; else it is loom's to find.
        unsafe { self.0.root() }
    }

    /// Whether it was not there.
    fn insert(&self, hash: u64) -> bool {
        let root = self.root();
        let (mut locked, place) = self.0.locate(root, hash, |_| true);
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
        let (mut locked, place) = self.0.locate_present(root, hash, |_| true)?;
        Some(locked.remove(place))
    }

    fn replace(&self, hash: u64) -> Option<NonNull<Item>> {
        let root = self.root();
        let (mut locked, place) = self.0.locate_present(root, hash, |_| true)?;
        Some(locked.replace(&place, item(hash)))
    }

    /// Looks it up, and at it.
    fn find(&self, hash: u64) -> bool {
        let found = self.root().find(hash, |_| true);
        // SAFETY: a look, which loom sees.
        found.is_some_and(|item| item.alive.with(|alive| unsafe { *alive }))
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

    fn walk(&self) -> Vec<u64> {
        Walk::new(self.root()).map(Item::hash).collect()
    }
}

/// After its grace period: nobody may look at it at the same time, or later.
fn free(item: NonNull<Item>) {
    // SAFETY: items are leaked.
    let item = unsafe { item.as_ref() };
    // SAFETY: by the caller; else it is loom's to find.
    item.alive.with_mut(|alive| unsafe { *alive = false });
}

/// After their grace period, or with all threads joined.
fn free_tables(old: impl IntoIterator<Item = Old<Item>>) {
    for table in old {
        // SAFETY: by the caller; else it is loom's to find.
        unsafe { table.free() };
    }
}

/// Of the first and the second half of all hashes; and with `FIRST`, of one bucket and one tag.
const FIRST: u64 = 1;
const SECOND: u64 = 1 << 63 | 1;
const BESIDE_FIRST: u64 = 2;
/// The same home in the smallest table and another in the next.
const APART: u64 = 1 << 62;

/// A reader that finds what lasts, while its table is moved.
#[test]
fn loom_models_a_lasting_entry_is_found_while_its_table_is_moved() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, SECOND]);
        let reader = {
            let map = map.clone();
            thread::spawn(move || assert!(map.find(FIRST) && map.find(SECOND)))
        };
        let old = map.grow();
        reader.join().unwrap();
        assert_eq!(old.len(), 1);
        assert!(map.find(FIRST) && map.find(SECOND));
    });
}

/// Two move a table: it is given out to be retired once, or not yet.
#[test]
fn loom_models_two_move_a_table() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST, SECOND]);
        let helper = {
            let map = map.clone();
            thread::spawn(move || map.help())
        };
        let old = map.grow();
        let other = helper.join().unwrap();
        // Neither waits for a bucket that the other has locked; the next write that helps sweeps.
        let rest = map.help();
        assert_eq!(old.iter().chain(&other).chain(&rest).count(), 1);
        assert!(map.find(FIRST) && map.find(SECOND));
        assert!(map.help().is_none());
    });
}

/// What one moved is found by who sees the table that another made current.
#[test]
fn loom_models_the_work_of_all_movers_is_seen() {
    loom::model(|| {
        // The third one starts the next table; nothing is moved yet.
        let map = Model::new(0, &[FIRST, SECOND, SECOND + 1]);
        let mover = {
            let map = map.clone();
            thread::spawn(move || map.help())
        };
        let reader = {
            let map = map.clone();
            thread::spawn(move || assert!(map.find(FIRST)))
        };
        let old = map.help();
        let other = mover.join().unwrap();
        reader.join().unwrap();
        assert!(old.is_some() ^ other.is_some());
    });
}

/// An entry is copied to the next table, taken out of that, and freed after a grace period: a reader that still looks at
/// the old table, whose bucket holds the address, does not see it freed, nor the table.
#[test]
fn loom_models_an_entry_is_retired_once_for_all_tables() {
    loom::model(|| {
        let (registry, engine) = engine();
        let map = Model::new(0, &[FIRST]);
        let record = registry.acquire();
        let reader = {
            let map = map.clone();
            thread::spawn(move || {
                enter(record);
                map.find(FIRST);
                leave(record);
            })
        };
        let old = map.grow();
        assert_eq!(old.len(), 1);
        let item = map.remove(FIRST).unwrap();
        let seq = engine.start();
        scan_until(&engine, seq);
        free(item);
        free_tables(old);
        reader.join().unwrap();
    });
}

/// The same, taken out by one who came through the old table while another one moves it.
#[test]
fn loom_models_an_entry_is_taken_out_beside_a_move() {
    loom::model(|| {
        let (registry, engine) = engine();
        let map = Model::new(0, &[FIRST]);
        let record = registry.acquire();
        let reader = {
            let map = map.clone();
            thread::spawn(move || {
                enter(record);
                map.find(FIRST);
                leave(record);
            })
        };
        let mover = {
            let map = map.clone();
            thread::spawn(move || map.grow())
        };
        let item = map.replace(FIRST).unwrap();
        let seq = engine.start();
        scan_until(&engine, seq);
        free(item);
        let old = mover.join().unwrap();
        reader.join().unwrap();
        assert!(map.find(FIRST));
        free_tables(old);
    });
}

/// Two put one key in: one of them does, and the loser sees it.
#[test]
fn loom_models_one_of_two_puts_a_key_in() {
    loom::model(|| {
        let map = Model::new(0, &[]);
        let other = {
            let map = map.clone();
            thread::spawn(move || map.insert(FIRST))
        };
        let ours = map.insert(FIRST);
        assert!(map.find(FIRST));
        assert!(ours ^ other.join().unwrap());
        assert_eq!((map.0.len(), map.walk()), (1, vec![FIRST]));
    });
}

/// Three at one bucket: who waits is woken, also where the one before it left a mark that is gone by then.
#[test]
fn loom_models_writers_that_wait_are_woken() {
    loom::model(|| {
        let map = Model::new(0, &[]);
        let others = [(); 2].map(|()| {
            let map = map.clone();
            thread::spawn(move || drop(map.0.lock(map.root(), FIRST)))
        });
        drop(map.0.lock(map.root(), FIRST));
        for other in others {
            other.join().unwrap();
        }
    });
}

/// A writer whose bucket is moved under it writes to where it was moved.
#[test]
fn loom_models_what_is_put_in_beside_a_move_is_not_lost() {
    loom::model(|| {
        let map = Model::new(0, &[FIRST]);
        let writer = {
            let map = map.clone();
            thread::spawn(move || {
                assert!(map.insert(APART));
                assert!(!map.insert(FIRST));
                assert!(map.find(APART));
            })
        };
        let old = map.grow();
        writer.join().unwrap();
        assert!(map.find(FIRST) && map.find(APART));
        free_tables(old);
        let mut all = map.walk();
        all.sort_unstable();
        assert_eq!(all, [FIRST, APART]);
    });
}

/// Who finds an entry and looks again finds it again: the tag is set before the slot is filled. The reader's word may be
/// one from when another entry of the same tag was in the slot.
#[test]
fn loom_models_what_was_found_is_found_again() {
    loom::model(|| {
        let map = Model::new(0, &[BESIDE_FIRST]);
        let reader = {
            let map = map.clone();
            thread::spawn(move || {
                if map.find(FIRST) {
                    assert!(map.find(FIRST));
                }
            })
        };
        map.remove(BESIDE_FIRST).unwrap();
        assert!(map.insert(FIRST));
        reader.join().unwrap();
    });
}

/// The same in the overflow chain.
#[test]
fn loom_models_what_was_found_in_the_overflow_is_found_again() {
    loom::model(|| {
        let map = Model::new(4, &[BESIDE_FIRST, FIRST + 2, FIRST + 3]);
        let reader = {
            let map = map.clone();
            thread::spawn(move || {
                if map.find(FIRST) {
                    assert!(map.find(FIRST));
                }
            })
        };
        map.remove(FIRST + 3).unwrap();
        assert!(map.insert(FIRST));
        reader.join().unwrap();
    });
}

/// A bucket that is hung on a full one is seen whole.
#[test]
fn loom_models_an_overflow_bucket_is_seen_whole() {
    loom::model(|| {
        let map = Model::new(4, &[BESIDE_FIRST, FIRST + 2]);
        let reader = {
            let map = map.clone();
            thread::spawn(move || {
                if map.find(FIRST) {
                    assert!(map.find(FIRST));
                }
            })
        };
        assert!(map.insert(FIRST));
        reader.join().unwrap();
    });
}

/// Two buckets become one while another walks: each entry is seen once.
#[test]
fn loom_models_a_walk_sees_each_entry_once_while_buckets_are_joined() {
    loom::model(|| {
        let map = Model::new(4, &[FIRST, APART]);
        let walker = {
            let map = map.clone();
            thread::spawn(move || assert_eq!(map.walk(), [FIRST, APART]))
        };
        let old = map.shrink();
        walker.join().unwrap();
        assert_eq!(old.len(), 1);
        assert_eq!(map.walk(), [FIRST, APART]);
    });
}
