//! Many at once: waiters, threads that have read, guards that are held.

use super::{OURS, tokio_rcu};
use crate::bench::{Candidate, Entry, Goal, Unit, median, microseconds, timed};
use crate::urcu::{self, flavours};
use async_rcu::{OwnedReadGuard, Rcu};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const WAITERS: usize = 10_000;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "10,000 waiters: grace periods",
        about: "10,000 tasks await synchronize() at once: how many grace periods were started.",
        unit: Unit::Count,
        goals: &[Goal::Below(3.0)],
        most_rounds: usize::MAX,
        set_up: || waiters(false),
    },
    Entry {
        name: "10,000 waiters: time",
        about: "The same: until the last of the tasks has ended, for all of them.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: || waiters(true),
    },
    Entry {
        name: "scan, 1,000 held guards",
        about: "From the leave of the one guard that holds a grace period up to its end, over so many younger guards that are held. p50.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: 5,
        set_up: || held(1_000),
    },
    Entry {
        name: "scan, 1,000,000 held guards",
        about: "The same over a thousand times as many.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(5_000.0)],
        most_rounds: 5,
        set_up: || held(1_000_000),
    },
    Entry {
        name: "synchronize, 1,000 threads",
        about: "A blocking wait, beside so many parked threads that have read once.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: || parked(1_000),
    },
    Entry {
        name: "synchronize, 10,000 threads",
        about: "The same beside ten times as many.",
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
                let tasks: Vec<_> = (0..WAITERS)
                    .map(|_| tokio::spawn(rcu.synchronize()))
                    .collect();
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
    let mut all = vec![
        ours("async-rcu, current_thread", false),
        ours("async-rcu, 1 worker", true),
    ];
    if time {
        all.extend(tokio_rcu::synchronize_at_once(WAITERS));
    }
    all
}

/// Never ended: else a later domain might get its records, with as many to look at.
fn domain_of_its_own() -> Rcu {
    let rcu = Rcu::new();
    std::mem::forget(rcu.clone());
    rcu
}

/// Threads that have read once, of every candidate, and sleep until this is dropped.
struct Parked {
    over: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Parked {
    fn new(many: usize, rcu: &Rcu) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let (sender, receiver) = channel();
        let mut threads = Vec::new();
        for _ in 0..many {
            let (over, rcu, sender) = (Arc::clone(&over), rcu.clone(), sender.clone());
            let body = move || {
                drop(rcu.read());
                Self::register(&urcu::flavours(), &mut || Self::park(&over, &sender));
            };
            // Small: there are many.
            match thread::Builder::new().stack_size(64 << 10).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    eprintln!("only {} threads could be started: {error}", threads.len());
                    break;
                }
            }
        }
        for _ in &threads {
            receiver.recv().expect("a thread registers");
        }
        Self { over, threads }
    }

    fn register(flavours: &[urcu::Flavour], then: &mut dyn FnMut()) {
        match flavours.split_first() {
            Some((flavour, rest)) => flavour.on_thread(|thread| {
                // bp registers at the first section.
                thread.in_section(|| {});
                Self::register(rest, then);
            }),
            None => then(),
        }
    }

    fn park(over: &(Mutex<bool>, Condvar), ready: &Sender<()>) {
        let _ = ready.send(());
        let (flag, changed) = over;
        let flag = flag.lock().expect("no poison");
        drop(changed.wait_while(flag, |over| !*over).expect("no poison"));
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        *self.over.0.lock().expect("no poison") = true;
        self.over.1.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn parked(many: usize) -> Vec<Candidate> {
    let rcu = domain_of_its_own();
    // The same threads are registered with all: none is at an advantage.
    let parked = Rc::new(Parked::new(many, &rcu));
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
    all.into_iter()
        .map(|mut c| Candidate::new(c.name, move || (c.measure)() / 1e3))
        .collect()
}

/// A guard that began when grace period g had started does not hold g up. So: one guard, then g, then the many, and then
/// the first one leaves. The scan that finds g over has looked at all of them.
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
                    // Lets it be polled, and the grace-period thread go to sleep.
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
