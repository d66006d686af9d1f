//! A value that is kept across `.await` or sent to another thread.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Loop, Unit, consume};
use crate::common::{at_once, timed};
use arc_swap::ArcSwap;
use async_rcu::{Rcu, RcuCell};
use parking_lot::RwLock;
use seize::Guard as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "owned read",
        about: "Get the value in a form that is Send, read it, and drop the form; one thread.",
        unit: Unit::Nanoseconds,
        goals: &[Goal::AtMost(1.3, "async-rcu, Rcu::read"), Goal::AtMost(0.25, "Arc clone")],
        most_rounds: usize::MAX,
        set_up: one_thread,
    },
    Entry {
        name: "owned read, 2 threads",
        about: "The same on two threads at once; the time of one read of one thread.",
        unit: Unit::Nanoseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: two_threads,
    },
    Entry {
        name: "refcount read",
        about: "Get an Arc of the current version, which may be kept for ever, and drop it.",
        unit: Unit::Nanoseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: counted,
    },
];

fn kept() -> Vec<(&'static str, Loop)> {
    let rcu = Rcu::new();
    let cell = Arc::new(RcuCell::new_in(&rcu, 1_u64));
    let (same, again) = (Arc::clone(&cell), Arc::clone(&cell));
    let (copy, borrowed) = (rcu.clone(), rcu);
    let arc = Arc::new(1_u64);
    let swap = ArcSwap::from_pointee(1_u64);
    let lock = RwLock::new(Arc::new(1_u64));
    let collector = seize::Collector::new();
    let pointer = AtomicPtr::new(Box::into_raw(Box::new(1_u64)));
    vec![
        (
            OURS,
            Arc::new(move |n| {
                timed(n, || {
                    let guard = copy.read_owned();
                    consume(*cell.load(&guard));
                })
            }),
        ),
        (
            "async-rcu, RcuCell::read_owned",
            Arc::new(move |n| timed(n, || consume(*same.read_owned()))),
        ),
        (
            "async-rcu, Rcu::read",
            Arc::new(move |n| {
                timed(n, || {
                    let guard = borrowed.read();
                    consume(*again.load(&guard));
                })
            }),
        ),
        ("Arc clone", Arc::new(move |n| timed(n, || consume(*Arc::clone(&arc))))),
        ("arc-swap load_full", Arc::new(move |n| timed(n, || consume(*swap.load_full())))),
        (
            "parking_lot RwLock, Arc clone",
            Arc::new(move |n| {
                timed(n, || {
                    let arc = Arc::clone(&lock.read());
                    consume(*arc);
                })
            }),
        ),
        (
            "seize enter_owned",
            Arc::new(move |n| {
                timed(n, || {
                    let guard = collector.enter_owned();
                    // SAFETY: never null, and protected by the guard.
                    consume(unsafe { *guard.protect(&pointer, Ordering::Acquire) });
                })
            }),
        ),
    ]
}

fn one_thread() -> Vec<Candidate> {
    let looped = |(name, run): (_, Loop)| Candidate::looped(name, move |n| run(n));
    kept().into_iter().map(looped).collect()
}

fn two_threads() -> Vec<Candidate> {
    let looped = |(name, run): (_, Loop)| Candidate::looped(name, move |n| at_once(2, n, &*run));
    kept().into_iter().map(looped).collect()
}

fn counted() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, Arc::new(1_u64));
    let swap = ArcSwap::from_pointee(1_u64);
    let std_lock = std::sync::RwLock::new(Arc::new(1_u64));
    let lock = RwLock::new(Arc::new(1_u64));
    let arc = Arc::new(1_u64);
    vec![
        Candidate::looped("async-rcu, load_full", move |n| timed(n, || consume(*cell.load_full()))),
        Candidate::looped("arc-swap load_full", move |n| timed(n, || consume(*swap.load_full()))),
        Candidate::looped("std RwLock", move |n| {
            timed(n, || {
                let arc = Arc::clone(&std_lock.read().expect("no poison"));
                consume(*arc);
            })
        }),
        Candidate::looped("parking_lot RwLock", move |n| {
            timed(n, || {
                let arc = Arc::clone(&lock.read());
                consume(*arc);
            })
        }),
        Candidate::looped("Arc clone (nothing to look up)", move |n| {
            timed(n, || consume(*Arc::clone(&arc)))
        }),
    ]
}
