//! The foreign code that the map calls (comparisons, drops, closures) may panic, take long, and use
//! the map.

use crate::common::{Drops, panic_message, within};
use crate::map::Hashes;
use async_rcu::{Rcu, RcuMap};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

/// A key whose comparison or hash may do anything.
#[derive(Clone)]
struct Key {
    number: u32,
    on_eq: Arc<dyn Fn() + Send + Sync>,
}

impl Key {
    fn plain(number: u32) -> Self {
        Self::with(number, || {})
    }

    fn with(number: u32, on_eq: impl Fn() + Send + Sync + 'static) -> Self {
        Self { number, on_eq: Arc::new(on_eq) }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.on_eq)();
        (other.on_eq)();
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.number);
    }
}

/// A value that panics when it is dropped, if its flag says so.
struct Fragile(Drops, bool);

impl Drop for Fragile {
    fn drop(&mut self) {
        drop(self.0.value(0));
        assert!(!self.1, "dropped");
    }
}

#[test]
fn a_panic_in_a_drop_loses_nothing_else() {
    let rcu = Rcu::new();
    for take_out in [
        |map: RcuMap<u32, Fragile>| drop(map),
        |map: RcuMap<u32, Fragile>| map.clear(),
        |map: RcuMap<u32, Fragile>| map.retain(|_, _| false),
        |map: RcuMap<u32, Fragile>| (0..100).for_each(|key| drop(map.remove(&key))),
    ] {
        let drops = Drops::default();
        let before = rcu.stats().panicked;
        let map = RcuMap::new_in(&rcu);
        for key in 0..100 {
            map.insert(key, Fragile(drops.clone(), key % 10 == 0));
        }
        take_out(map);
        drops.reach(100);
        rcu.blocking_drain();
        assert_eq!(rcu.stats().panicked - before, 10);
    }
}

#[test]
fn a_panic_in_a_closure_leaves_the_map_as_it_was() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::new_in(&rcu);
    map.insert(1, drops.value(1));
    let guard = rcu.read();
    let panics: [&dyn Fn(); 4] = [
        &|| _ = map.get_or_insert_with(2, || panic!("closure"), &guard),
        &|| _ = map.update(&1, |_| panic!("closure")),
        &|| _ = map.remove_if(&1, |_, _| panic!("closure")),
        &|| map.retain(|_, _| panic!("closure")),
    ];
    for closure in panics {
        assert_eq!(panic_message(closure), "closure");
        assert_eq!(map.get(&1, &guard).unwrap().label(), 1);
        assert_eq!(map.len(), 1);
    }
    // The values that were removed before the panic are freed. The others stay.
    for label in 2..=10 {
        map.insert(label, drops.value(label));
    }
    let calls = Cell::new(0);
    panic_message(|| {
        map.retain(|_, _| {
            calls.set(calls.get() + 1);
            assert!(calls.get() < 4, "closure");
            false
        });
    });
    assert_eq!(map.len(), 7);
    drop(guard);
    drops.reach(3);
    drop(map);
    drops.reach(10);
}

#[test]
fn a_panic_in_a_comparison_leaves_the_map_as_it_was() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let map = RcuMap::with_hasher_in(Hashes(1), &rcu);
    for number in 0..20 {
        map.insert(Key::plain(number), drops.value(number));
    }
    let bad = |number| Key::with(number, || panic!("compared"));
    let guard = rcu.read();
    let panics: [&dyn Fn(); 6] = [
        &|| _ = map.get(&bad(1), &guard),
        &|| _ = map.insert(bad(1), drops.value(100)),
        &|| _ = map.try_insert(bad(1), drops.value(100)),
        &|| _ = map.remove(&bad(1)),
        &|| _ = map.update(&bad(1), |_| unreachable!()),
        &|| _ = map.get_or_insert(bad(1), drops.value(100), &guard),
    ];
    for compare in panics {
        assert_eq!(panic_message(compare), "compared");
    }
    // The values that were not inserted are dropped at once.
    assert_eq!(drops.count(), 3);
    // No lock is left locked.
    for number in 0..20 {
        assert_eq!(map.get(&Key::plain(number), &guard).unwrap().label(), number);
        assert_eq!(map.remove(&Key::plain(number)).unwrap().label(), number);
    }
    assert!(map.is_empty());
}

#[test]
fn foreign_code_may_use_the_map() {
    let map = Arc::new(RcuMap::with_hasher_in(Hashes(1), &Rcu::new()));
    let guard = map.rcu().read();
    // A closure uses the map.
    let value = map.get_or_insert_with(
        Key::plain(1),
        || {
            map.insert(Key::plain(2), 2);
            *map.get_or_insert(Key::plain(1), 10, &map.rcu().read())
        },
        &guard,
    );
    assert_eq!((*value, map.len()), (10, 2));
    map.update(&Key::plain(1), |value| {
        drop(map.insert(Key::plain(3), 3));
        value + 1
    });
    map.retain(|key, _| {
        drop(map.remove(&Key::plain(3)));
        key.number != 2
    });
    assert_eq!((map.len(), map.get(&Key::plain(1), &guard)), (1, Some(&11)));
    // A comparison inserts, once, into the bucket that is being written.
    let once = AtomicBool::new(true);
    let inner = Arc::downgrade(&map);
    let nosy = Key::with(4, move || {
        if once.swap(false, Ordering::Relaxed) {
            inner.upgrade().unwrap().insert(Key::plain(4), 40);
        }
    });
    assert_eq!(map.insert(nosy, 41).as_deref(), Some(&40));
    assert_eq!((map.len(), map.get(&Key::plain(4), &guard)), (2, Some(&41)));
}

#[test]
fn a_slow_comparison_delays_no_other_writer() {
    within(|| {
        let map = Arc::new(RcuMap::with_hasher_in(Hashes(1), &Rcu::new()));
        map.insert(Key::plain(1), 1);
        let (compares, is_comparing) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let slow = thread::spawn({
            let map = Arc::clone(&map);
            move || {
                let key = Key::with(2, move || {
                    compares.send(()).unwrap();
                    // An error says that the wait has ended.
                    let _ = may_go_on.lock().unwrap().recv();
                });
                map.insert(key, 2);
            }
        });
        is_comparing.recv().unwrap();
        assert_eq!(*map.insert(Key::plain(1), 11).unwrap(), 1);
        map.insert(Key::plain(3), 3);
        assert_eq!(*map.remove(&Key::plain(3)).unwrap(), 3);
        drop(go_on);
        slow.join().unwrap();
        assert_eq!(map.len(), 2);
    });
}
