//! Waits: for one callback, for a grace period, for all queued callbacks.

use super::{OURS, tokio_rcu};
use crate::bench::{Candidate, Entry, Goal, Unit, consume, median, microseconds};
use crate::common::{inline, timed};
use crate::urcu::{Thread, flavours};
use async_rcu::{Rcu, RcuCell};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "one callback",
        about: "From `call` on an idle domain to the start of the callback; the caller sleeps \
                meanwhile. p50.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(15.0)],
        most_rounds: 5,
        set_up: || one_callback(false),
    },
    Entry {
        name: "one callback, caller spins",
        about: "The same while the caller spins until the callback has started. p50.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(15.0)],
        most_rounds: 5,
        set_up: || one_callback(true),
    },
    Entry {
        name: "synchronize",
        about: "A blocking wait for a grace period, without a reader.",
        unit: Unit::Microseconds,
        goals: &[Goal::AtMost(0.6, "liburcu memb")],
        most_rounds: usize::MAX,
        set_up: || synchronize(false),
    },
    Entry {
        name: "synchronize, 1 reader",
        about: "The same while another thread enters and leaves sections all the time.",
        unit: Unit::Microseconds,
        goals: &[Goal::AtMost(0.6, "liburcu memb")],
        most_rounds: usize::MAX,
        set_up: || synchronize(true),
    },
    Entry {
        name: "synchronize().await",
        about: "Awaits one grace period after another in a task, without a reader.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(1.0)],
        most_rounds: usize::MAX,
        set_up: awaited,
    },
    Entry {
        name: "drain, nothing queued",
        about: "A blocking drain while no callback is queued.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: 5,
        set_up: drain_empty,
    },
    Entry {
        name: "call and drain",
        about: "One callback and a blocking drain, without a reader.",
        unit: Unit::Microseconds,
        goals: &[],
        most_rounds: 5,
        set_up: call_and_drain,
    },
    Entry {
        name: "drain, last reader leaves",
        about: "A thread waits in a drain for a callback that a reader holds up: from the end of \
                the section to the return of the drain. p50.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(15.0)],
        most_rounds: 5,
        set_up: || last_reader(false),
    },
    Entry {
        name: "drain, mid-grace-period",
        about: "The same; the callback is queued while an earlier grace period waits for the \
                reader. p50.",
        unit: Unit::Microseconds,
        goals: &[Goal::Below(15.0)],
        most_rounds: 5,
        set_up: || last_reader(true),
    },
];

/// The number of samples of liburcu, whose callback thread pauses for 10 ms at a time.
const SAMPLES: usize = 50;
const SLOW_SAMPLES: usize = 10;
/// The time after which a thread that waits is asleep.
const SETTLE: Duration = Duration::from_millis(2);

type Job = Box<dyn FnOnce() + Send>;

fn p50(samples: usize, mut sample: impl FnMut() -> Duration) -> f64 {
    let all: Vec<_> = (0..samples).map(|_| microseconds(sample())).collect();
    median(&all)
}

fn until_start(spin: bool, call: impl FnOnce(Job)) -> Duration {
    let (sender, receiver) = channel();
    thread::sleep(SETTLE);
    let start = Instant::now();
    call(Box::new(move || {
        let began = Instant::now();
        let _ = sender.send(began);
    }));
    receive(spin, &receiver) - start
}

fn receive(spin: bool, receiver: &Receiver<Instant>) -> Instant {
    loop {
        if !spin {
            return receiver.recv().expect("the callback runs");
        }
        if let Ok(began) = receiver.try_recv() {
            return began;
        }
        std::hint::spin_loop();
    }
}

fn one_callback(spin: bool) -> Vec<Candidate> {
    let ours = |name: &str, rcu: Rcu| {
        Candidate::new(name, move || p50(SAMPLES, || until_start(spin, |job| rcu.call(job))))
    };
    let mut all = vec![
        ours("async-rcu, InlineExecutor", inline()),
        ours("async-rcu, WorkerThread", Rcu::new()),
    ];
    for flavour in flavours() {
        all.push(Candidate::new(flavour.name, move || {
            flavour
                .on_thread(|thread| p50(SLOW_SAMPLES, || until_start(spin, |job| thread.call(job))))
        }));
    }
    all
}

/// Runs `body`. If `wanted`, `read_until` runs on another thread meanwhile. `read_until` calls its
/// first argument after its first read, and `body` begins after that: the registration of the
/// reader may have to wait for a lock that `body` takes again and again.
fn beside<R>(
    wanted: bool,
    read_until: impl FnOnce(&dyn Fn(), &AtomicBool) + Send,
    body: impl FnOnce() -> R,
) -> R {
    if !wanted {
        return body();
    }
    let (stop, start) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let ready = || {
                start.wait();
            };
            read_until(&ready, &stop);
        });
        start.wait();
        let result = body();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Converts the figure of a loop from nanoseconds to microseconds.
fn in_microseconds(mut candidate: Candidate) -> Candidate {
    Candidate::new(candidate.name, move || (candidate.measure)() / 1e3)
}

fn synchronize(with_reader: bool) -> Vec<Candidate> {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1_u64);
    let mut all = vec![Candidate::looped(OURS, move |n| {
        beside(
            with_reader,
            |ready, stop| {
                cell.with(|value| consume(*value));
                ready();
                while !stop.load(Ordering::Relaxed) {
                    cell.with(|value| consume(*value));
                }
            },
            || timed(n, || rcu.blocking_synchronize()),
        )
    })];
    for flavour in flavours() {
        let cell = flavour.cell();
        all.push(Candidate::looped(flavour.name, move |n| {
            beside(
                with_reader,
                |ready, stop| {
                    flavour.on_thread(|thread| {
                        cell.read_loop(thread, 1);
                        ready();
                        cell.read_until(thread, stop);
                    });
                },
                || flavour.on_thread(|thread| timed(n, || thread.synchronize())),
            )
        }));
    }
    all.into_iter().map(in_microseconds).collect()
}

fn awaited() -> Vec<Candidate> {
    async fn many(rcu: Rcu, n: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..n {
            rcu.synchronize().await;
        }
        start.elapsed()
    }
    let builder = |multi| match multi {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let single = builder(false).build().expect("a runtime");
    let multi = builder(true).worker_threads(1).build().expect("a runtime");
    let (one, other) = (Rcu::new(), Rcu::new());
    let mut all = vec![
        Candidate::looped("async-rcu, current_thread", move |n| {
            single.block_on(many(one.clone(), n))
        }),
        Candidate::looped("async-rcu, spawned task", move |n| {
            multi.block_on(multi.spawn(many(other.clone(), n))).expect("the task")
        }),
    ];
    all.extend(tokio_rcu::synchronize());
    all.into_iter().map(in_microseconds).collect()
}

fn drain_empty() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let mut all = vec![Candidate::looped(OURS, move |n| timed(n, || rcu.blocking_drain()))];
    for flavour in flavours() {
        all.push(Candidate::looped(flavour.name, move |n| timed(n, || flavour.barrier())));
    }
    all.into_iter().map(in_microseconds).collect()
}

fn call_and_drain() -> Vec<Candidate> {
    let ours = |name: &str, rcu: Rcu| {
        Candidate::looped(name, move |n| {
            timed(n, || {
                rcu.call(|| {});
                rcu.blocking_drain();
            })
        })
    };
    let mut all = vec![ours(OURS, Rcu::new()), ours("async-rcu, InlineExecutor", inline())];
    for flavour in flavours() {
        all.push(Candidate::looped(flavour.name, move |n| {
            flavour.on_thread(|thread| {
                timed(n, || {
                    thread.call(Box::new(|| {}));
                    flavour.barrier();
                })
            })
        }));
    }
    all.into_iter().map(in_microseconds).collect()
}

/// Measures the time from the end of a section to the end of a drain. `drain` queues a callback,
/// waits for the callback, and returns the time when this wait ended.
fn after_leave(
    hold: impl FnOnce(Box<dyn FnOnce() -> Instant + '_>) -> Instant,
    drain: impl FnOnce() -> Instant + Send,
) -> Duration {
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        // This runs inside the section, right before its end. It starts the drain on another
        // thread, and returns the current time.
        let leave = hold(Box::new(|| {
            scope.spawn(move || sender.send(drain()));
            thread::sleep(SETTLE);
            Instant::now()
        }));
        receiver.recv().expect("the drain returns") - leave
    })
}

fn last_reader(mid: bool) -> Vec<Candidate> {
    let ours = |name: &str, rcu: Rcu| {
        Candidate::new(name, move || {
            p50(SAMPLES, || {
                after_leave(
                    |within| {
                        let section = rcu.read();
                        if mid {
                            rcu.start_grace_period();
                            thread::sleep(SETTLE);
                        }
                        let leave = within();
                        drop(section);
                        leave
                    },
                    || {
                        rcu.call(|| {});
                        rcu.blocking_drain();
                        Instant::now()
                    },
                )
            })
        })
    };
    let mut all = vec![
        ours("async-rcu, InlineExecutor", inline()),
        ours("async-rcu, WorkerThread", Rcu::new()),
    ];
    for flavour in flavours() {
        let drain = move |thread: &Thread| {
            thread.call(Box::new(|| {}));
            flavour.barrier();
            Instant::now()
        };
        all.push(Candidate::new(flavour.name, move || {
            p50(SLOW_SAMPLES, || {
                thread::scope(|scope| {
                    after_leave(
                        |within| {
                            flavour.on_thread(|thread| {
                                thread.in_section(|| {
                                    if mid {
                                        scope.spawn(|| flavour.on_thread(Thread::synchronize));
                                        thread::sleep(SETTLE);
                                    }
                                    within()
                                })
                            })
                        },
                        || flavour.on_thread(drain),
                    )
                })
            })
        }));
    }
    all
}
