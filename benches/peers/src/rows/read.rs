//! The read side: a word that a pointer points to. Writers may replace the pointer.

use super::{OURS, tokio_rcu};
use crate::bench::{Candidate, Entry, Goal, Loop, Unit, consume};
use crate::common::{at_once, timed};
use crate::urcu;
use arc_swap::{ArcSwap, Cache};
use async_rcu::{Rcu, RcuCell};
use crossbeam_epoch as epoch;
use haphazard::HazardPointer;
use seize::Guard as _;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::watch;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "read",
        about: "Enter, load a pointer, read the word behind it, leave; one thread.",
        unit: Unit::Nanoseconds,
        goals: &[
            Goal::AtMost(1.0, "liburcu bp"),
            Goal::AtMost(0.2, "crossbeam-epoch"),
            Goal::AtMost(0.15, "arc-swap load"),
        ],
        most_rounds: usize::MAX,
        set_up: one_thread,
    },
    Entry {
        name: "read, 2 threads",
        about: "The same on two threads at once; the time of one read of one thread.",
        unit: Unit::Nanoseconds,
        goals: &[Goal::AtMost(1.1, "async-rcu, 1 thread")],
        most_rounds: usize::MAX,
        set_up: two_threads,
    },
    Entry {
        name: "read, nested",
        about: "Enter and leave while the thread is in a section already.",
        unit: Unit::Nanoseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: nested,
    },
    Entry {
        name: "further load",
        about: "Load the pointer and read the word; one guard for all loads.",
        unit: Unit::Nanoseconds,
        goals: &[Goal::AtMost(1.3, "plain load (nothing protects it)")],
        most_rounds: usize::MAX,
        set_up: further,
    },
];

fn reader(
    name: impl Into<String>,
    run: impl Fn(u64) -> Duration + Send + Sync + 'static,
) -> (String, Loop) {
    (name.into(), Arc::new(run))
}

fn pointer() -> AtomicPtr<u64> {
    AtomicPtr::new(Box::into_raw(Box::new(1)))
}

fn readers() -> Vec<(String, Loop)> {
    let rcu = Rcu::new();
    let cell = Arc::new(RcuCell::new_in(&rcu, 1_u64));
    let same = Arc::clone(&cell);
    let mut all = vec![
        reader(OURS, move |n| {
            timed(n, || {
                let guard = rcu.read();
                consume(*cell.load(&guard));
            })
        }),
        reader("async-rcu, RcuCell::with", move |n| timed(n, || same.with(|v| consume(*v)))),
    ];

    for flavour in urcu::flavours() {
        let cell = flavour.cell();
        all.push(reader(flavour.name, move |n| {
            flavour.on_thread(|thread| timed(1, || cell.read_loop(thread, n)))
        }));
    }

    let cell = epoch::Atomic::new(1_u64);
    all.push(reader("crossbeam-epoch", move |n| {
        timed(n, || {
            let guard = epoch::pin();
            // SAFETY: never null, and loaded under the guard.
            consume(*unsafe { cell.load(Ordering::Acquire, &guard).deref() });
        })
    }));

    let (collector, cell) = (seize::Collector::new(), pointer());
    all.push(reader("seize", move |n| {
        timed(n, || {
            let guard = collector.enter();
            // SAFETY: never null, and protected by the guard.
            consume(unsafe { *guard.protect(&cell, Ordering::Acquire) });
        })
    }));

    // Programs are meant to keep their hazard pointers.
    let cell = haphazard::AtomicPtr::from(Box::new(1_u64));
    all.push(reader("haphazard", move |n| {
        let mut hazard = HazardPointer::new();
        timed(n, || {
            consume(*cell.safe_load(&mut hazard).expect("never null"));
            hazard.reset_protection();
        })
    }));

    let cell = sdd::AtomicOwned::new(1_u64);
    all.push(reader("sdd", move |n| {
        timed(n, || {
            let guard = sdd::Guard::new();
            consume(*cell.load(Ordering::Acquire, &guard).as_ref().expect("never null"));
        })
    }));

    let cell = Arc::new(ArcSwap::from_pointee(1_u64));
    let same = Arc::clone(&cell);
    all.push(reader("arc-swap load", move |n| timed(n, || consume(**cell.load()))));
    all.push(reader("arc-swap Cache", move |n| {
        let mut cache = Cache::new(&*same);
        timed(n, || consume(**cache.load()))
    }));

    let (sender, receiver) = watch::channel(1_u64);
    all.push(reader("tokio watch borrow", move |n| {
        let _open = &sender;
        timed(n, || consume(*receiver.borrow()))
    }));
    let lock = RwLock::new(Box::new(1_u64));
    all.push(reader("std RwLock", move |n| {
        timed(n, || consume(**lock.read().expect("no poison")))
    }));
    let lock = parking_lot::RwLock::new(Box::new(1_u64));
    all.push(reader("parking_lot RwLock", move |n| timed(n, || consume(**lock.read()))));
    let lock = tokio::sync::RwLock::new(Box::new(1_u64));
    all.push(reader("tokio RwLock", move |n| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        // The future is unconstrained: otherwise the loop would yield to the runtime now and then.
        runtime.block_on(tokio::task::unconstrained(async {
            let start = std::time::Instant::now();
            for _ in 0..n {
                consume(**lock.read().await);
            }
            start.elapsed()
        }))
    }));
    all.push(plain());
    all
}

fn plain() -> (String, Loop) {
    let cell = pointer();
    reader("plain load (nothing protects it)", move |n| {
        timed(n, || {
            // SAFETY: never null and never replaced.
            consume(unsafe { *cell.load(Ordering::Acquire) });
        })
    })
}

fn looped((name, run): (String, Loop)) -> Candidate {
    Candidate::looped(name, move |n| run(n))
}

fn one_thread() -> Vec<Candidate> {
    let mut all: Vec<_> = readers().into_iter().map(looped).collect();
    all.extend(tokio_rcu::reads(1));
    all
}

fn two_threads() -> Vec<Candidate> {
    let readers = readers();
    let (_, ours) = &readers[0];
    let alone = ("async-rcu, 1 thread".to_owned(), Arc::clone(ours));
    let mut all: Vec<_> = readers
        .into_iter()
        .map(|(name, run)| Candidate::looped(name, move |n| at_once(2, n, &*run)))
        .collect();
    // The first candidate runs on a thread of its own too.
    let (name, run) = alone;
    all.insert(1, Candidate::looped(name, move |n| at_once(1, n, &*run)));
    all.extend(tokio_rcu::reads(2));
    all
}

fn nested() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let mut all = vec![reader(OURS, move |n| {
        let _outer = rcu.read();
        timed(n, || {
            let _inner = rcu.read();
            consume(0);
        })
    })];
    for flavour in urcu::flavours() {
        all.push(reader(flavour.name, move |n| {
            flavour.on_thread(|thread| timed(1, || thread.nested_loop(n)))
        }));
    }
    all.push(reader("crossbeam-epoch", |n| {
        let _outer = epoch::pin();
        timed(n, || {
            let _inner = epoch::pin();
            consume(0);
        })
    }));
    let collector = seize::Collector::new();
    all.push(reader("seize", move |n| {
        let _outer = collector.enter();
        timed(n, || {
            let _inner = collector.enter();
            consume(0);
        })
    }));
    all.push(reader("sdd", |n| {
        let _outer = sdd::Guard::new();
        timed(n, || {
            let _inner = sdd::Guard::new();
            consume(0);
        })
    }));
    all.into_iter().map(looped).collect()
}

fn further() -> Vec<Candidate> {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1_u64);
    let mut all = vec![
        reader(OURS, move |n| {
            let guard = rcu.read();
            timed(n, || consume(*cell.load(&guard)))
        }),
        plain(),
    ];
    for flavour in urcu::flavours() {
        let cell = flavour.cell();
        all.push(reader(flavour.name, move |n| {
            flavour.on_thread(|thread| timed(1, || cell.load_loop(thread, n)))
        }));
    }
    let cell = epoch::Atomic::new(1_u64);
    all.push(reader("crossbeam-epoch", move |n| {
        let guard = epoch::pin();
        timed(n, || {
            // SAFETY: never null, and loaded under the guard.
            consume(*unsafe { cell.load(Ordering::Acquire, &guard).deref() })
        })
    }));
    let (collector, cell) = (seize::Collector::new(), pointer());
    all.push(reader("seize", move |n| {
        let guard = collector.enter();
        timed(n, || {
            // SAFETY: never null, and protected by the guard.
            consume(unsafe { *guard.protect(&cell, Ordering::Acquire) })
        })
    }));
    let cell = sdd::AtomicOwned::new(1_u64);
    all.push(reader("sdd", move |n| {
        let guard = sdd::Guard::new();
        timed(n, || {
            consume(*cell.load(Ordering::Acquire, &guard).as_ref().expect("never null"));
        })
    }));
    all.into_iter().map(looped).collect()
}
