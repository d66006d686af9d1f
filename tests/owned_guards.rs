//! Owned guards may be held across `.await` and dropped on any thread, and thousands may be open at
//! once. Each blocks grace periods by itself.

mod common;

use async_rcu::{OwnedReadGuard, Rcu, RcuCell};
use common::{Drops, HANG_GUARD, Probe, elapses, started, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::task::yield_now;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owned_guard_is_held_across_await_while_versions_come_and_go() {
    const VERSIONS: u32 = 200;
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = Arc::new(RcuCell::new_in(&rcu, drops.value(0)));
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (cell, done) = (Arc::clone(&cell), Arc::clone(&done));
            tokio::spawn(async move {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let guard = cell.rcu().read_owned();
                    let value = cell.load(&guard);
                    let label = value.label();
                    yield_now().await;
                    assert_eq!(value.label(), label);
                    assert!(newest <= label, "a load returned an older version");
                    newest = label;
                    // Loads under one guard may return different versions, and the guard protects
                    // all of them.
                    let later = cell.load(&guard);
                    yield_now().await;
                    assert!((label..=VERSIONS).contains(&later.label()));
                    assert_eq!(value.label(), label);
                }
            })
        })
        .collect();
    for label in 1..=VERSIONS {
        cell.store(drops.value(label));
        yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        tokio::time::timeout(HANG_GUARD, reader).await.unwrap().unwrap();
    }
    tokio::time::timeout(HANG_GUARD, rcu.drain()).await.unwrap();
    assert_eq!(drops.count(), VERSIONS as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_aborted_ends_its_section() {
    let rcu = Rcu::new();
    let probe = Probe::new(&rcu);
    let (holds, held) = tokio::sync::oneshot::channel();
    let handle = rcu.clone();
    let task = tokio::spawn(async move {
        let _guard = handle.read_owned();
        holds.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    held.await.unwrap();
    let gp = probe.held_up();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    elapses(&rcu, gp);
}

#[test]
fn an_owned_guard_is_made_used_and_dropped_on_different_threads() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    thread::scope(|scope| {
        let guard = scope.spawn(|| rcu.read_owned()).join().unwrap();
        let guard = scope
            .spawn(|| {
                assert_eq!(cell.load(&guard).label(), 1);
                guard
            })
            .join()
            .unwrap();
        cell.store(drops.value(2));
        let gp = probe.held_up();
        assert_eq!(drops.count(), 0);
        scope.spawn(move || drop(guard)).join().unwrap();
        elapses(&rcu, gp);
    });
    drops.reach(1);
}

#[test]
fn an_owned_guard_is_shared_by_threads() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let guard = rcu.read_owned();
    let old = cell.load(&guard);
    cell.store(drops.value(2));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                assert_eq!(old.label(), 1);
                assert_eq!(cell.load(&guard).label(), 2);
            });
        }
    });
    drop(guard);
    drops.reach(1);
}

#[test]
fn thousands_are_held_at_once_and_counted() {
    const HELD: usize = 5000;
    let rcu = Rcu::new();
    let probe = Probe::new(&rcu);
    let mut guards: Vec<_> = (0..HELD).map(|_| rcu.read_owned()).collect();
    assert_eq!(rcu.stats().owned_guards, HELD + 1, "the guards and the probe's");
    // One guard in thirteen stays, spread over all blocks.
    let mut i = 0;
    guards.retain(|_| {
        i += 1;
        i % 13 == 0
    });
    assert_eq!(rcu.stats().owned_guards, HELD / 13 + 1);
    // New guards use the freed words again, and only those.
    let again: Vec<_> = (0..HELD).map(|_| rcu.read_owned()).collect();
    assert_eq!(rcu.stats().owned_guards, HELD / 13 + HELD + 1);
    drop(again);
    let last = guards.pop();
    drop(guards);
    let gp = probe.held_up();
    assert_eq!(rcu.stats().owned_guards, 1);
    drop(last);
    elapses(&rcu, gp);
    assert_eq!(rcu.stats().owned_guards, 0);
}

#[test]
fn each_of_thousands_holds_its_grace_period_up_by_itself() {
    const HELD: usize = 1000;
    let rcu = Rcu::new();
    for kept in [0, 1, 30, 31, 32, HELD / 2, HELD - 1] {
        let probe = Probe::new(&rcu);
        let mut guards: Vec<_> = (0..HELD).map(|_| Some(rcu.read_owned())).collect();
        let kept = guards[kept].take();
        drop(guards);
        // After this many reads the thread has taken its idle words out of scans.
        (0..2000).for_each(|_| drop(rcu.read_owned()));
        let gp = probe.held_up();
        drop(kept);
        elapses(&rcu, gp);
    }
}

#[test]
fn a_grace_period_waits_for_exactly_those_that_existed() {
    let rcu = Rcu::new();
    let mut guards = Vec::new();
    let mut periods = Vec::new();
    for _ in 0..20 {
        guards.push(rcu.read_owned());
        periods.push(started(&rcu));
    }
    // The oldest guard is dropped. Its grace period ends, although all the others are open.
    for guard in guards {
        let gp = periods.remove(0);
        assert!(!rcu.has_elapsed(gp));
        drop(guard);
        elapses(&rcu, gp);
        assert!(periods.iter().all(|&later| !rcu.has_elapsed(later)));
    }
}

#[test]
fn refresh_lets_grace_periods_pass_and_goes_on_protecting() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let mut guards: Vec<_> = (0..100).map(|_| rcu.read_owned()).collect();
    cell.store(drops.value(2));
    let gp = started(&rcu);
    assert!(!rcu.has_elapsed(gp));
    let mut last = guards.pop().unwrap();
    guards.iter_mut().for_each(OwnedReadGuard::refresh);
    assert!(!rcu.has_elapsed(gp));
    assert_eq!(drops.count(), 0);
    // The guard is dropped on another thread.
    let last = thread::spawn(move || {
        last.refresh();
        last
    })
    .join()
    .unwrap();
    elapses(&rcu, gp);
    drops.reach(1);
    assert_eq!(rcu.stats().owned_guards, 100);

    let probe = Probe::new(&rcu);
    guards.iter_mut().for_each(OwnedReadGuard::refresh);
    drop(last);
    assert_eq!(cell.load(&guards[0]).label(), 2);
    cell.store(drops.value(3));
    let gp = probe.held_up();
    assert_eq!(drops.count(), 1);
    drop(guards);
    elapses(&rcu, gp);
    drops.reach(2);
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_thread_that_only_refreshes_never_stops_a_writer() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // The readers end even if this thread panics.
        let _stops = Stops(&stop);
        scope.spawn(|| {
            let mut guard = rcu.read_owned();
            while !stop.load(Ordering::Relaxed) {
                cell.load(&guard).label();
                guard.refresh();
            }
        });
        scope.spawn(|| {
            let mut guard = rcu.read();
            while !stop.load(Ordering::Relaxed) {
                cell.load(&guard).label();
                assert!(guard.refresh());
            }
        });
        until("the registration of both readers", || rcu.stats().threads >= 2);
        for label in 1..=50 {
            cell.store(drops.value(label));
            elapses(&rcu, rcu.start_grace_period());
        }
    });
    drop(cell);
    drops.reach(51);
}
