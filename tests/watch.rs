//! A watcher of a cell sees the latest version and never a freed one. The cell and the watcher may
//! end in any order.

mod common;

use async_rcu::{
    Rcu, RcuCell,
    cell::{OwnedRcuRef, Watcher},
};
use common::{Drops, settle, within};
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use tokio_test::{assert_pending, assert_ready, task};

#[test]
fn a_watcher_begins_with_what_comes_after_it() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    cell.store(2);
    let mut watcher = cell.subscribe();
    assert!(watcher.changed().now_or_never().is_none());
    assert_eq!(*watcher.latest().unwrap(), 2);
    cell.store(3);
    assert_eq!(*watcher.changed().now_or_never().unwrap().unwrap(), 3);
    assert!(watcher.changed().now_or_never().is_none());
}

#[test]
fn every_kind_of_replacement_is_told() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let mut watcher = cell.subscribe();
    let mut told = || *watcher.changed().now_or_never().unwrap().unwrap();
    cell.store(1);
    assert_eq!(told(), 1);
    drop(cell.swap(2));
    assert_eq!(told(), 2);
    drop(cell.update(|n| n + 1));
    assert_eq!(told(), 3);
    drop(cell.try_update(|n| Ok::<_, ()>(n + 1)));
    assert_eq!(told(), 4);
    assert!(cell.try_update(|_| Err(())).is_err());
    assert!(watcher.changed().now_or_never().is_none());
}

/// All values without a size have the same address.
#[test]
fn a_cell_of_nothing_tells_too() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, ());
    let mut watcher = cell.subscribe();
    assert!(watcher.changed().now_or_never().is_none());
    let mut changed = task::spawn(watcher.changed());
    assert_pending!(changed.poll());
    let mut other = cell.subscribe();
    assert!(!changed.is_woken(), "woken without a new version");
    cell.store(());
    assert!(changed.is_woken());
    assert!(assert_ready!(changed.poll()).is_some());
    drop(changed);
    assert!(other.changed().now_or_never().flatten().is_some());
    assert!(other.changed().now_or_never().is_none());
    drop(cell);
    assert!(settle(watcher.next()).is_none());
}

#[test]
fn a_waiting_watcher_is_woken_once_and_gets_the_latest() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let mut watcher = cell.subscribe();
    let mut changed = task::spawn(watcher.changed());
    assert_pending!(changed.poll());
    assert_pending!(changed.poll());
    cell.store(1);
    assert!(changed.is_woken());
    cell.store(2);
    assert_eq!(*assert_ready!(changed.poll()).unwrap(), 2);
}

#[test]
fn a_dropped_wait_takes_nothing() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let mut watcher = cell.subscribe();
    let mut changed = task::spawn(watcher.changed());
    assert_pending!(changed.poll());
    cell.store(1);
    drop(changed);
    assert_eq!(*watcher.changed().now_or_never().unwrap().unwrap(), 1);
}

#[test]
fn the_end_of_the_cell_is_told_however_it_goes() {
    let rcu = Rcu::new();
    let drop_it = |cell: RcuCell<i32>| drop(cell);
    let retire_it = |cell: RcuCell<i32>| drop(cell.into_retired());
    for (end, last) in [(&drop_it as &dyn Fn(RcuCell<i32>), Some(1)), (&retire_it, None)] {
        let cell = RcuCell::new_in(&rcu, 0);
        let mut watchers: Vec<_> = (0..3).map(|_| cell.subscribe()).collect();
        let mut waiting = task::spawn(watchers[0].changed());
        assert_pending!(waiting.poll());
        cell.store(1);
        assert!(assert_ready!(waiting.poll()).is_some());
        drop(waiting);
        let mut waiting = task::spawn(watchers[0].changed());
        assert_pending!(waiting.poll());
        end(cell);
        assert!(waiting.is_woken());
        assert!(assert_ready!(waiting.poll()).is_none());
        drop(waiting);
        // The first watcher has received the last version, and the others have not.
        for (watcher, last) in watchers.iter_mut().zip([None, last, last]) {
            assert_eq!(watcher.latest().as_deref().copied(), last);
            assert!(watcher.latest().is_none());
            assert!(settle(watcher.next()).is_none());
            assert!(settle(watcher.next()).is_none(), "a second `next` after the end");
        }
    }
}

#[test]
fn the_last_version_is_received_after_the_cell_is_dropped_and_freed_after_the_last_watcher() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    let [mut one, mut two, three] = [(); 3].map(|()| cell.subscribe());
    cell.store(drops.value(1));
    cell.store(drops.value(2));
    drop(cell);
    rcu.blocking_drain();
    assert_eq!(drops.count(), 2);
    let last = settle(one.changed()).unwrap();
    assert_eq!(last.label(), 2);
    assert!(settle(one.changed()).is_none());
    assert_eq!(settle(two.next()).unwrap().label(), 2);
    drop(two);
    drop(three);
    // The reference keeps the last version alive.
    assert_eq!((last.label(), drops.count()), (2, 2));
    drop(last);
    drops.reach(3);

    // No watcher is left that could receive the version.
    let cell = RcuCell::new_in(&rcu, drops.value(3));
    drop(cell.subscribe());
    drop(cell);
    drops.reach(4);
}

#[test]
fn a_dropped_wait_keeps_no_waker() {
    struct Idle;
    impl Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let mut watcher = cell.subscribe();
    let idle = Arc::new(Idle);
    let waker = Waker::from(Arc::clone(&idle));
    assert!(watcher.changed().poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&idle), 1);
}

#[test]
fn the_last_watcher_may_go_and_another_come() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    drop(cell.subscribe());
    // No watcher looks, so the slot becomes stale.
    (1..10).for_each(|label| cell.store(drops.value(label)));
    rcu.blocking_drain();
    drops.reach(9);
    let mut watcher = cell.subscribe();
    assert_eq!(watcher.latest().unwrap().label(), 9);
    cell.store(drops.value(10));
    assert_eq!(watcher.changed().now_or_never().unwrap().unwrap().label(), 10);
}

#[test]
fn a_version_that_was_given_out_stays_as_long_as_it_is_held() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    let mut watcher = cell.subscribe();
    cell.store(drops.value(1));
    let held: OwnedRcuRef<_> = watcher.changed().now_or_never().unwrap().unwrap();
    cell.store(drops.value(2));
    drop(cell);
    let sync = thread::spawn({
        let rcu = rcu.clone();
        move || rcu.blocking_drain()
    });
    assert_eq!(held.label(), 1);
    assert!(drops.count() <= 1);
    drop(held);
    sync.join().unwrap();
    drops.reach(2);
    assert_eq!(watcher.latest().unwrap().label(), 2);
    drops.reach(3);
}

#[test]
fn a_static_cell_is_watched() {
    static CELL: RcuCell<Option<u32>> = RcuCell::none();
    let mut watcher = CELL.subscribe();
    assert_eq!(*watcher.latest().unwrap(), None);
    CELL.store(Some(1));
    assert_eq!(*watcher.changed().now_or_never().unwrap().unwrap(), Some(1));
    CELL.store(None);
    assert_eq!(*watcher.changed().now_or_never().unwrap().unwrap(), None);
}

/// If a waker panics, the other watchers are still woken, and the writer continues.
#[test]
fn a_waker_that_panics_is_survived() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let (mut first, mut second) = (cell.subscribe(), cell.subscribe());
    let waker = Waker::from(Arc::new(Panics));
    let poll = first.poll_next_unpin(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    let mut changed = task::spawn(second.changed());
    assert_pending!(changed.poll());
    cell.store(1);
    assert!(changed.is_woken());
    drop(changed);
    assert_eq!(*second.latest().unwrap(), 1);
}

/// A waker that reads, replaces and watches the cell that wakes it.
#[test]
fn a_waker_may_use_the_cell() {
    struct Uses {
        cell: Arc<RcuCell<u32>>,
        times: AtomicU32,
    }
    impl Wake for Uses {
        fn wake(self: Arc<Self>) {
            if self.times.fetch_add(1, Ordering::Relaxed) == 0 {
                let mut watcher = self.cell.subscribe();
                self.cell.store(7);
                assert_eq!(*watcher.latest().unwrap(), 7);
            }
        }
    }
    let cell = Arc::new(RcuCell::new_in(&Rcu::new(), 0));
    let uses = Arc::new(Uses { cell: Arc::clone(&cell), times: AtomicU32::new(0) });
    let waker = Waker::from(Arc::clone(&uses));
    let mut watcher = cell.subscribe();
    let mut context = Context::from_waker(&waker);
    assert!(watcher.poll_next_unpin(&mut context).is_pending());
    cell.store(1);
    assert_eq!(uses.times.load(Ordering::Relaxed), 1);
    assert!(matches!(watcher.poll_next_unpin(&mut context), Poll::Ready(Some(v)) if *v == 7));
}

/// Two writers run against watchers that subscribe and end, one of them slow. A watcher sees
/// versions in increasing order, and the last one. No held version is freed, and all are freed in
/// the end.
#[test]
fn under_load_versions_only_go_up_and_the_last_one_arrives() {
    const VERSIONS: u32 = 20_000;
    let (rcu, drops) = (Rcu::new(), Drops::default());
    let made = Arc::new(AtomicU32::new(0));
    within({
        let (rcu, drops, made) = (rcu.clone(), drops.clone(), Arc::clone(&made));
        move || {
            let cell = Arc::new(RcuCell::new_in(&rcu, drops.value(0)));
            let over = Arc::new(AtomicBool::new(false));
            let follow = |mut watcher: Watcher<_>| {
                move || {
                    let mut last = 0;
                    while last < VERSIONS {
                        let value: OwnedRcuRef<common::Tracked> =
                            futures::executor::block_on(watcher.changed()).expect("a version");
                        let label = value.label();
                        assert!(label > last, "{label} after {last}");
                        thread::yield_now();
                        assert_eq!(value.label(), label);
                        last = label;
                    }
                }
            };
            let followers: Vec<_> =
                (0..2).map(|_| thread::spawn(follow(cell.subscribe()))).collect();
            let comes_and_goes = thread::spawn({
                let (cell, over) = (Arc::clone(&cell), Arc::clone(&over));
                move || {
                    while !over.load(Ordering::Relaxed) {
                        let mut watcher = cell.subscribe();
                        let at_first = watcher.latest().unwrap().label();
                        let _ = watcher.changed().now_or_never();
                        assert!(watcher.latest().unwrap().label() >= at_first);
                    }
                }
            });
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let (cell, drops, made) = (Arc::clone(&cell), drops.clone(), Arc::clone(&made));
                    thread::spawn(move || {
                        loop {
                            let mut reached = 0;
                            drop(cell.update(|old| {
                                reached = old.label() + 1;
                                made.fetch_add(1, Ordering::Relaxed);
                                drops.value(reached)
                            }));
                            if reached >= VERSIONS {
                                return;
                            }
                        }
                    })
                })
                .collect();
            for thread in writers.into_iter().chain(followers) {
                thread.join().unwrap();
            }
            over.store(true, Ordering::Relaxed);
            comes_and_goes.join().unwrap();
        }
    });
    within(move || rcu.blocking_drain());
    drops.reach(made.load(Ordering::Relaxed) as usize + 1);
}
