//! Deferring: the cost for the caller.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit, consume};
use crate::common::timed;
use crate::urcu::{Heads, flavours};
use async_rcu::Rcu;
use crossbeam_epoch as epoch;
use std::time::Duration;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "call",
        about: "Queue a callback of one captured word. The wait for the callbacks is not timed.",
        unit: Unit::Nanoseconds,
        goals: &[Goal::AtMost(0.33, "liburcu memb")],
        most_rounds: usize::MAX,
        set_up: call,
    },
    Entry {
        name: "retire",
        about: "Allocate a box and queue its drop. The wait for the drops is not timed.",
        unit: Unit::Nanoseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: retire,
    },
];

/// The number of callbacks between two waits.
const ROUND: u64 = 100_000;

/// Splits `n` into rounds. `work` is timed, `settle` is not.
fn in_rounds(n: u64, mut work: impl FnMut(u64) -> Duration, settle: impl Fn()) -> Duration {
    let (mut left, mut spent) = (n, Duration::ZERO);
    while left > 0 {
        let round = left.min(ROUND);
        spent += work(round);
        settle();
        left -= round;
    }
    spent
}

/// Makes crossbeam-epoch run its deferred functions; each pin collects a few bags.
fn settle_epoch() {
    for _ in 0..ROUND / 64 {
        epoch::pin().flush();
    }
}

fn call() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let mut all = vec![Candidate::looped(OURS, move |n| {
        let work = |round| {
            timed(round, || {
                let word = round;
                rcu.call(move || consume(word));
            })
        };
        in_rounds(n, work, || rcu.blocking_drain())
    })];
    for flavour in flavours() {
        // The heads are allocated before: liburcu's callers provide the memory.
        let mut heads = Heads::new(flavour, ROUND);
        all.push(Candidate::looped(flavour.name, move |n| {
            flavour.on_thread(|thread| {
                let work = |round| timed(1, || thread.call_loop(&mut heads, round));
                in_rounds(n, work, || flavour.barrier())
            })
        }));
    }
    all.push(Candidate::looped("crossbeam-epoch defer", |n| {
        let work = |round| {
            timed(round, || {
                let word = round;
                epoch::pin().defer(move || consume(word));
            })
        };
        in_rounds(n, work, settle_epoch)
    }));
    all.push(Candidate::looped("sdd defer_execute", |n| {
        let work = |round| {
            timed(round, || {
                let word = round;
                sdd::Guard::new().defer_execute(move || consume(word));
            })
        };
        in_rounds(n, work, || {})
    }));
    all
}

fn retire() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let other = rcu.clone();
    let mut all = vec![
        Candidate::looped(OURS, move |n| {
            let work = |round| timed(round, || rcu.retire(rcu.boxed(round)));
            in_rounds(n, work, || rcu.blocking_drain())
        }),
        Candidate::looped("async-rcu, Box::new", move |n| {
            let work = |round| timed(round, || other.retire(Box::new(round)));
            in_rounds(n, work, || other.blocking_drain())
        }),
    ];
    for flavour in flavours() {
        all.push(Candidate::looped(flavour.name, move |n| {
            flavour.on_thread(|thread| {
                let work = |round| timed(1, || thread.retire_loop(round));
                in_rounds(n, work, || flavour.barrier())
            })
        }));
    }
    all.push(Candidate::looped("crossbeam-epoch", |n| {
        let work = |round| {
            timed(round, || {
                let guard = epoch::pin();
                let value = epoch::Owned::new(round).into_shared(&guard);
                // SAFETY: no other thread has the value.
                unsafe { guard.defer_destroy(value) };
            })
        };
        in_rounds(n, work, settle_epoch)
    }));
    let collector = seize::Collector::new();
    all.push(Candidate::looped("seize", move |n| {
        let work = |round| {
            timed(round, || {
                // SAFETY: no other thread has the value, which comes from a box.
                unsafe { collector.retire(Box::into_raw(Box::new(round)), seize::reclaim::boxed) }
            })
        };
        in_rounds(n, work, || {})
    }));
    all.push(Candidate::looped("sdd", |n| {
        let work = |round| timed(round, || drop(sdd::Owned::new(round)));
        in_rounds(n, work, || {})
    }));
    all.push(Candidate::looped("box and drop (nothing deferred)", |n| {
        timed(n, || drop(std::hint::black_box(Box::new(n))))
    }));
    all
}
