//! The cost of a grace period with many sections or many threads.

use crate::common::{Parked, domain_of_its_own};
use crate::support::{SETTLE, runtime};
use async_rcu::{OwnedReadGuard, Rcu};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use std::cell::LazyCell;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .measurement_time(Duration::from_millis(200));
    for many in [1, 1_000, 1_000_000] {
        let rcu = domain_of_its_own();
        let runtime = runtime(0);
        let mut held = Vec::new();
        let id = BenchmarkId::new("after the oldest section ends, with held guards", many);
        group.bench_function(id, |b| {
            if held.is_empty() {
                held.extend((0..many).map(|_| rcu.read_owned()));
            }
            b.iter_custom(|n| (0..n).map(|_| over(&rcu, &runtime, &mut held)).sum());
        });
    }
    group.finish();

    let mut group = c.benchmark_group("scan");
    for threads in [1, 10, 100, 1_000, 10_000] {
        let rcu = domain_of_its_own();
        let parked = LazyCell::new(|| park(threads, &rcu));
        let id = BenchmarkId::new("blocking_synchronize, with parked threads", threads);
        group.bench_function(id, |b| {
            let _parked = &*parked;
            b.iter(|| rcu.blocking_synchronize());
        });
    }
    group.finish();
}

/// Measures the scan that finds that a grace period is over, among many younger guards. A guard
/// that began after the start of a grace period does not hold up the grace period. So one guard
/// begins, a grace period starts, the many guards are refreshed, and then the first guard is
/// dropped.
fn over(rcu: &Rcu, runtime: &Runtime, held: &mut [OwnedReadGuard]) -> Duration {
    let first = rcu.read_owned();
    let started = rcu.stats().grace_periods;
    let gp = rcu.start_grace_period();
    while rcu.stats().grace_periods == started {
        thread::yield_now();
    }
    for guard in held {
        guard.refresh();
    }
    runtime.block_on(async {
        let waiting = tokio::spawn(rcu.wait_for(gp));
        // Lets the task be polled and the grace-period thread fall asleep.
        tokio::task::yield_now().await;
        thread::sleep(SETTLE);
        let start = Instant::now();
        drop(first);
        waiting.await.expect("the waiting task");
        start.elapsed()
    })
}

/// Starts threads that have read once and sleep.
fn park(many: usize, rcu: &Rcu) -> Parked {
    let rcu = rcu.clone();
    Parked::new(many, move |then| {
        drop(rcu.read());
        then();
    })
}
