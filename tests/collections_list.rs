//! `RcuList`: readers finish their walk whatever is removed under them, and writers make whole edits, one at a time.

mod common;

use async_rcu::{InlineExecutor, ListWriter, Rcu, RcuList, Retired};
use common::{Drops, HANG_GUARD, Probe, Tracked, panic_message, settle, until, within};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        PushFront(u32),
        PushBack(u32),
        PopFront,
        Append(Vec<u32>),
        Retain(u32),
        Clear,
        Write(Vec<Edit>),
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Next,
        ToFront,
        Before(u32),
        After(u32),
        Remove,
        Replace(u32),
        PushFront(u32),
        PushBack(u32),
        PopFront,
        Retain(u32),
        Clear,
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let n = any::<u32>();
        prop_oneof![
            8 => Just(Edit::Next),
            2 => Just(Edit::ToFront),
            2 => n.prop_map(Edit::Before),
            2 => n.prop_map(Edit::After),
            3 => Just(Edit::Remove),
            2 => n.prop_map(Edit::Replace),
            2 => n.prop_map(Edit::PushFront),
            2 => n.prop_map(Edit::PushBack),
            2 => Just(Edit::PopFront),
            1 => (2u32..5).prop_map(Edit::Retain),
            1 => Just(Edit::Clear),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let n = any::<u32>();
        prop_oneof![
            n.prop_map(Step::PushFront),
            n.prop_map(Step::PushBack),
            Just(Step::PopFront),
            prop::collection::vec(n, 0..8).prop_map(Step::Append),
            (2u32..5).prop_map(Step::Retain),
            Just(Step::Clear),
            prop::collection::vec(edit(), 1..20).prop_map(Step::Write),
        ]
    }

    /// The writer, and beside it a deque with the index that it stands on.
    fn apply(
        writer: &mut ListWriter<'_, u32>,
        model: &mut VecDeque<u32>,
        at: &mut usize,
        edit: Edit,
    ) {
        match edit {
            Edit::Next => {
                writer.move_next();
                *at = (*at + 1).min(model.len());
            }
            Edit::ToFront => {
                writer.move_to_front();
                *at = 0;
            }
            Edit::Before(n) => {
                writer.insert_before(n);
                model.insert(*at, n);
                *at += 1;
            }
            Edit::After(n) => {
                writer.insert_after(n);
                if *at == model.len() {
                    model.push_back(n);
                    *at += 1;
                } else {
                    model.insert(*at + 1, n);
                }
            }
            Edit::Remove => assert_eq!(writer.remove().map(|old| *old), model.remove(*at)),
            Edit::Replace(n) => match model.get_mut(*at) {
                Some(place) => assert_eq!(*writer.replace(n).unwrap(), std::mem::replace(place, n)),
                None => assert_eq!(writer.replace(n).unwrap_err(), n),
            },
            Edit::PushFront(n) => {
                writer.push_front(n);
                model.push_front(n);
                *at += 1;
            }
            Edit::PushBack(n) => {
                writer.push_back(n);
                *at += usize::from(*at == model.len());
                model.push_back(n);
            }
            Edit::PopFront => {
                assert_eq!(writer.pop_front().map(|old| *old), model.pop_front());
                *at = at.saturating_sub(1);
            }
            Edit::Retain(n) => {
                writer.retain(|value| value % n != 0);
                model.retain(|value| value % n != 0);
                *at = 0;
            }
            Edit::Clear => {
                writer.clear();
                model.clear();
                *at = 0;
            }
        }
        assert_eq!(writer.current(), model.get(*at));
        assert_eq!(
            (writer.len(), writer.is_empty()),
            (model.len(), model.is_empty())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_does_what_a_deque_does(steps in prop::collection::vec(step(), 1..40)) {
            let list = RcuList::new();
            let mut model = VecDeque::new();
            let rcu = list.rcu();
            for step in steps {
                match step {
                    Step::PushFront(n) => {
                        list.push_front(n);
                        model.push_front(n);
                    }
                    Step::PushBack(n) => {
                        list.push_back(n);
                        model.push_back(n);
                    }
                    Step::PopFront => {
                        prop_assert_eq!(list.pop_front().map(|old| *old), model.pop_front());
                    }
                    Step::Append(all) => {
                        list.append(all.iter().copied());
                        model.extend(all);
                    }
                    Step::Retain(n) => {
                        list.retain(|value| value % n != 0);
                        model.retain(|value| value % n != 0);
                    }
                    Step::Clear => {
                        list.clear();
                        model.clear();
                    }
                    Step::Write(edits) => {
                        let mut writer = list.write();
                        let mut at = 0;
                        for edit in edits {
                            apply(&mut writer, &mut model, &mut at, edit);
                            let guard = rcu.read();
                            prop_assert!(list.iter(&guard).eq(&model), "seen at once");
                        }
                    }
                }
                let guard = rcu.read();
                prop_assert!(list.iter(&guard).eq(&model));
                prop_assert_eq!(list.front(&guard), model.front());
                prop_assert_eq!(list.len(), model.len());
            }
        }
    }
}

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
        assert!(
            message.contains("another Rcu than the RcuList"),
            "{message}"
        );
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
    // What it stands on goes, then what is behind that, then more, each later than the one before.
    list.retain(|value| value.label() != 1);
    list.retain(|value| value.label() != 2);
    list.push_back(drops.value(6));
    list.retain(|value| value.label() != 4);
    probe.held_up();
    // 1 leads to 2 as it did; 2, which was linked when 1 went, to 3; and 3 is linked still.
    let rest: Vec<u32> = walk.map(Tracked::label).collect();
    assert_eq!(rest, [2, 3, 5, 6]);
    assert_eq!(drops.count(), 0);
    assert_eq!(labels(&list), [0, 3, 5, 6]);
    drop(guard);
    drops.reach(3);
}

#[test]
fn a_walk_sees_what_is_added_behind_it_and_skips_what_goes_before_it_comes() {
    let list: RcuList<u32> = [1, 2, 3].into_iter().collect();
    let guard = Rcu::global().read();
    let mut walk = list.iter(&guard);
    assert_eq!(walk.next(), Some(&1));
    list.retain(|n| *n != 2);
    list.push_back(4);
    list.push_front(0);
    assert!(walk.by_ref().eq(&[3, 4]));
    // At its end it stays there.
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
    // An element with a drop, so that nothing is left out.
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

/// Panics when dropped, if it is to.
#[derive(Debug)]
struct Bomb(Tracked, bool);
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.1, "bomb {}", self.0.label());
    }
}

#[test]
fn a_drop_that_panics_saves_none_of_the_others() {
    let ways: [fn(RcuList<Bomb>); 3] = [drop, |list| list.clear(), |list| list.retain(|_| false)];
    for way in ways {
        let (told, reports) = mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let rcu = Rcu::builder()
            .on_panic(move |report| told.lock().unwrap().send(report.to_string()).unwrap())
            .build()
            .unwrap();
        let drops = Drops::default();
        let list = RcuList::new_in(&rcu);
        list.append((0..100).map(|label| Bomb(drops.value(label), label % 40 == 7)));
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
    // What was made is dropped, also where that panics.
    let message = panic_message(|| {
        bombs.append((0..9).map(|label| {
            assert!(label < 7, "no more");
            Bomb(drops.value(label), label > 3)
        }));
    });
    assert_eq!(message, "no more");
    drops.reach(12);
    assert!(bombs.is_empty());
}

#[test]
fn who_would_wait_for_itself_panics() {
    within(|| {
        let list: RcuList<u32> = (0..4).collect();
        let message = panic_message(|| {
            list.retain(|n| {
                // Reading is fine.
                let guard = list.rcu().read();
                assert_eq!(list.iter(&guard).next(), Some(&0));
                if *n == 2 {
                    list.push_back(9);
                }
                true
            });
        });
        assert!(
            message.starts_with("deadlock: push_back on a thread"),
            "{message}"
        );
        let writer = list.write();
        for (name, act) in [
            (
                "push_front",
                Box::new(|| list.push_front(1)) as Box<dyn Fn()>,
            ),
            ("append", Box::new(|| list.append([1]))),
            ("pop_front", Box::new(|| drop(list.pop_front()))),
            ("retain", Box::new(|| list.retain(|_| false))),
            ("clear", Box::new(|| list.clear())),
            ("write", Box::new(|| drop(list.write()))),
        ] {
            let message = panic_message(act);
            assert!(
                message.starts_with(&format!("deadlock: {name} on")),
                "{message}"
            );
            assert!(message.contains("ListWriter"), "{message}");
        }
        // Another list is another lock.
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
        // On the grace-period thread, which is where a lock held would be noticed.
        let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
        let list = Arc::new(RcuList::new_in(&rcu));
        for lives in 0..5 {
            list.push_back(Phoenix(Arc::clone(&list), lives));
        }
        until("the last of them to be gone", || {
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
        // Readers see each edit at once, and no other writer's.
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
fn what_is_taken_out_is_given_back_whole() {
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
    // The front was loaded when the walk began, and leads on as it was when it went.
    assert!(walk.map(Tracked::label).eq([0, 1, 5, 4]));
    drop(guard);
    let boxes = settle(rcu.reclaim_all(out));
    assert!(boxes.iter().map(|value| value.label()).eq([0, 2, 3]));
    assert_eq!(drops.count(), 0);
    drop(boxes);
    drops.reach(3);
}

/// Writers that do everything at once, and readers that check order and life. `label`s grow from front to back.
#[test]
fn torture() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let list: RcuList<Tracked> = RcuList::new_in(&rcu);
    let made = AtomicU32::new(0);
    let next = AtomicU32::new(0);
    common::torture::torture(
        2,
        |run| {
            while run.goes_on() {
                let guard = rcu.read();
                let mut last: Option<&Tracked> = None;
                let mut steps = 0;
                for value in list.iter(&guard) {
                    if let Some(last) = last {
                        assert!(last.label() < value.label(), "one way only");
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
            // A number is drawn under the lock that the push is under, so that they grow.
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
                        // The same place in the order.
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
