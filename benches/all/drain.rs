//! Waiting for everything that is queued.

use crate::support::{SETTLE, inline};
use async_rcu::Rcu;
use criterion::{BatchSize, Criterion};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("drain");
    for (name, rcu) in [("WorkerThread", Rcu::new()), ("InlineExecutor", inline())] {
        group.bench_function(format!("nothing queued, {name}"), |b| {
            b.iter(|| rcu.blocking_drain())
        });
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
        group.bench_function(format!("from the last reader's leave, {name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| after_the_leave(&rcu, false)).sum());
        });
        group.bench_function(format!("the same in mid-grace-period, {name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| after_the_leave(&rcu, true)).sum());
        });
    }
    group.finish();
}

/// Another thread waits in a drain for a callback that this thread's section holds up: from the section's end to the
/// drain's return. `mid`: an earlier grace period waited for the section already when the callback came.
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
