//! Waits for a grace period.

use crate::common::timed;
use crate::support::{beside_a_reader, runtime};
use async_rcu::{Rcu, RcuCell};
use criterion::{BatchSize, Criterion};
use std::time::{Duration, Instant};

/// The kinds of readers. A reader enters one section after another, each of this length.
const READERS: [(&str, Option<Duration>); 3] = [
    ("no reader", None),
    ("beside a looping reader", Some(Duration::ZERO)),
    ("beside sections of 100 us", Some(Duration::from_micros(100))),
];

pub(crate) fn benches(c: &mut Criterion) {
    let rcu = Rcu::new();
    let mut group = c.benchmark_group("synchronize");
    for (readers, each) in READERS {
        let beside = |body: &mut dyn FnMut() -> Duration| match each {
            None => body(),
            Some(each) => beside_a_reader(&rcu, each, body),
        };
        group.bench_function(format!("blocking, {readers}"), |b| {
            b.iter_custom(|n| beside(&mut || timed(n, || rcu.blocking_synchronize())));
        });
        for workers in [0, 1] {
            let runtime = runtime(workers);
            let kind = ["in block_on", "in a task"][workers];
            group.bench_function(format!("awaited {kind}, {readers}"), |b| {
                // One future awaits all, so that entering the runtime is not timed.
                b.iter_custom(|n| {
                    beside(&mut || {
                        let rcu = rcu.clone();
                        let body = async move {
                            let start = Instant::now();
                            for _ in 0..n {
                                rcu.synchronize().await;
                            }
                            start.elapsed()
                        };
                        match workers {
                            0 => runtime.block_on(body),
                            _ => runtime.block_on(runtime.spawn(body)).expect("the task"),
                        }
                    })
                });
            });
        }
    }
    group.bench_function("RcuCell::swap and blocking_wait", |b| {
        let cell = RcuCell::new_in(&rcu, 1_u64);
        b.iter_batched(|| 2, |value| cell.swap(value).blocking_wait(), BatchSize::SmallInput);
    });
    group.finish();
}
