//! Many at once: waiters, registered threads, held guards.

use super::{OURS, tokio_rcu};
use crate::bench::{Candidate, Entry, Goal, Unit, median, microseconds};
use crate::common::{Parked, domain_of_its_own, timed};
use crate::urcu::{self, flavours};
use async_rcu::{OwnedReadGuard, Rcu};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const WAITERS: usize = 10_000;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "10,000 waiters: grace periods",
        about: "10,000 tasks await synchronize() at once: the number of grace periods that start.",
        unit: Unit::Count,
        goals: &[Goal::Below(3.0)],
        most_rounds: usize::MAX,
        set_up: || waiters(false),
    },
    Entry {
        name: "10,000 waiters: time",
        about: "The same: the time until the last task has ended.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: || waiters(true),
    },
    Entry {
        name: "scan, 1,000 held guards",
        about: "From the end of the oldest section, which blocks a grace period, to the end of the \
                grace period, while 1,000 younger guards are held. p50.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: 5,
        set_up: || held(1_000),
    },
    Entry {
        name: "scan, 1,000,000 held guards",
        about: "The same with 1,000,000 guards.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(5_000.0)],
        most_rounds: 5,
        set_up: || held(1_000_000),
    },
    Entry {
        name: "synchronize, 1,000 threads",
        about: "A blocking wait beside 1,000 parked threads that have read once.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: || parked(1_000),
    },
    Entry {
        name: "synchronize, 10,000 threads",
        about: "The same beside 10,000 threads.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(100.0)],
        most_rounds: usize::MAX,
        set_up: || parked(10_000),
    },
];

fn runtime(multi: bool) -> Runtime {
    match multi {
        true => Builder::new_multi_thread().worker_threads(1).build(),
        false => Builder::new_current_thread().build(),
    }
    .expect("a runtime")
}

fn waiters(time: bool) -> Vec<Candidate> {
    let ours = |name: &str, multi| {
        let (rcu, runtime) = (Rcu::new(), runtime(multi));
        Candidate::new(name, move || {
            let before = rcu.stats().grace_periods;
            let took = runtime.block_on(async {
                let start = Instant::now();
                let tasks: Vec<_> = (0..WAITERS).map(|_| tokio::spawn(rcu.synchronize())).collect();
                for task in tasks {
                    task.await.expect("a waiting task");
                }
                start.elapsed()
            });
            match time {
                true => microseconds(took),
                false => (rcu.stats().grace_periods - before) as f64,
            }
        })
    };
    let mut all = vec![ours("async-rcu, current_thread", false), ours("async-rcu, 1 worker", true)];
    if time {
        all.extend(tokio_rcu::synchronize_at_once(WAITERS));
    }
    all
}

/// Starts threads that are registered with every candidate and sleep.
fn park(many: usize, rcu: &Rcu) -> Parked {
    let rcu = rcu.clone();
    Parked::new(many, move |then| {
        drop(rcu.read());
        register(&urcu::flavours(), then);
    })
}

/// Calls `then` while the thread is registered with all these flavours.
fn register(flavours: &[urcu::Flavour], then: &mut dyn FnMut()) {
    match flavours.split_first() {
        Some((flavour, rest)) => flavour.on_thread(|thread| {
            // bp registers a thread at its first section.
            thread.in_section(|| {});
            register(rest, then);
        }),
        None => then(),
    }
}

fn parked(many: usize) -> Vec<Candidate> {
    let rcu = domain_of_its_own();
    // The same threads are registered with all candidates, so that no candidate has an advantage.
    let parked = Rc::new(park(many, &rcu));
    let kept = Rc::clone(&parked);
    let mut all = vec![Candidate::looped(OURS, move |n| {
        let _kept = &kept;
        timed(n, || rcu.blocking_synchronize())
    })];
    for flavour in flavours() {
        let kept = Rc::clone(&parked);
        all.push(Candidate::looped(flavour.name, move |n| {
            let _kept = &kept;
            flavour.on_thread(|thread| timed(n, || thread.synchronize()))
        }));
    }
    all.into_iter().map(|mut c| Candidate::new(c.name, move || (c.measure)() / 1e3)).collect()
}

/// Measures the scan that finds that a grace period is over, among many younger guards. A guard
/// that began after the start of a grace period does not hold up the grace period. So one guard
/// begins, a grace period starts, the many guards begin, and then the first guard is dropped.
fn held(many: usize) -> Vec<Candidate> {
    let rcu = domain_of_its_own();
    let runtime = runtime(false);
    vec![Candidate::new(OURS, move || {
        let samples: Vec<f64> = (0..11)
            .map(|_| {
                let first = rcu.read_owned();
                let started = rcu.stats().grace_periods;
                let gp = rcu.start_grace_period();
                while rcu.stats().grace_periods == started {
                    thread::sleep(Duration::from_micros(50));
                }
                let held: Vec<OwnedReadGuard> = (0..many).map(|_| rcu.read_owned()).collect();
                let took = runtime.block_on(async {
                    let waiting = tokio::spawn(rcu.wait_for(gp));
                    // Lets the task be polled and the grace-period thread fall asleep.
                    tokio::task::yield_now().await;
                    thread::sleep(Duration::from_millis(5));
                    let start = Instant::now();
                    drop(first);
                    waiting.await.expect("the waiting task");
                    start.elapsed()
                });
                drop(held);
                microseconds(took)
            })
            .collect();
        median(&samples)
    })]
}
