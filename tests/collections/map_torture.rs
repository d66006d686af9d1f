//! Many threads use one map, with values that check their key and that they have not been dropped.

use crate::common::{Drops, within};
use crate::map::Hashes;
use async_rcu::{Rcu, RcuMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Walks and lookups see each lasting key exactly once, while other keys come and go, and the map
/// grows and shrinks.
#[test]
fn lasting_keys_are_never_missed_while_the_map_grows_and_shrinks() {
    const LASTING: u32 = 200;
    const TIDE: u32 = 3_000;
    const CHURNERS: u32 = 2;
    const ROUNDS: u32 = if cfg!(debug_assertions) { 6 } else { 60 };
    within(|| {
        let rcu = Rcu::new();
        let drops = Drops::default();
        let map = RcuMap::new_in(&rcu);
        (0..LASTING).for_each(|key| _ = map.insert(key, drops.value(key)));
        let made = AtomicUsize::new(LASTING as usize);
        let value = |key| {
            made.fetch_add(1, Ordering::Relaxed);
            drops.value(key)
        };
        let done = AtomicUsize::new(0);
        let checked = thread::scope(|scope| {
            for churner in 0..CHURNERS {
                let (map, value, done) = (&map, &value, &done);
                scope.spawn(move || {
                    let mine = |n: u32| LASTING + n * CHURNERS + churner;
                    for round in 0..ROUNDS {
                        for n in 0..TIDE {
                            assert!(map.insert(mine(n), value(mine(n))).is_none());
                            // The value changes. The key stays.
                            let lasting = (n * CHURNERS + churner) % LASTING;
                            if n % 8 == 0 {
                                let old = map.insert(lasting, value(lasting)).unwrap();
                                assert_eq!(old.label(), lasting);
                            }
                        }
                        match round % 3 {
                            0 => map.retain(|key, _| *key < LASTING || key % CHURNERS != churner),
                            1 => (0..TIDE).for_each(|n| {
                                assert_eq!(map.remove(&mine(n)).unwrap().label(), mine(n));
                            }),
                            _ => (0..TIDE).rev().for_each(|n| {
                                let old = map.remove_if(&mine(n), |key, old| old.label() == *key);
                                assert!(old.is_some());
                            }),
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            let readers = [0, 1].map(|reader| {
                let (map, rcu, done) = (&map, &rcu, &done);
                scope.spawn(move || {
                    let mut checked = 0u64;
                    while done.load(Ordering::Relaxed) < CHURNERS as usize {
                        let guard = rcu.read();
                        if reader == 0 {
                            let seen = map.iter(&guard).filter(|(key, value)| {
                                assert_eq!(value.label(), **key);
                                **key < LASTING
                            });
                            let mut seen: Vec<u32> = seen.map(|(key, _)| *key).collect();
                            seen.sort_unstable();
                            assert_eq!(seen, (0..LASTING).collect::<Vec<_>>());
                        } else {
                            for key in 0..LASTING {
                                let value = map.get(&key, &guard).expect("a lasting key");
                                assert_eq!(value.label(), key);
                                let other = map.get(&(LASTING + key), &guard);
                                assert!(other.is_none_or(|value| value.label() == LASTING + key));
                            }
                        }
                        checked += 1;
                    }
                    checked
                })
            });
            readers.map(|reader| reader.join().unwrap())
        });
        assert!(checked.iter().all(|checked| *checked > 0), "{checked:?}");
        assert_eq!(map.len(), LASTING as usize);
        drop(map);
        rcu.blocking_drain();
        assert_eq!(drops.count(), made.into_inner());
    });
}

/// Several threads use the same few keys, and the sums of their inserts and removals agree.
#[test]
fn what_threads_do_to_a_few_keys_adds_up() {
    const THREADS: usize = 4;
    const STEPS: u32 = if cfg!(debug_assertions) { 5_000 } else { 100_000 };
    within(|| {
        for hashes in [1, 2, u64::MAX] {
            let map = RcuMap::with_hasher_in(Hashes(hashes), &Rcu::new());
            let drops = Drops::default();
            let (there, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for seed in 0..THREADS as u32 {
                    let (map, drops, there, made) = (&map, &drops, &there, &made);
                    scope.spawn(move || {
                        let mut state = seed + 1;
                        for _ in 0..STEPS {
                            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                            let key = (state >> 16) % 20;
                            made.fetch_add(1, Ordering::Relaxed);
                            let value = drops.value(key);
                            let (added, removed) = match state >> 30 {
                                0 | 1 => {
                                    let old = map.insert(key, value);
                                    assert!(old.as_ref().is_none_or(|old| old.label() == key));
                                    (usize::from(old.is_none()), 0)
                                }
                                2 => (usize::from(map.try_insert(key, value).is_ok()), 0),
                                _ => {
                                    let old = map.remove(&key);
                                    assert!(old.as_ref().is_none_or(|old| old.label() == key));
                                    (0, usize::from(old.is_some()))
                                }
                            };
                            there.fetch_add(added.wrapping_sub(removed), Ordering::Relaxed);
                        }
                    });
                }
            });
            let there = there.into_inner();
            assert_eq!((map.len(), map.iter(&map.rcu().read()).count()), (there, there));
            let rcu = map.rcu().clone();
            drop(map);
            rcu.blocking_drain();
            assert_eq!(drops.count(), made.into_inner());
        }
    });
}
