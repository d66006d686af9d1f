//! `RcuMap`, compared with a `BTreeMap`.

use super::super::ledger::{Entry, Value};
use super::{Ground, Op, SECTIONS, Under, choose};
use async_rcu::{RcuMap, collections::MapIter};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

/// A hasher with a given number of values, so that keys collide; 0 leaves all values.
#[derive(Clone, Copy)]
struct Few(u64);

struct FewHasher(DefaultHasher, u64);

impl BuildHasher for Few {
    type Hasher = FewHasher;
    fn build_hasher(&self) -> FewHasher {
        FewHasher(BuildHasherDefault::<DefaultHasher>::default().build_hasher(), self.0)
    }
}

impl Hasher for FewHasher {
    fn finish(&self) -> u64 {
        let hash = self.0.finish();
        hash.checked_rem(self.1).unwrap_or(hash)
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

/// A walk, and the entries that it may see.
struct MapWalk {
    iter: MapIter<'static, u8, Value>,
    /// Each key that was in the map at some time during the walk, with its values.
    values: BTreeMap<u8, BTreeSet<u64>>,
    /// The keys that stayed in the map during the walk.
    always: BTreeSet<u8>,
    met: BTreeMap<u8, u32>,
}

struct MapRun {
    ground: Ground,
    map: RcuMap<u8, Value, Few>,
    model: BTreeMap<u8, Arc<Entry>>,
    walks: Vec<Under<MapWalk>>,
}

pub(super) fn run(ground: Ground, variant: u8, ops: &[Op]) {
    let hasher = Few([0, 0, 1, 5, 64][usize::from(variant) % 5]);
    let mut run = MapRun {
        map: RcuMap::with_hasher_in(hasher, &ground.rcu),
        ground,
        model: BTreeMap::new(),
        walks: Vec::new(),
    };
    for op in ops {
        run.step(*op);
        assert_eq!(run.map.len(), run.model.len());
        run.ground.board.assert_clean();
    }
    run.ground.release_all(run.model.values());
    let MapRun { map, walks, .. } = run;
    drop(map);
    for mut walk in walks {
        while advance(&mut walk) {}
        finished(&walk.what);
    }
}

impl MapRun {
    fn step(&mut self, op: Op) {
        let Op { code, a, b, c } = op;
        match code % 24 {
            0..=3 => self.insert(a, c),
            4 => {
                // Many keys at once make the table grow.
                for key in 0..b % 64 {
                    self.insert(a.wrapping_add(key), c);
                }
            }
            5 => {
                let value = self.ground.value();
                let entry = Arc::clone(value.entry());
                match self.map.try_insert(a, value) {
                    Ok(()) => {
                        assert!(
                            !self.model.contains_key(&a),
                            "`try_insert` took the present key {a}"
                        );
                        self.present(a, entry);
                    }
                    Err((key, value)) => {
                        let present = key == a && self.model.contains_key(&a);
                        assert!(present, "`try_insert` refused the absent key {a}");
                        value.entry().release(Vec::new());
                    }
                }
            }
            6..=8 => self.remove(a, c),
            9 => {
                for key in 0..b % 64 {
                    self.remove(a.wrapping_add(key), c);
                }
            }
            10 => {
                let expected = self.model.get(&a).cloned();
                let go = b % 2 == 0;
                if let (true, Some(entry)) = (go, &expected) {
                    self.ground.release(entry);
                }
                let taken = self.map.remove_if(&a, |_, value| {
                    assert_eq!(Some(value.id()), expected.as_ref().map(|e| e.id()));
                    go
                });
                let expected = expected.filter(|_| go);
                if expected.is_some() {
                    self.absent(a);
                }
                self.ground.took(taken, expected.as_ref(), c);
            }
            11 => {
                let value = self.ground.value();
                let entry = Arc::clone(value.entry());
                let present = self.model.get(&a).cloned();
                if present.is_some() {
                    // The map drops the new value at once.
                    entry.release(Vec::new());
                }
                let found =
                    Under::begin(&mut self.ground, |guard| self.map.get_or_insert(a, value, guard));
                let id = found.what.id();
                drop(found);
                match present {
                    Some(present) => assert_eq!(id, present.id()),
                    None => {
                        assert_eq!(id, entry.id());
                        self.present(a, entry);
                    }
                }
            }
            12 => {
                let old = self.model.get(&a).cloned();
                if let Some(old) = &old {
                    self.ground.release(old);
                }
                let value = self.ground.value();
                let entry = Arc::clone(value.entry());
                let mut value = Some(value);
                let taken = self.map.update(&a, |seen| {
                    assert_eq!(Some(seen.id()), old.as_ref().map(|old| old.id()));
                    value.take().expect("no other thread updates the map")
                });
                match &old {
                    Some(_) => self.present(a, entry),
                    None => entry.release(Vec::new()),
                }
                self.ground.took(taken, old.as_ref(), c);
            }
            13 => {
                let keep = |key: u8| key % (2 + b % 7) != 0;
                let gone: Vec<u8> = self.model.keys().copied().filter(|key| !keep(*key)).collect();
                let entries = gone.iter().filter_map(|key| self.model.get(key));
                self.ground.release_all(entries);
                self.map.retain(|key, _| keep(*key));
                gone.into_iter().for_each(|key| self.absent(key));
            }
            14 if b % 4 == 0 => {
                self.ground.release_all(self.model.values());
                self.map.clear();
                let gone: Vec<u8> = self.model.keys().copied().collect();
                gone.into_iter().for_each(|key| self.absent(key));
            }
            15 => match b % 2 {
                0 => self.map.reserve(usize::from(a) * 4),
                _ => self.map.shrink_to_fit(),
            },
            16 | 17 => self.get(a),
            18 => self.begin_walk(),
            19..=21 => {
                if let Some(index) = choose(a, self.walks.len()) {
                    let walk = &mut self.walks[index];
                    let more = (0..=b % 16).all(|_| advance(walk));
                    if !more {
                        let walk = self.walks.swap_remove(index);
                        finished(&walk.what);
                    }
                }
            }
            22 => {
                if let Some(index) = choose(a, self.walks.len()) {
                    drop(self.walks.swap_remove(index));
                }
            }
            _ => self.ground.step(a),
        }
    }

    fn insert(&mut self, key: u8, choice: u8) {
        let value = self.ground.value();
        let entry = Arc::clone(value.entry());
        let old = self.model.get(&key).cloned();
        if let Some(old) = &old {
            self.ground.release(old);
        }
        let taken = self.map.insert(key, value);
        self.present(key, entry);
        self.ground.took(taken, old.as_ref(), choice);
    }

    fn remove(&mut self, key: u8, choice: u8) {
        let old = self.model.get(&key).cloned();
        if let Some(old) = &old {
            self.ground.release(old);
        }
        let taken = self.map.remove(&key);
        self.absent(key);
        self.ground.took(taken, old.as_ref(), choice);
    }

    fn present(&mut self, key: u8, entry: Arc<Entry>) {
        for walk in &mut self.walks {
            let values = walk.what.values.entry(key).or_default();
            values.insert(entry.id());
        }
        self.model.insert(key, entry);
    }

    fn absent(&mut self, key: u8) {
        for walk in &mut self.walks {
            walk.what.always.remove(&key);
        }
        self.model.remove(&key);
    }

    /// Looks a key up in a section of its own, or in the section of a walk, which keeps the value.
    fn get(&mut self, key: u8) {
        let expected = self.model.get(&key).map(|entry| entry.id());
        match self.walks.last_mut() {
            Some(walk) => {
                let value = self.map.get(&key, walk.guard());
                assert_eq!(value.map(|value| walk.see(value)), expected);
                walk.check();
            }
            None => {
                let guard = self.map.rcu().read();
                let found = self.map.get_key_value(&key, &guard);
                assert_eq!(
                    found.map(|(key, value)| (*key, value.id())),
                    expected.map(|id| (key, id))
                );
                assert_eq!(self.map.contains_key(&key, &guard), expected.is_some());
            }
        }
    }

    fn begin_walk(&mut self) {
        if self.walks.len() == SECTIONS {
            return;
        }
        let walk = Under::begin(&mut self.ground, |guard| MapWalk {
            iter: self.map.iter(guard),
            values: self
                .model
                .iter()
                .map(|(key, entry)| (*key, BTreeSet::from([entry.id()])))
                .collect(),
            always: self.model.keys().copied().collect(),
            met: BTreeMap::new(),
        });
        self.walks.push(walk);
    }
}

/// Goes one step. Returns `false` at the end of the walk.
fn advance(walk: &mut Under<MapWalk>) -> bool {
    let Some((&key, value)) = walk.what.iter.next() else {
        return false;
    };
    let id = walk.see(value);
    let values = walk.what.values.get(&key);
    assert!(
        values.is_some_and(|values| values.contains(&id)),
        "a walk meets {key} with value {id}, of {values:?}"
    );
    *walk.what.met.entry(key).or_default() += 1;
    walk.check();
    true
}

/// Checks what the documentation promises of a whole walk.
fn finished(walk: &MapWalk) {
    for key in &walk.always {
        assert_eq!(walk.met.get(key), Some(&1), "how often a walk met {key}");
    }
}
