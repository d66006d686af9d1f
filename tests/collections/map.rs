//! `RcuMap`: the promises to one thread, and the promises to many threads.

use crate::common::{Drops, Probe, Tracked, elapses, panic_message, settle};
use async_rcu::{Rcu, RcuMap};
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

/// A hasher with few different hashes, so that chains are long and the map compares keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Few {
    of: u64,
    state: u64,
}

impl BuildHasher for Hashes {
    type Hasher = Few;
    fn build_hasher(&self) -> Few {
        Few { of: self.0, state: 0 }
    }
}

impl Hasher for Few {
    fn finish(&self) -> u64 {
        self.state % self.of
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = self.state.wrapping_mul(31).wrapping_add((*byte).into());
        }
    }
}

#[test]
fn what_is_put_in_is_found_until_it_is_taken_out() {
    let map = RcuMap::new();
    let guard = map.rcu().read();
    assert!(map.is_empty());
    assert_eq!(map.get("one", &guard), None);
    assert!(map.insert("one".to_owned(), 1).is_none());
    assert_eq!(map.get("one", &guard), Some(&1));
    assert_eq!(*map.insert("one".to_owned(), 11).unwrap(), 1);
    assert_eq!(map.get_key_value("one", &guard), Some((&"one".to_owned(), &11)));
    assert!(map.contains_key("one", &guard));
    assert_eq!(map.len(), 1);
    assert_eq!(*map.remove("one").unwrap(), 11);
    assert!(map.remove("one").is_none());
    assert!(!map.contains_key("one", &guard));
    assert!(map.is_empty());
}

#[test]
fn a_value_is_inserted_only_if_the_key_is_absent() {
    let map = RcuMap::new_in(&Rcu::new());
    assert_eq!(map.try_insert(1, "one"), Ok(()));
    assert_eq!(map.try_insert(1, "uno"), Err((1, "uno")));
    let guard = map.rcu().read();
    assert_eq!(map.get_or_insert(1, "eins", &guard), &"one");
    assert_eq!(map.get_or_insert(2, "zwei", &guard), &"zwei");
    assert_eq!(map.get_or_insert_with(2, || unreachable!(), &guard), &"zwei");
    assert_eq!(map.len(), 2);
}

#[test]
fn a_condition_and_a_copy_see_what_is_there() {
    let map = RcuMap::from([(1, 10), (2, 20)]);
    let guard = map.rcu().read();
    assert!(map.remove_if(&1, |key, value| (*key, *value) != (1, 10)).is_none());
    assert!(map.remove_if(&3, |_, _| true).is_none());
    assert_eq!(*map.remove_if(&1, |key, value| (*key, *value) == (1, 10)).unwrap(), 10);
    assert_eq!(*map.update(&2, |value| value + 1).unwrap(), 20);
    assert_eq!(map.get(&2, &guard), Some(&21));
    assert!(map.update(&1, |value| value + 1).is_none());
    assert_eq!(map.len(), 1);
}

#[test]
fn retain_and_clear_take_out_what_they_say() {
    let mut map: RcuMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    map.retain(|key, value| key % 3 == 0 && key == value);
    let guard = map.rcu().read_owned();
    let mut keys: Vec<u32> = map.keys(&guard).copied().collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..1000).step_by(3).collect::<Vec<_>>());
    assert_eq!(map.len(), keys.len());
    map.extend([(1, 1), (0, 5)]);
    assert_eq!((map.len(), map.get(&0, &guard)), (keys.len() + 1, Some(&5)));
    map.clear();
    assert!(map.is_empty());
    assert_eq!(map.iter(&guard).count(), 0);
    assert!(map.insert(0, 0).is_none());
}

#[test]
fn it_is_shown_as_a_map_is() {
    let map = RcuMap::from([("one", 1)]);
    let guard = map.rcu().read();
    assert_eq!(format!("{map:?}"), r#"{"one": 1}"#);
    assert_eq!(format!("{:?}", map.iter(&guard)), r#"[("one", 1)]"#);
    assert_eq!(format!("{:?}", map.keys(&guard)), r#"["one"]"#);
    assert_eq!(format!("{:?}", map.values(&guard)), "[1]");
    assert_eq!(map.values(&guard).clone().sum::<i32>(), 1);
    assert_eq!(format!("{:?}", RcuMap::<u8, u8>::default()), "{}");
}

#[test]
fn a_guard_of_another_domain_gives_no_access() {
    let map = RcuMap::new_in(&Rcu::new());
    map.insert(1, 1);
    let other = Rcu::new();
    let guard = other.read();
    let uses: [&dyn Fn(); 7] = [
        &|| _ = map.get(&1, &guard),
        &|| _ = map.get_key_value(&1, &guard),
        &|| _ = map.contains_key(&1, &guard),
        &|| _ = map.iter(&guard),
        &|| _ = map.keys(&guard),
        &|| _ = map.values(&guard),
        &|| _ = map.get_or_insert_with(2, || unreachable!("it would be put in"), &guard),
    ];
    for wrong in uses {
        let message = panic_message(wrong);
        assert!(message.contains("of another Rcu"), "{message}");
    }
    let owned = other.read_owned();
    assert!(panic_message(|| _ = map.get(&1, &owned)).contains("of another Rcu"));
    assert_eq!(map.len(), 1);
}

#[test]
fn what_is_taken_out_stays_readable_and_is_freed_after_a_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::new_in(&rcu);
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    map.insert(1, drops.value(1));
    map.insert(2, drops.value(2));
    let (one, two) = (map.get(&1, &section).unwrap(), map.get(&2, &section).unwrap());
    let old = map.insert(1, drops.value(3)).unwrap();
    assert_eq!(old.label(), 1);
    drop(old);
    drop(map.remove(&2));
    let gp = probe.held_up();
    assert_eq!((one.label(), two.label(), drops.count()), (1, 2, 0));
    drop(section);
    elapses(&rcu, gp);
    drops.reach(2);
}

#[test]
fn a_value_that_is_waited_for_is_moved_out_and_its_key_dropped() {
    let rcu = Rcu::new();
    let keys = Arc::new(());
    let drops = Drops::default();
    let map = RcuMap::with_hasher_in(Hashes(1), &rcu);
    struct Shared(Arc<()>);
    impl PartialEq for Shared {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }
    impl Eq for Shared {}
    impl Hash for Shared {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }
    let key = || Shared(Arc::clone(&keys));
    map.insert(key(), drops.value(1));
    assert_eq!(Arc::strong_count(&key().0), 3);
    let value: Box<Tracked> = settle(map.insert(key(), drops.value(2)).unwrap().wait());
    assert_eq!((value.label(), drops.count(), Arc::strong_count(&keys)), (1, 0, 2));
    let value = map.remove(&key()).unwrap().blocking_wait();
    assert_eq!((value.label(), drops.count(), Arc::strong_count(&keys)), (2, 0, 1));
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn references_and_iterators_outlive_the_map() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::new_in(&rcu);
    for label in 0..100 {
        map.insert(label, drops.value(label));
    }
    let probe = Probe::new(&rcu);
    let section = rcu.read();
    let (one, mut iter) = (map.get(&1, &section).unwrap(), map.iter(&section));
    let first = iter.next().unwrap();
    drop(map);
    let gp = probe.held_up();
    assert_eq!((one.label(), first.1.label()), (1, *first.0));
    assert_eq!(iter.inspect(|(key, value)| assert_eq!(value.label(), **key)).count(), 99);
    assert_eq!(drops.count(), 0);
    drop(section);
    elapses(&rcu, gp);
    drops.reach(100);
}

#[test]
fn a_map_is_dropped_by_one_callback() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::with_hasher_in(Hashes(1), &rcu);
    for label in 0..1000 {
        map.insert(label, drops.value(label));
    }
    rcu.blocking_drain();
    let before = rcu.stats().queued;
    drop(map);
    assert_eq!(rcu.stats().queued - before, 1);
    rcu.blocking_drain();
    assert_eq!(drops.count(), 1000);
}

#[test]
fn the_last_handle_may_go_with_the_map() {
    let drops = Drops::default();
    let map = RcuMap::new_in(&Rcu::new());
    map.insert(1, drops.value(1));
    let old = map.insert(1, drops.value(2)).unwrap();
    drop(map);
    assert_eq!(old.label(), 1);
    drops.reach(1);
    drop(old);
    drops.reach(2);
}

#[test]
fn a_value_made_by_two_is_the_first_one_to_both() {
    const THREADS: usize = 4;
    let map = RcuMap::new_in(&Rcu::new());
    let drops = Drops::default();
    for key in 0..200 {
        let start = Barrier::new(THREADS);
        let addresses: Vec<usize> = thread::scope(|scope| {
            let workers = [(); THREADS].map(|()| {
                scope.spawn(|| {
                    let guard = map.rcu().read();
                    start.wait();
                    let value = map.get_or_insert_with(key, || drops.value(key), &guard);
                    assert_eq!(value.label(), key);
                    std::ptr::from_ref(value).addr()
                })
            });
            workers.map(|worker| worker.join().unwrap()).into()
        });
        assert_eq!(addresses, [addresses[0]; THREADS]);
    }
    assert_eq!(map.len(), 200);
    let lost = drops.count();
    drop(map);
    drops.reach(200 + lost);
}

#[test]
fn updates_of_one_key_do_not_lose_each_other() {
    const EACH: usize = 2_000;
    let map = RcuMap::from([("n", 0)]);
    let calls = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let old = map.update("n", |n| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        n + 1
                    });
                    assert!(old.is_some());
                }
            });
        }
    });
    assert_eq!(map.get("n", &map.rcu().read()), Some(&(4 * EACH)));
    assert!(calls.into_inner() >= 4 * EACH);
}

#[test]
fn sizes_and_alignments_do_not_matter() {
    #[derive(Debug, Default, PartialEq, Eq, Hash, Clone, Copy)]
    #[repr(align(256))]
    struct Wide(u8);
    fn check<K, V>(keys: impl Iterator<Item = K> + Clone, value: V)
    where
        K: Hash + Eq + Copy + Debug + Send + Sync + 'static,
        V: PartialEq + Copy + Debug + Send + Sync + 'static,
    {
        let map = RcuMap::new_in(&Rcu::new());
        let guard = map.rcu().read();
        for key in keys.clone() {
            map.insert(key, value);
            let seen = map.get(&key, &guard).unwrap();
            assert_eq!(seen, &value);
            assert_eq!(std::ptr::from_ref(seen).addr() % align_of::<V>(), 0);
        }
        drop(guard);
        for key in keys {
            let old = map.remove(&key).unwrap();
            assert_eq!(*old, value);
            assert_eq!(*old.blocking_wait(), value);
        }
    }
    check([()].into_iter(), ());
    check(0..100, ());
    check((0..100).map(Wide), Wide(3));
    check((0..100).map(|n| [n; 1000]), [7u64; 100]);
    let map: RcuMap<(), ()> = [((), ()), ((), ())].into_iter().collect();
    assert_eq!((map.len(), map.iter(&map.rcu().read()).count()), (1, 1));
}

#[test]
fn a_capacity_that_no_memory_has_is_refused() {
    let message = panic_message(|| _ = RcuMap::<u8, u8>::with_capacity(usize::MAX));
    assert!(message.contains("address space"), "{message}");
    let map = RcuMap::from([(1, 1)]);
    let message = panic_message(|| map.reserve(usize::MAX / 2));
    assert!(message.contains("address space"), "{message}");
    map.reserve(1000);
    map.extend_by(1000);
    map.shrink_to_fit();
    assert_eq!(map.len(), 1001);
}

trait ExtendBy {
    fn extend_by(&self, more: i32);
}

impl ExtendBy for RcuMap<i32, i32> {
    fn extend_by(&self, more: i32) {
        for key in 2..2 + more {
            self.insert(key, key);
        }
    }
}

#[test]
fn a_leaked_guard_keeps_what_it_saw_and_nothing_breaks() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::new_in(&rcu);
    for label in 0..50 {
        map.insert(label, drops.value(label));
    }
    let probe = Probe::new(&rcu);
    let guard: &'static _ = Box::leak(Box::new(rcu.read_owned()));
    let (one, iter) = (map.get(&1, guard).unwrap(), map.iter(guard));
    drop(map);
    probe.held_up();
    assert_eq!((one.label(), drops.count()), (1, 0));
    assert_eq!(iter.filter(|(key, value)| value.label() == **key).count(), 50);
}

#[test]
fn a_map_uses_its_hasher() {
    let hasher = RandomState::new();
    let map = RcuMap::<&str, u32, _>::with_hasher(hasher.clone());
    assert_eq!(map.hasher().hash_one("key"), hasher.hash_one("key"));
}

#[test]
fn retain_looks_again_at_a_value_that_was_replaced_meanwhile() {
    let map = RcuMap::from([(1, "old"), (2, "other")]);
    let mut shown = Vec::new();
    map.retain(|key, value| {
        shown.push(*value);
        if *value == "old" {
            drop(map.insert(*key, "new"));
        }
        *key != 1
    });
    shown.sort_unstable();
    assert_eq!(shown, ["new", "old", "other"]);
    let guard = map.rcu().read();
    assert!(map.iter(&guard).eq([(&2, &"other")]));
}
