//! Callbacks on each executor.

use crate::common::inline;
use crate::support::runtime;
use async_rcu::{Batch, Executor, Rcu, executor::ChannelExecutor};
use criterion::{Criterion, Throughput};
use futures::StreamExt;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MANY: u64 = 10_000;

fn with(executor: impl Executor) -> Rcu {
    Rcu::builder().executor(executor).build().expect("a domain")
}

pub(crate) fn benches(c: &mut Criterion) {
    let runtime = runtime(1);
    let handle = runtime.handle().clone();
    let (channel, mut batches) = ChannelExecutor::new();
    let consumer = runtime.spawn(async move {
        while let Some(batch) = batches.next().await {
            batch.await;
        }
    });
    {
        let domains = [
            ("WorkerThread", Rcu::new()),
            ("InlineExecutor", inline()),
            ("tokio Handle, 1 worker", with(runtime.handle().clone())),
            (
                "a closure that spawns on that runtime",
                with(move |batch: Batch| handle.spawn(batch)),
            ),
            ("ChannelExecutor, polled by a task", with(channel)),
            ("a closure that runs the batch", with(|batch: Batch| batch.run())),
        ];
        let mut group = c.benchmark_group("dispatch");
        for (name, rcu) in domains {
            group.throughput(Throughput::Elements(MANY));
            group.bench_function(format!("{MANY} calls and a drain, {name}"), |b| {
                b.iter(|| {
                    for word in 0..MANY {
                        rcu.call(move || {
                            black_box(word);
                        });
                    }
                    rcu.blocking_drain();
                });
            });
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("one call and its drain, {name}"), |b| {
                b.iter(|| {
                    rcu.call(|| {});
                    rcu.blocking_drain();
                });
            });
        }
        group.finish();
    }
    // The stream ends with the domains.
    runtime.block_on(consumer).expect("the consumer");
}

pub(crate) const FAIRNESS: &str = "dispatch/fairness";

/// Measures the longest time between two turns of a task that only yields: alone, and while a
/// million callbacks run. Criterion does not measure maxima, so this function prints the figures.
pub(crate) fn fairness() {
    const CALLBACKS: u64 = 1_000_000;
    let runtime = runtime(1);
    let rcu = with(runtime.handle().clone());
    let ran = Arc::new(AtomicU64::new(0));
    let watch = |until: Box<dyn Fn() -> bool + Send>| {
        runtime.spawn(async move {
            let (mut worst, mut turns, mut last) = (Duration::ZERO, 0_u64, Instant::now());
            while !until() {
                tokio::task::yield_now().await;
                let now = Instant::now();
                worst = worst.max(now - last);
                last = now;
                turns += 1;
            }
            (worst, turns)
        })
    };

    let start = Instant::now();
    let alone = watch(Box::new(move || start.elapsed() > Duration::from_millis(200)));
    let alone = runtime.block_on(alone).expect("the task");

    // All callbacks become ready at once, so the flood is as large as possible.
    let section = rcu.read_owned();
    for i in 0..CALLBACKS {
        let ran = Arc::clone(&ran);
        rcu.call(move || {
            black_box(vec![i; 4]);
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    let seen = Arc::clone(&ran);
    let beside = watch(Box::new(move || seen.load(Ordering::Relaxed) == CALLBACKS));
    let start = Instant::now();
    drop(section);
    rcu.blocking_drain();
    let took = start.elapsed();
    let beside = runtime.block_on(beside).expect("the task");

    println!("{FAIRNESS}: {CALLBACKS} callbacks on a runtime of one worker took {took:?}.");
    println!("The longest time that another task of the runtime waited for its turn:");
    println!("  {:?} without the callbacks ({} turns)", alone.0, alone.1);
    println!("  {:?} beside the callbacks ({} turns)", beside.0, beside.1);
}
