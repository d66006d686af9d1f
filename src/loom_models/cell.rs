//! Cells and pointers on a whole domain: no version is freed under a reader, or seen in part.

use super::{Value, check, check_with_fewer, inline_rcu, stopped_rcu};
use crate::sys::thread::wait_for_all;
use crate::{RcuCell, RcuPtr};
use loom::thread;
use std::mem::forget;
use std::sync::Arc;

/// A reader registers beside a writer that takes the old version back.
#[test]
fn loom_models_a_version_is_taken_back() {
    check(|| {
        let rcu = inline_rcu();
        let cell = Arc::new(RcuCell::new_in(&rcu, Value::new(1)));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || cell.with(Value::look))
        };
        drop(cell.swap(Value::new(2)).blocking_wait());
        reader.join().unwrap();
        drop((cell, rcu));
        wait_for_all();
    });
}

/// A version that is left to the domain, beside an owned guard that another thread drops.
#[test]
fn loom_models_a_version_is_left_to_the_domain() {
    check(|| {
        let rcu = inline_rcu();
        let cell = RcuCell::new_in(&rcu, Value::new(1));
        let held = cell.read_owned();
        let reader = thread::spawn(move || held.look());
        cell.store(Value::new(2));
        cell.with(Value::look);
        reader.join().unwrap();
        drop((cell, rcu));
        wait_for_all();
    });
}

/// A writer tries to take the old version, and leaves it to the domain if that is too early.
#[test]
fn loom_models_a_version_is_tried_for() {
    check(|| {
        let rcu = inline_rcu();
        let cell = RcuCell::new_in(&rcu, Value::new(1));
        let held = cell.read_owned();
        let reader = thread::spawn(move || held.look());
        let old = cell.swap(Value::new(2));
        rcu.start_grace_period();
        drop(old.try_take());
        reader.join().unwrap();
        drop((cell, rcu));
        wait_for_all();
    });
}

/// A published version is seen whole. (Nothing is freed: the domain's thread stays stopped.)
#[test]
fn loom_models_a_version_is_seen_whole() {
    check_with_fewer(0, || {
        let cell = Arc::new(RcuCell::new_in(&stopped_rcu(), Value::new(1)));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                cell.with(Value::look);
                forget(cell);
            })
        };
        thread::yield_now();
        forget(cell.swap(Value::new(2)));
        reader.join().unwrap();
        forget(cell);
    });
}

/// Two threads update: neither update is lost, and each thread gets what it replaced.
#[test]
fn loom_models_two_update() {
    check_with_fewer(0, || {
        let cell = Arc::new(RcuCell::new_in(&stopped_rcu(), Value::new(1)));
        let other = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let old = cell.update(|old| Value::new(old.look() + 1));
                forget(cell);
                old
            })
        };
        let ours = cell.update(|old| Value::new(old.look() + 1));
        let theirs = other.join().unwrap();
        let mut all = [ours.look(), theirs.look(), cell.with(Value::look)];
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        forget((cell, ours, theirs));
    });
}

/// A pointer is swapped, read and exchanged.
#[test]
fn loom_models_a_pointer() {
    check_with_fewer(0, || {
        let rcu = stopped_rcu();
        let place = Arc::new(RcuPtr::new_in(&rcu, Some(Box::new(Value::new(1)))));
        let reader = {
            let (rcu, place) = (rcu.clone(), Arc::clone(&place));
            thread::spawn(move || {
                let guard = rcu.read_owned();
                let seen = place.load(&guard);
                seen.expect("not null").look();
                let new = Some(Box::new(Value::new(3)));
                match place.compare_exchange(seen, new, &guard) {
                    Ok(old) => forget(old),
                    Err(lost) => assert_eq!(lost.current.map(Value::look), Some(2)),
                }
                forget((place, rcu));
            })
        };
        thread::yield_now();
        let old = place.swap(Some(Box::new(Value::new(2)))).expect("not null");
        old.look();
        reader.join().unwrap();
        forget((place, old, rcu));
    });
}
