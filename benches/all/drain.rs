//! Waits for all queued callbacks.

use crate::common::inline;
use crate::support::SETTLE;
use async_rcu::Rcu;
use criterion::{BatchSize, Criterion};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("drain");
    for (name, rcu) in [("WorkerThread", Rcu::new()), ("InlineExecutor", inline())] {
        group
            .bench_function(format!("nothing queued, {name}"), |b| b.iter(|| rcu.blocking_drain()));
        group.bench_function(format!("one call and its drain, {name}"), |b| {
            b.iter(|| {
                rcu.call(|| {});
                rcu.blocking_drain();
            });
        });
        group.bench_function(format!("1,000 queued before, {name}"), |b| {
            b.iter_batched(
                || {
                    for word in 0..1_000_u64 {
                        rcu.call(move || {
                            black_box(word);
                        });
                    }
                },
                |()| rcu.blocking_drain(),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("after the last reader leaves, {name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| after_the_leave(&rcu, false)).sum());
        });
        group.bench_function(
            format!("after the last reader leaves, mid-grace-period, {name}"),
            |b| {
                b.iter_custom(|n| (0..n).map(|_| after_the_leave(&rcu, true)).sum());
            },
        );
    }
    group.finish();
}

/// Measures the time from the end of this thread's section to the return of another thread's drain.
/// The section holds up the callback of that drain. If `mid`, an earlier grace period waits for the
/// section when the callback is queued.
fn after_the_leave(rcu: &Rcu, mid: bool) -> Duration {
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        let section = rcu.read();
        if mid {
            rcu.start_grace_period();
            thread::sleep(SETTLE);
        }
        scope.spawn(move || {
            rcu.call(|| {});
            rcu.blocking_drain();
            sender.send(Instant::now())
        });
        thread::sleep(SETTLE);
        let leave = Instant::now();
        drop(section);
        receiver.recv().expect("the drain returns") - leave
    })
}
