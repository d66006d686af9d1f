//! Cells and pointers on a whole domain: no version is freed under a reader, or seen in part.

use super::*;
use crate::RcuPtr;

/// Makes a cell, and starts a thread that looks at its version under an owned guard.
fn held_cell(rcu: &Rcu) -> (RcuCell<Value>, JoinHandle<u32>) {
    let cell = RcuCell::new_in(rcu, Value::new(1));
    let held = cell.read_owned();
    (cell, thread::spawn(move || held.look()))
}

/// A reader registers beside a writer that takes the old version back.
#[test]
fn loom_models_a_version_is_taken_back() {
    check(|rcu| {
        let cell = Arc::new(RcuCell::new_in(&rcu, Value::new(1)));
        let reader = beside(&cell, |cell| cell.with(Value::look));
        drop(cell.swap(Value::new(2)).blocking_wait());
        reader.join().unwrap();
    });
}

/// A version that is left to the domain, beside an owned guard that another thread drops.
#[test]
fn loom_models_a_version_is_left_to_the_domain() {
    check(|rcu| {
        let (cell, reader) = held_cell(&rcu);
        cell.store(Value::new(2));
        cell.with(Value::look);
        reader.join().unwrap();
    });
}

/// A writer tries to take the old version, and leaves it to the domain if that is too early.
#[test]
fn loom_models_a_version_is_tried_for() {
    check(|rcu| {
        let (cell, reader) = held_cell(&rcu);
        let old = cell.swap(Value::new(2));
        rcu.start_grace_period();
        drop(old.try_take());
        reader.join().unwrap();
    });
}

/// A published version is seen whole.
#[test]
fn loom_models_a_version_is_seen_whole() {
    check_with_fewer(0, || {
        let cell = stopped_cell();
        let reader = thread::spawn(|| cell.with(Value::look));
        thread::yield_now();
        forget(cell.swap(Value::new(2)));
        reader.join().unwrap();
    });
}

/// Two threads update: neither update is lost, and each thread gets what it replaced.
#[test]
fn loom_models_two_update() {
    check_with_fewer(0, || {
        let cell = stopped_cell();
        let update = || cell.update(|old| Value::new(old.look() + 1));
        let other = thread::spawn(update);
        let ours = update();
        let theirs = other.join().unwrap();
        let mut all = [ours.look(), theirs.look(), cell.with(Value::look)];
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        forget((ours, theirs));
    });
}

/// A pointer is swapped, read and exchanged.
#[test]
fn loom_models_a_pointer() {
    check_with_fewer(0, || {
        let rcu = leak(stopped_rcu());
        let place = leak(RcuPtr::new_in(rcu, Some(Box::new(Value::new(1)))));
        let reader = thread::spawn(|| {
            let guard = rcu.read_owned();
            let seen = place.load(&guard);
            seen.expect("not null").look();
            let new = Some(Box::new(Value::new(3)));
            match place.compare_exchange(seen, new, &guard) {
                Ok(old) => forget(old),
                Err(lost) => assert_eq!(lost.current.map(Value::look), Some(2)),
            }
        });
        thread::yield_now();
        let old = place.swap(Some(Box::new(Value::new(2)))).expect("not null");
        old.look();
        reader.join().unwrap();
        forget(old);
    });
}
