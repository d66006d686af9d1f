//! `RcuList`: readers finish their walk, whatever writers remove meanwhile. Writers edit one at a
//! time, and readers see each edit whole.

use crate::common::{
    Drops, Fragile, HANG_GUARD, Probe, Tracked, panic_message, settle, until, within,
};
use async_rcu::{Rcu, RcuList, RcuVec, Retired, executor::InlineExecutor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

fn labels(list: &RcuList<Tracked>) -> Vec<u32> {
    let guard = list.rcu().read();
    list.iter(&guard).map(Tracked::label).collect()
}

fn list_of(rcu: &Rcu, drops: &Drops, labels: impl IntoIterator<Item = u32>) -> RcuList<Tracked> {
    let list = RcuList::new_in(rcu);
    list.append(labels.into_iter().map(|label| drops.value(label)));
    list
}

#[test]
fn it_is_made_and_shown_as_collections_are() {
    static LIST: RcuList<u32> = RcuList::new();
    assert!(LIST.is_empty());
    (&LIST).extend([1, 2]);
    assert_eq!(format!("{LIST:?}"), "[1, 2]");
    let mut list: RcuList<u32> = [1, 2].into_iter().collect();
    list.extend([3]);
    let guard = Rcu::global().read_owned();
    let mut walk = list.iter(&guard);
    walk.next();
    assert_eq!(
        format!("{walk:?} {:?}", list.write()),
        "[2, 3] ListWriter { current: Some(1), .. }"
    );
    assert_eq!(walk.clone().count(), 2);
    assert!(RcuList::<u32>::default().is_empty());
}

#[test]
fn a_guard_of_another_domain_is_refused() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let list = RcuList::new_in(&rcu);
    list.push_back(1);
    let unstarted = RcuList::<u32>::new();
    for message in [
        panic_message(|| assert!(list.iter(&other.read()).next().is_none())),
        panic_message(|| assert!(list.front(&other.read_owned()).is_none())),
        panic_message(|| assert!(unstarted.iter(&other.read()).next().is_none())),
    ] {
        assert!(message.contains("another Rcu than the RcuList"), "{message}");
    }
    assert!(rcu.same_domain(list.rcu()));
}

#[test]
fn a_reader_on_removed_elements_finishes_its_walk() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..6);
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let mut walk = list.iter(&guard);
    assert_eq!(walk.next().unwrap().label(), 0);
    assert_eq!(walk.next().unwrap().label(), 1);
    // The writer removes the walk's element, then the next one, then more, each at a later time.
    list.retain(|value| value.label() != 1);
    list.retain(|value| value.label() != 2);
    list.push_back(drops.value(6));
    list.retain(|value| value.label() != 4);
    probe.held_up();
    // Element 1 still leads to 2, which was linked when 1 was removed. 2 leads to 3, which is still
    // linked.
    let rest: Vec<u32> = walk.map(Tracked::label).collect();
    // 6 was appended after the walk began.
    assert_eq!(rest, [2, 3, 5]);
    assert_eq!(drops.count(), 0);
    assert_eq!(labels(&list), [0, 3, 5, 6]);
    drop(guard);
    drops.reach(3);
}

#[test]
fn a_walk_ends_before_elements_appended_after_it_and_skips_elements_removed_before_it() {
    let list: RcuList<u32> = [1, 2, 3].into_iter().collect();
    let guard = Rcu::global().read();
    let mut walk = list.iter(&guard);
    assert_eq!(walk.next(), Some(&1));
    list.retain(|n| *n != 2);
    list.push_back(4);
    list.push_front(0);
    assert!(walk.by_ref().eq(&[3]));
    // A walk that has ended stays at its end.
    list.push_back(5);
    assert_eq!(walk.next(), None);
}

#[test]
fn references_and_walks_outlive_the_list() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..1_000);
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let front = list.front(&guard).unwrap();
    let walk = list.iter(&guard);
    drop(list);
    probe.held_up();
    assert_eq!((front.label(), drops.count()), (0, 0));
    assert!(walk.map(Tracked::label).eq(0..1_000));
    drop(guard);
    drops.reach(1_000);
}

#[test]
fn what_goes_together_goes_in_one_callback() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..300);
    let queued = rcu.stats().queued;
    list.retain(|value| value.label() % 3 != 0);
    assert_eq!(rcu.stats().queued, queued + 1);
    list.clear();
    assert_eq!(rcu.stats().queued, queued + 2);
    list.append((0..10).map(|label| drops.value(label)));
    drop(list);
    assert_eq!(rcu.stats().queued, queued + 3);
    drop(RcuList::<Tracked>::new_in(&rcu));
    assert_eq!(rcu.stats().queued, queued + 3);
    drops.reach(310);
}

#[test]
fn ten_million_elements_are_dropped_without_recursion() {
    // The element type has a `Drop`, so that the compiler does not leave the drops out.
    #[derive(Debug)]
    struct Counted;
    static LEFT: AtomicU32 = AtomicU32::new(0);
    impl Drop for Counted {
        fn drop(&mut self) {
            LEFT.fetch_sub(1, Ordering::Relaxed);
        }
    }
    const MANY: u32 = 10_000_000;
    let rcu = Rcu::new();
    let list = RcuList::new_in(&rcu);
    LEFT.store(MANY, Ordering::Relaxed);
    list.append((0..MANY).map(|_| Counted));
    assert_eq!(list.len(), MANY as usize);
    drop(list);
    assert_eq!(rcu.stats().queued, 1);
    within(move || rcu.blocking_drain());
    assert_eq!(LEFT.load(Ordering::Relaxed), 0);
}

#[test]
fn a_drop_that_panics_saves_none_of_the_others() {
    let ways: [fn(RcuList<Fragile>); 3] =
        [drop, |list| list.clear(), |list| list.retain(|_| false)];
    for way in ways {
        let (told, reports) = mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let rcu = Rcu::builder()
            .on_panic(move |report| told.lock().unwrap().send(report.to_string()).unwrap())
            .build()
            .unwrap();
        let drops = Drops::default();
        let list = RcuList::new_in(&rcu);
        list.append((0..100).map(|label| Fragile(drops.value(label), label % 40 == 7)));
        way(list);
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        drops.reach(100);
        assert_eq!(rcu.stats().panicked, 1);
        let report = reports.recv_timeout(HANG_GUARD).unwrap();
        assert!(report.contains("bomb 7"), "{report}");
    }
}

#[test]
fn a_predicate_that_panics_leaves_a_whole_list() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..10);
    let message = panic_message(|| {
        list.retain(|value| {
            assert!(value.label() != 6, "at six");
            value.label() % 2 == 1
        });
    });
    assert_eq!(message, "at six");
    drops.reach(3);
    assert_eq!(labels(&list), [1, 3, 5, 6, 7, 8, 9]);
    assert_eq!(list.len(), 7);
    list.push_back(drops.value(10));
    assert_eq!(labels(&list).last(), Some(&10));
    drop(list);
    drops.reach(11);
}

#[test]
fn an_iterator_that_panics_adds_nothing() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..2);
    let bombs = RcuList::new_in(&rcu);
    panic_message(|| {
        list.append((2..9).map(|label| {
            assert!(label < 7, "no more");
            drops.value(label)
        }));
    });
    drops.reach(5);
    assert_eq!(labels(&list), [0, 1]);
    // All elements made so far are dropped, even if a drop panics.
    let message = panic_message(|| {
        bombs.append((0..9).map(|label| {
            assert!(label < 7, "no more");
            Fragile(drops.value(label), label > 3)
        }));
    });
    assert_eq!(message, "no more");
    drops.reach(12);
    assert!(bombs.is_empty());
}

#[test]
fn a_wait_for_oneself_panics() {
    within(|| {
        let list: RcuList<u32> = (0..4).collect();
        let message = panic_message(|| {
            list.retain(|n| {
                // Reading is allowed.
                let guard = list.rcu().read();
                assert_eq!(list.iter(&guard).next(), Some(&0));
                if *n == 2 {
                    list.push_back(9);
                }
                true
            });
        });
        assert!(message.starts_with("deadlock: push_back on a thread"), "{message}");
        let writer = list.write();
        for (name, act) in [
            ("push_front", Box::new(|| list.push_front(1)) as Box<dyn Fn()>),
            ("append", Box::new(|| list.append([1]))),
            ("pop_front", Box::new(|| drop(list.pop_front()))),
            ("retain", Box::new(|| list.retain(|_| false))),
            ("clear", Box::new(|| list.clear())),
            ("write", Box::new(|| drop(list.write()))),
        ] {
            let message = panic_message(act);
            assert!(message.starts_with(&format!("deadlock: {name} on")), "{message}");
            assert!(message.contains("ListWriter"), "{message}");
        }
        // Another list has another lock.
        let other = RcuList::new();
        other.push_back(1);
        drop(writer);
        list.push_back(4);
        let guard = list.rcu().read();
        assert!(list.iter(&guard).eq(&[0, 1, 2, 3, 4]));
    });
}

#[test]
fn what_a_predicate_holds_is_dropped_when_the_lock_is_free() {
    within(|| {
        struct PushesWhenDropped<'a>(&'a RcuList<u32>);
        impl Drop for PushesWhenDropped<'_> {
            fn drop(&mut self) {
                self.0.push_back(7);
            }
        }
        let list: RcuList<u32> = (0..2).collect();
        let held = PushesWhenDropped(&list);
        list.retain(move |n| {
            let _ = &held;
            *n != 0
        });
        let guard = list.rcu().read();
        assert!(list.iter(&guard).eq(&[1, 7]));
    });
}

#[test]
fn elements_whose_drop_writes_the_list_do_so_without_its_lock() {
    within(|| {
        struct Phoenix(Arc<RcuList<Phoenix>>, u32);
        impl Drop for Phoenix {
            fn drop(&mut self) {
                if self.1 > 0 {
                    let again = Phoenix(Arc::clone(&self.0), self.1 - 1);
                    self.0.push_back(again);
                }
            }
        }
        // The drops run on the grace-period thread. There the test would notice a held lock.
        let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
        let list = Arc::new(RcuList::new_in(&rcu));
        for lives in 0..5 {
            list.push_back(Phoenix(Arc::clone(&list), lives));
        }
        until("the drop of the last element", || {
            list.retain(|_| false);
            drop(list.pop_front());
            list.clear();
            rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
            list.is_empty()
        });
    });
}

#[test]
fn a_writer_holds_up_writers_and_not_readers() {
    let list: RcuList<u32> = (0..3).collect();
    let mut writer = list.write();
    let (begun, wait) = mpsc::channel();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            begun.send(()).unwrap();
            list.push_back(9);
        });
        wait.recv().unwrap();
        assert_eq!(*writer.remove().unwrap(), 0);
        // Readers see each edit of this writer at once, and no edit of another writer.
        let guard = list.rcu().read();
        assert!(list.iter(&guard).eq(&[1, 2]));
        drop(writer);
        other.join().unwrap();
    });
    let guard = list.rcu().read();
    assert!(list.iter(&guard).eq(&[1, 2, 9]));
}

#[test]
fn a_leaked_writer_is_sound() {
    within(|| {
        let rcu = Rcu::new();
        let drops = Drops::default();
        let list = list_of(&rcu, &drops, 0..3);
        let mut writer = list.write();
        drop(writer.remove());
        std::mem::forget(writer);
        assert_eq!(labels(&list), [1, 2]);
        let message = panic_message(|| list.push_back(drops.value(3)));
        assert!(message.starts_with("deadlock: push_back"), "{message}");
        drop(list);
        drops.reach(4);
    });
}

#[test]
fn removed_elements_are_given_back_whole() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list = list_of(&rcu, &drops, 0..5);
    let guard = rcu.read_owned();
    let walk = list.iter(&guard);
    let mut out: Vec<Retired<Tracked>> = Vec::new();
    out.extend(list.pop_front());
    let mut writer = list.write();
    writer.move_next();
    out.extend(writer.remove());
    out.push(writer.replace(drops.value(5)).unwrap());
    drop(writer);
    let early = out.pop().unwrap().try_take().unwrap_err();
    out.push(early);
    assert_eq!(labels(&list), [1, 5, 4]);
    // The walk loaded the front when it began. The removed front still leads to the element that
    // followed it at its removal.
    assert!(walk.map(Tracked::label).eq([0, 1, 5, 4]));
    drop(guard);
    let boxes = settle(rcu.reclaim_all(out));
    assert!(boxes.iter().map(|value| value.label()).eq([0, 2, 3]));
    assert_eq!(drops.count(), 0);
    drop(boxes);
    drops.reach(3);
}

/// Writers make every kind of edit, and readers check the order and that elements are alive. Labels
/// grow from front to back.
#[test]
fn torture() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list: RcuList<Tracked> = RcuList::new_in(&rcu);
    let made = AtomicU32::new(0);
    let next = AtomicU32::new(0);
    crate::common::torture::torture(
        2,
        |run| {
            while run.goes_on() {
                let guard = rcu.read();
                let mut last: Option<&Tracked> = None;
                let mut steps = 0;
                for value in list.iter(&guard) {
                    if let Some(last) = last {
                        assert!(
                            last.label() < value.label(),
                            "labels do not grow from front to back"
                        );
                    }
                    last = Some(value);
                    steps += 1;
                    if steps % 7 == 0 {
                        thread::yield_now();
                    }
                }
                run.saw(steps);
            }
        },
        |run, _| {
            // The writer takes its labels under the list's lock, so that labels grow.
            let value = || {
                made.fetch_add(1, Ordering::Relaxed);
                drops.value(next.fetch_add(2, Ordering::Relaxed))
            };
            for round in run.rounds() {
                let mut writer = list.write();
                writer.push_back(value());
                writer.push_back(value());
                for _ in 0..round % 5 {
                    writer.move_next();
                }
                match round % 4 {
                    0 => drop(writer.remove()),
                    1 if writer.current().is_some() => {
                        let label = writer.current().unwrap().label();
                        made.fetch_add(1, Ordering::Relaxed);
                        // The new element has the old one's label, and so its position.
                        drop(writer.replace(drops.value(label)).unwrap());
                    }
                    2 => drop(writer.pop_front()),
                    _ => writer.retain(|value| value.label() % 14 != 0),
                }
                let long = writer.len() > 30;
                drop(writer);
                if long {
                    list.clear();
                }
            }
        },
    );
    drop(list);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    drops.reach(made.load(Ordering::Relaxed) as usize);
}

#[test]
fn copies_of_walks_go_on_by_themselves() {
    let rcu = Rcu::new();
    let guard = rcu.read();
    let list = RcuList::new_in(&rcu);
    let array = RcuVec::new_in(&rcu);
    for n in 0..3 {
        list.push_back(n);
        array.push(n);
    }
    let mut walk = list.iter(&guard);
    let whole = walk.clone();
    assert_eq!(walk.next(), Some(&0));
    let rest = walk.clone();
    walk.by_ref().for_each(drop);
    assert!(rest.eq(&[1, 2]));
    assert_eq!(walk.clone().next(), None);
    assert!(whole.eq(&[0, 1, 2]));
    let view = array.load(&guard);
    #[expect(clippy::clone_on_copy, reason = "generic code clones")]
    let same = view.clone();
    array.clear();
    assert!(view.iter().eq(same.iter()));
    let mut writer = array.write();
    assert!(writer.is_empty());
    writer.push(1);
    assert!(!writer.is_empty());
}

#[test]
fn a_walk_over_a_list_used_as_a_queue_ends() {
    let rcu = Rcu::new();
    let list = RcuList::new_in(&rcu);
    list.append(0..10);
    let guard = rcu.read();
    let walk = list.iter(&guard);
    let mut seen = Vec::new();
    for (n, next) in walk.zip(10..) {
        list.push_back(next);
        drop(list.pop_front());
        seen.push(*n);
    }
    assert!(seen.iter().copied().eq(0..10), "{seen:?}");
    assert!(list.iter(&guard).copied().eq(10..20));
}

#[test]
fn a_walk_returns_what_is_inserted_and_replaced_before_elements_that_were_there() {
    let rcu = Rcu::new();
    let list = RcuList::new_in(&rcu);
    list.append([1, 3, 4]);
    let guard = rcu.read();
    let walk = list.iter(&guard);
    list.push_back(5);
    let mut writer = list.write();
    writer.move_next();
    writer.insert_before(2);
    writer.move_next();
    drop(writer.replace(40));
    writer.move_next();
    drop(writer.replace(50));
    writer.insert_before(49);
    drop(writer);
    assert!(walk.copied().eq([1, 2, 3, 40]));
    assert!(list.iter(&guard).copied().eq([1, 2, 3, 40, 49, 50]));
}

#[test]
fn a_list_that_is_never_empty_has_a_front_at_all_times() {
    let list = RcuList::new_in(&Rcu::new());
    list.push_back(0);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..100_000 {
                list.push_back(n);
                drop(list.pop_front());
            }
        });
        while !writer.is_finished() {
            assert!(list.front(&list.rcu().read()).is_some());
        }
    });
}
