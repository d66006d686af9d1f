//! Callbacks, from their `call` to their end.

use crate::common::inline;
use crate::support::SETTLE;
use async_rcu::Rcu;
use criterion::{Criterion, Throughput};
use std::hint::black_box;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const MANY: u64 = 100_000;

pub(crate) fn benches(c: &mut Criterion) {
    let domains = || [("WorkerThread", Rcu::new()), ("InlineExecutor", inline())];

    let mut group = c.benchmark_group("callbacks");
    group.throughput(Throughput::Elements(MANY));
    for (name, rcu) in domains() {
        group.bench_function(format!("{MANY} calls and a drain, nothing to free, {name}"), |b| {
            b.iter(|| {
                for word in 0..MANY {
                    rcu.call(move || {
                        black_box(word);
                    });
                }
                rcu.blocking_drain();
            });
        });
        group.bench_function(format!("{MANY} boxes retired and a drain, {name}"), |b| {
            b.iter(|| {
                for word in 0..MANY {
                    rcu.retire(Box::new(word));
                }
                rcu.blocking_drain();
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("callbacks");
    group.sample_size(10);
    for (name, rcu) in domains() {
        group.bench_function(format!("idle, from call to the callback's start, {name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| until_start(&rcu)).sum());
        });
    }
    group.finish();
}

/// Returns the time from `call` to the start of the callback; the caller sleeps meanwhile.
fn until_start(rcu: &Rcu) -> Duration {
    let (sender, receiver) = channel();
    thread::sleep(SETTLE);
    let start = Instant::now();
    rcu.call(move || {
        let began = Instant::now();
        let _ = sender.send(began);
    });
    receiver.recv().expect("the callback runs") - start
}
