//! The read side.

use crate::common::{at_once, timed};
use async_rcu::{Rcu, RcuCell};
use criterion::Criterion;
use std::hint::black_box;
use std::sync::Arc;

pub(crate) fn benches(c: &mut Criterion) {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1_u64);
    let mut group = c.benchmark_group("read");

    group.bench_function("Rcu::read, leave", |b| b.iter(|| drop(black_box(rcu.read()))));
    group.bench_function("Rcu::read, load, leave", |b| {
        b.iter(|| {
            let guard = rcu.read();
            *cell.load(&guard)
        });
    });
    group.bench_function("nested Rcu::read, leave", |b| {
        let _outer = rcu.read();
        b.iter(|| drop(black_box(rcu.read())));
    });
    group.bench_function("RcuCell::load under one guard", |b| {
        let guard = rcu.read();
        b.iter(|| *cell.load(black_box(&guard)));
    });
    group.bench_function("ReadGuard::refresh", |b| {
        let mut guard = rcu.read();
        b.iter(|| guard.refresh());
    });
    group.bench_function("RcuCell::with", |b| b.iter(|| cell.with(|value| *value)));
    group.bench_function("RcuCell::read", |b| b.iter(|| *cell.read()));

    group.bench_function("Rcu::read_owned, leave", |b| {
        b.iter(|| drop(black_box(rcu.read_owned())));
    });
    group.bench_function("Rcu::read_owned, leave, beside 1,000 held", |b| {
        let _held: Vec<_> = (0..1_000).map(|_| rcu.read_owned()).collect();
        b.iter(|| drop(black_box(rcu.read_owned())));
    });
    group.bench_function("RcuCell::read_owned", |b| b.iter(|| *cell.read_owned()));
    group.bench_function("RcuCell::load_full", |b| {
        let cell = RcuCell::new_in(&rcu, Arc::new(1_u64));
        b.iter(|| cell.load_full());
    });

    group.bench_function("two domains in turn, Rcu::read each", |b| {
        let other = Rcu::new();
        b.iter(|| {
            drop(black_box(rcu.read()));
            drop(black_box(other.read()));
        });
    });
    group.bench_function("a thread's first read and its end", |b| {
        // The time includes the start and the join of the thread.
        b.iter(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| drop(black_box(rcu.read())));
            });
        });
    });
    group.bench_function("the same thread without a read", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| black_box(0_u64));
            });
        });
    });

    for threads in [1, 2] {
        group.bench_function(format!("Rcu::read, leave; {threads} threads at once"), |b| {
            b.iter_custom(|n| at_once(threads, n, |n| timed(n, || drop(black_box(rcu.read())))));
        });
        group.bench_function(format!("RcuCell::with; {threads} threads at once"), |b| {
            b.iter_custom(|n| {
                at_once(threads, n, |n| {
                    timed(n, || {
                        black_box(cell.with(|value| *value));
                    })
                })
            });
        });
        group.bench_function(format!("Rcu::read_owned, leave; {threads} threads at once"), |b| {
            b.iter_custom(|n| {
                at_once(threads, n, |n| timed(n, || drop(black_box(rcu.read_owned()))))
            });
        });
    }
    group.finish();
}
