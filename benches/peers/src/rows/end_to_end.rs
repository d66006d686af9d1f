//! A million callbacks, from the first `call` until the last has run.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit, consume};
use crate::common::{inline, timed};
use crate::urcu::{Heads, flavours};
use async_rcu::Rcu;
use std::time::Duration;

const MILLION: u64 = 1_000_000;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "end to end, nothing to free",
        about: "One thread queues a million callbacks of one word; until all have run.",
        unit: Unit::MillionsPerSecond,
        goals: &[Goal::AtLeast(3.0, "liburcu memb")],
        most_rounds: usize::MAX,
        set_up: nothing_to_free,
    },
    Entry {
        name: "end to end, malloc and free",
        about: "One thread allocates and retires a million boxes; until all are freed.",
        unit: Unit::MillionsPerSecond,
        goals: &[Goal::AtLeast(1.5, "liburcu memb")],
        most_rounds: usize::MAX,
        set_up: malloc_and_free,
    },
];

fn rate(took: Duration) -> f64 {
    MILLION as f64 / took.as_secs_f64() / 1e6
}

fn nothing_to_free() -> Vec<Candidate> {
    let ours = |name, rcu: Rcu| {
        Candidate::new(name, move || {
            rate(timed(1, || {
                for word in 0..MILLION {
                    rcu.call(move || consume(word));
                }
                rcu.blocking_drain();
            }))
        })
    };
    let mut all = vec![ours(OURS, Rcu::new()), ours("async-rcu, InlineExecutor", inline())];
    for flavour in flavours() {
        let mut heads = Heads::new(flavour, MILLION);
        all.push(Candidate::new(flavour.name, move || {
            flavour.on_thread(|thread| {
                rate(timed(1, || {
                    thread.call_loop(&mut heads, MILLION);
                    flavour.barrier();
                }))
            })
        }));
    }
    all
}

fn malloc_and_free() -> Vec<Candidate> {
    let ours = |name, rcu: Rcu| {
        Candidate::new(name, move || {
            rate(timed(1, || {
                for word in 0..MILLION {
                    rcu.retire(Box::new([word; 3]));
                }
                rcu.blocking_drain();
            }))
        })
    };
    let mut all = vec![ours(OURS, Rcu::new()), ours("async-rcu, InlineExecutor", inline())];
    for flavour in flavours() {
        all.push(Candidate::new(flavour.name, move || {
            flavour.on_thread(|thread| {
                rate(timed(1, || {
                    thread.retire_loop(MILLION);
                    flavour.barrier();
                }))
            })
        }));
    }
    all
}
