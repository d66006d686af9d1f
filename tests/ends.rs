//! The end of a domain waits for no timer, whatever structures were in it. The batch interval is an
//! hour here, so that a test which waits for it hangs.

mod common;

use async_rcu::{Rcu, RcuCell, RcuList, RcuMap, RcuPtr, RcuVec, cell::RetireOnDrop};
use common::HANG_GUARD;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

type Value = Box<dyn std::any::Any + Send + Sync>;

/// Tells its drop.
struct Sign(Sender<()>);

impl Drop for Sign {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

const KINDS: [fn(&Rcu, Value) -> Value; 6] = [
    |rcu, value| Box::new(RcuCell::new_in(rcu, value)),
    |rcu, value| Box::new(RcuPtr::new_in(rcu, Some(Box::new(value)))),
    |rcu, value| {
        let list = RcuList::new_in(rcu);
        list.push_back(value);
        Box::new(list)
    },
    |rcu, value| {
        let map = RcuMap::new_in(rcu);
        map.insert("key", value);
        Box::new(map)
    },
    |rcu, value| {
        let array = RcuVec::new_in(rcu);
        array.push(value);
        Box::new(array)
    },
    |rcu, value| Box::new(RetireOnDrop::new_in(rcu, value)),
];

/// Makes a domain whose next callbacks would wait for the batch interval, and `depth` structures in
/// each other. The structure at depth `n` is of the kind `kind(n)`.
fn nested(depth: usize, kind: impl Fn(usize) -> usize) -> (Rcu, Value, mpsc::Receiver<()>) {
    let rcu = Rcu::builder().batch_interval(Duration::from_secs(3600)).build().unwrap();
    rcu.call(|| ());
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    let (tell, told) = mpsc::channel();
    let mut value: Value = Box::new(Sign(tell));
    for at in 0..depth {
        value = KINDS[kind(at) % KINDS.len()](&rcu, value);
    }
    (rcu, value, told)
}

#[test]
fn nested_structures_end_without_a_timer() {
    for depth in [1, 2, 4, 8] {
        for kind in 0..KINDS.len() {
            for structure_first in [false, true] {
                let ways: [&dyn Fn(usize) -> usize; 2] = [&|_| kind, &|at| kind + at];
                for way in ways {
                    let (rcu, value, told) = nested(depth, way);
                    if structure_first {
                        drop(value);
                        drop(rcu);
                    } else {
                        drop(rcu);
                        drop(value);
                    }
                    let end = told.recv_timeout(HANG_GUARD);
                    assert!(end.is_ok(), "kind {kind}, depth {depth}, {structure_first}");
                }
            }
        }
    }
}

#[test]
fn a_structure_that_is_used_keeps_the_batch_interval() {
    let (rcu, value, _told) = nested(1, |_| 0);
    let cell = RcuCell::new_in(&rcu, 0);
    drop((rcu, value));
    cell.rcu().blocking_drain_timeout(HANG_GUARD).unwrap();
    let grace_periods = cell.rcu().stats().grace_periods;
    for n in 0..100 {
        cell.store(n);
    }
    std::thread::sleep(Duration::from_millis(20));
    let stats = cell.rcu().stats();
    assert_eq!((stats.grace_periods, stats.finished), (grace_periods, 2));
    // A clone of a structure's handle is a user's handle.
    let rcu = cell.rcu().clone();
    drop(cell);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
}
