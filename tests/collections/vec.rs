//! `RcuVec`: a view keeps its length and its elements, whatever writers do meanwhile.

use crate::common::{Drops, Fragile, HANG_GUARD, Probe, Tracked, panic_message, settle, within};
use async_rcu::{Rcu, RcuVec};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

fn labels(array: &RcuVec<Tracked>) -> Vec<u32> {
    let guard = array.rcu().read();
    array.iter(&guard).map(Tracked::label).collect()
}

fn vec_of(rcu: &Rcu, drops: &Drops, labels: impl IntoIterator<Item = u32>) -> RcuVec<Tracked> {
    let array = RcuVec::new_in(rcu);
    array.append(labels.into_iter().map(|label| drops.value(label)));
    array
}

#[test]
fn it_is_made_and_shown_as_collections_are() {
    static ARRAY: RcuVec<u32> = RcuVec::new();
    assert!(ARRAY.is_empty() && ARRAY.pop().is_none());
    (&ARRAY).extend([1, 2]);
    assert_eq!(format!("{ARRAY:?}"), "[1, 2]");
    let mut array: RcuVec<u32> = [1, 2].into_iter().collect();
    array.extend([3]);
    let guard = Rcu::global().read_owned();
    let view = array.load(&guard);
    let mut walk = view.into_iter();
    assert_eq!((walk.len(), walk.next_back(), walk.nth(1)), (3, Some(&3), Some(&2)));
    assert_eq!(format!("{walk:?} {view:?} {:?}", array.write()), "[] [1, 2, 3] [1, 2, 3]");
    assert_eq!((view[0], view.get(3), view.is_empty()), (1, None, false));
    assert!((&view).into_iter().rev().eq(&[3, 2, 1]));
    assert!(RcuVec::<u32>::default().is_empty());
}

#[test]
fn a_guard_of_another_domain_is_refused() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let array = RcuVec::new_in(&rcu);
    array.push(1);
    let unstarted = RcuVec::<u32>::new();
    for message in [
        panic_message(|| assert!(array.load(&other.read()).is_empty())),
        panic_message(|| assert!(array.get(0, &other.read_owned()).is_none())),
        panic_message(|| assert!(array.iter(&other.read()).next().is_none())),
        panic_message(|| assert!(unstarted.load(&other.read()).is_empty())),
    ] {
        assert!(message.contains("another Rcu than the RcuVec"), "{message}");
    }
    assert!(rcu.same_domain(array.rcu()));
}

#[test]
fn out_of_range_is_told_and_changes_nothing() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..2);
    let empty = RcuVec::<u32>::new_in(&rcu);
    let message = panic_message(|| drop(array.replace(2, drops.value(2))));
    assert_eq!(message, "replace: index 2 is out of range of an RcuVec of length 2");
    drops.reach(1);
    let message = panic_message(|| drop(array.swap_remove(5)));
    assert_eq!(message, "swap_remove: index 5 is out of range of an RcuVec of length 2");
    panic_message(|| drop(empty.swap_remove(0)));
    let mut writer = array.write();
    panic_message(|| writer.replace(2, drops.value(3)));
    panic_message(|| writer.insert(3, drops.value(4)));
    panic_message(|| writer.swap(0, 2));
    panic_message(|| writer.remove(2));
    panic_message(|| writer.swap_remove(2));
    assert!(writer.publish().is_empty());
    assert_eq!(labels(&array), [0, 1]);
    drop(array);
    drops.reach(5);
}

#[test]
fn a_push_within_the_capacity_makes_no_new_version() {
    let rcu = Rcu::new();
    let array = RcuVec::new_in(&rcu);
    let mut old_spines = 0;
    for n in 0..1_000u32 {
        array.push(n);
        // The domain has nothing else queued.
        let queued = rcu.stats().queued;
        let grown = n > 0 && n.is_power_of_two() && n >= 4;
        old_spines += u64::from(grown);
        assert_eq!(queued, old_spines, "after {n}");
    }
    let guard = rcu.read();
    assert!(array.iter(&guard).copied().eq(0..1_000));
}

#[test]
fn a_slot_that_a_view_may_show_is_not_written() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..4);
    let guard = rcu.read_owned();
    let view = array.load(&guard);
    let popped = array.pop().unwrap();
    let queued = rcu.stats().queued;
    array.push(drops.value(10));
    assert_eq!(rcu.stats().queued, queued + 1, "the push makes a new spine");
    assert!(view.iter().map(Tracked::label).eq([0, 1, 2, 3]));
    assert_eq!(labels(&array), [0, 1, 2, 10]);
    assert_eq!(popped.label(), 3);
    // With no view left, the writer uses the slot again in place.
    drop(guard);
    drop(array.pop());
    rcu.blocking_synchronize();
    let queued = rcu.stats().queued;
    array.push(drops.value(11));
    assert_eq!(rcu.stats().queued, queued, "the push uses the same spine");
    assert_eq!(labels(&array), [0, 1, 2, 11]);
}

/// A reader holds all views, so that writers copy the spine only at times, and patch it else.
#[test]
fn each_view_of_many_changes_shows_its_own_version() {
    const LEN: u32 = 500;
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..LEN);
    let mut model: Vec<u32> = (0..LEN).collect();
    let guard = rcu.read_owned();
    let mut views = Vec::new();
    let mut random = 1_u32;
    let mut made = LEN;
    for step in 0..2_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = (random >> 8) as usize % model.len();
        match random >> 28 {
            0..4 => {
                drop(array.pop());
                model.pop();
            }
            4..9 => {
                array.append([made, made + 1].map(|label| drops.value(label)));
                model.extend([made, made + 1]);
                made += 2;
            }
            9..12 => {
                let old = std::mem::replace(&mut model[at], made);
                assert_eq!(array.replace(at, drops.value(made)).label(), old);
                made += 1;
            }
            12..14 => assert_eq!(array.swap_remove(at).label(), model.swap_remove(at)),
            _ => {
                let mut writer = array.write();
                writer.swap(0, at);
                writer.pop();
                drop(writer.publish());
                model.swap(0, at);
                model.pop();
            }
        }
        assert_eq!(array.get(model.len(), &guard).map(Tracked::label), None);
        assert_eq!(array.get(at, &guard).map(Tracked::label), model.get(at).copied());
        if step % 10 == 0 {
            views.push((array.load(&guard), model.clone()));
        }
    }
    for (view, model) in &views {
        assert!(view.iter().map(Tracked::label).eq(model.iter().copied()));
        assert!(view.iter().rev().map(Tracked::label).eq(model.iter().rev().copied()));
        assert_eq!(view.len(), model.len());
        assert!(model.iter().enumerate().all(|(at, label)| view[at].label() == *label));
        assert_eq!(view.iter().nth(model.len() - 1).map(Tracked::label), model.last().copied());
    }
    let message = panic_message(|| assert_eq!(views[0].0[LEN as usize + 2].label(), 0));
    assert!(message.starts_with("index out of bounds: the len is"), "{message}");
    drop(guard);
    assert_eq!(labels(&array), model);
    drop(array);
    drops.reach(made as usize);
}

#[test]
fn views_and_references_outlive_the_array() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..1_000);
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let view = array.load(&guard);
    let one = array.get(1, &guard).unwrap();
    drop(array.replace(1, drops.value(1_000)));
    drop(array.swap_remove(2));
    drop(array.pop());
    drop(array);
    probe.held_up();
    assert_eq!((one.label(), drops.count()), (1, 0));
    assert!(view.iter().map(Tracked::label).eq(0..1_000));
    drop(guard);
    drops.reach(1_001);
}

#[test]
fn removed_elements_are_given_back_whole() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..6);
    let guard = rcu.read_owned();
    let replaced = array.replace(0, drops.value(6));
    let early = replaced.try_take().unwrap_err();
    let out = [early, array.swap_remove(1), array.swap_remove(4), array.pop().unwrap()];
    assert_eq!(labels(&array), [6, 5, 2]);
    drop(guard);
    let boxes = settle(rcu.reclaim_all(out));
    assert!(boxes.iter().map(|value| value.label()).eq([0, 1, 4, 3]));
    assert_eq!(drops.count(), 0);
    drop(boxes);
    drops.reach(4);
}

#[test]
fn what_goes_together_goes_in_one_callback() {
    const MANY: u32 = 100_000;
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..MANY);
    assert_eq!(rcu.stats().queued, 0);
    array.clear();
    assert_eq!((rcu.stats().queued, array.len()), (1, 0));
    array.append((0..10).map(|label| drops.value(label)));
    drop(array);
    assert_eq!(rcu.stats().queued, 2);
    drop(RcuVec::<Tracked>::new_in(&rcu));
    assert_eq!(rcu.stats().queued, 2);
    within(move || rcu.blocking_drain());
    drops.reach(MANY as usize + 10);
}

#[test]
fn a_drop_that_panics_saves_none_of_the_others() {
    let ways: [fn(RcuVec<Fragile>); 3] = [
        drop,
        |array| array.clear(),
        |array| {
            let mut writer = array.write();
            while writer.pop() {}
            // Each value gets a callback of its own, since a caller may wait for it.
            drop(writer.publish());
        },
    ];
    for (way, panics) in ways.into_iter().zip([1, 1, 3]) {
        let (told, reports) = mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let rcu = Rcu::builder()
            .on_panic(move |report| told.lock().unwrap().send(report.to_string()).unwrap())
            .build()
            .unwrap();
        let drops = Drops::default();
        let array = RcuVec::new_in(&rcu);
        array.append((0..100).map(|label| Fragile(drops.value(label), label % 40 == 7)));
        way(array);
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        drops.reach(100);
        assert_eq!(rcu.stats().panicked, panics);
        let report = reports.recv_timeout(HANG_GUARD).unwrap();
        assert!(report.contains("bomb"), "{report}");
    }
}

#[test]
fn edits_are_published_together_or_not_at_all() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..3);
    // The writer is dropped.
    let mut writer = array.write();
    writer.push(drops.value(3));
    writer.replace(0, drops.value(4));
    writer.swap_remove(3);
    drop(writer);
    assert_eq!(labels(&array), [0, 1, 2]);
    drops.reach(2);
    // A panic discards the writer.
    panic_message(|| {
        let mut writer = array.write();
        writer.push(drops.value(5));
        writer.pop();
        writer.pop();
        panic!("in the middle");
    });
    assert_eq!(labels(&array), [0, 1, 2]);
    drops.reach(3);
    // The edits are published. An element that one writer added and removed is returned too.
    let mut writer = array.write();
    writer.push(drops.value(6));
    writer.replace(3, drops.value(7));
    writer.remove(0);
    let removed = writer.publish();
    assert!(removed.iter().map(|old| old.label()).eq([6, 0]));
    assert_eq!(labels(&array), [1, 2, 7]);
    // The last edit leaves no element.
    let mut writer = array.write();
    while writer.pop() {}
    drop(writer.publish());
    assert!(array.is_empty());
    array.push(drops.value(8));
    assert_eq!(labels(&array), [8]);
    drop((removed, array));
    drops.reach(9);
}

#[test]
fn a_wait_for_oneself_panics() {
    within(|| {
        let array: RcuVec<u32> = (0..4).collect();
        let mut writer = array.write();
        for (name, act) in [
            ("push", Box::new(|| array.push(1)) as Box<dyn Fn()>),
            ("append", Box::new(|| array.append([1]))),
            ("pop", Box::new(|| drop(array.pop()))),
            ("replace", Box::new(|| drop(array.replace(0, 1)))),
            ("swap_remove", Box::new(|| drop(array.swap_remove(0)))),
            ("clear", Box::new(|| array.clear())),
            ("write", Box::new(|| drop(array.write()))),
        ] {
            let message = panic_message(act);
            assert!(message.starts_with(&format!("deadlock: {name} on")), "{message}");
            assert!(message.contains("VecWriter"), "{message}");
        }
        writer.push(4);
        drop(writer.publish());
        array.push(5);
        let guard = array.rcu().read();
        assert!(array.iter(&guard).copied().eq(0..6));
    });
}

#[test]
fn a_leaked_writer_is_sound() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..3);
    let mut writer = array.write();
    writer.replace(0, drops.value(3));
    std::mem::forget(writer);
    assert_eq!(labels(&array), [0, 1, 2]);
    drop(array);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    // The elements that the writer added are leaked with it.
    drops.reach(3);
}

#[test]
fn an_iterator_that_panics_adds_nothing() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array = vec_of(&rcu, &drops, 0..2);
    panic_message(|| {
        array.append((2..9).map(|label| {
            assert!(label < 7, "no more");
            drops.value(label)
        }));
    });
    drops.reach(5);
    assert_eq!(labels(&array), [0, 1]);
    array.append([]);
    assert_eq!(labels(&array), [0, 1]);
}

#[test]
fn elements_without_a_size_are_elements() {
    let array: RcuVec<()> = [(); 5].into_iter().collect();
    array.push(());
    let guard = array.rcu().read();
    let view = array.load(&guard);
    drop(array.swap_remove(0));
    assert_eq!((view.len(), array.len()), (6, 5));
}

/// Writers make every kind of edit, and readers check that their views stay unchanged. Index `i`
/// always holds a label that is `i` modulo 8, so that readers notice a slot of another length or
/// spine. Writers add elements in pairs, and readers check that they see no half of a pair.
#[test]
fn torture() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array: RcuVec<Tracked> = RcuVec::new_in(&rcu);
    let made = AtomicU32::new(0);
    let value = |at: usize| {
        let number = made.fetch_add(1, Ordering::Relaxed);
        drops.value(number * 8 + at as u32 % 8)
    };
    crate::common::torture::torture(
        2,
        |run| {
            while run.goes_on() {
                let guard = rcu.read();
                let view = array.load(&guard);
                assert!(view.len() % 2 == 0, "the view has half of a pair");
                let seen: Vec<u32> = view.iter().map(Tracked::label).collect();
                for (at, label) in seen.iter().enumerate() {
                    assert_eq!(*label as usize % 8, at % 8);
                }
                thread::yield_now();
                assert!(view.iter().map(Tracked::label).eq(seen), "a view has changed");
                run.saw(view.len());
            }
        },
        |run, _| {
            for round in run.rounds() {
                let mut writer = array.write();
                let len = writer.len();
                match round % 8 {
                    0 => {
                        writer.pop();
                        writer.pop();
                    }
                    1 | 2 if len > 0 => {
                        let at = round as usize % len;
                        writer.replace(at, value(at));
                    }
                    3 if len > 200 => while writer.pop() {},
                    4 => {
                        writer.push(value(len));
                        writer.push(value(len + 1));
                        // The edits are not published.
                        continue;
                    }
                    _ => {
                        writer.push(value(len));
                        writer.push(value(len + 1));
                    }
                }
                drop(writer.publish());
                if round % 512 == 9 {
                    array.clear();
                }
            }
        },
    );
    drop(array);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    drops.reach(made.load(Ordering::Relaxed) as usize);
}

/// One writer pushes and pops in place, and uses a slot again as soon as the views allow it.
#[test]
fn torture_in_place() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let array: RcuVec<Tracked> = RcuVec::new_in(&rcu);
    let made = AtomicU32::new(0);
    let reused = AtomicU32::new(0);
    crate::common::torture::torture(
        1,
        |run| {
            while run.goes_on() {
                let guard = rcu.read();
                let view = array.load(&guard);
                let seen: Vec<u32> = view.iter().map(Tracked::label).collect();
                for _ in 0..20 {
                    thread::yield_now();
                    assert!(
                        view.iter().map(Tracked::label).eq(seen.iter().copied()),
                        "a view has changed"
                    );
                }
                run.saw(view.len());
            }
        },
        |run, _| {
            let mut popped = false;
            for round in run.rounds() {
                let queued = rcu.stats().queued;
                array.push(drops.value(made.fetch_add(1, Ordering::Relaxed)));
                // No spine was retired, so the writer has used the popped slot again.
                let in_place = rcu.stats().queued == queued;
                reused.fetch_add(u32::from(popped && in_place), Ordering::Relaxed);
                popped = round % 3 != 0;
                if popped {
                    drop(array.pop());
                }
                if round % 40 == 1 {
                    rcu.blocking_synchronize();
                }
                if array.len() > 20 {
                    array.clear();
                    popped = false;
                }
            }
        },
    );
    assert!(reused.into_inner() > 0, "the writer has used no slot again");
    drop(array);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    drops.reach(made.into_inner() as usize);
}
