//! What a grace period costs where much has to be looked at.

use crate::support::{Parked, SETTLE, runtime};
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
        let id = BenchmarkId::new("from the one leave that counts, over held guards", many);
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
        let parked = LazyCell::new(|| Parked::new(&rcu, threads));
        let id = BenchmarkId::new("blocking_synchronize, beside parked threads", threads);
        group.bench_function(id, |b| {
            let _parked = &*parked;
            b.iter(|| rcu.blocking_synchronize());
        });
    }
    group.finish();
}

/// Never ended: else a later domain might get its records, with as many to look at.
fn domain_of_its_own() -> Rcu {
    let rcu = Rcu::new();
    std::mem::forget(rcu.clone());
    rcu
}

/// A guard that began when a grace period had started does not hold it up. So: one guard, a grace period, then the many
/// are moved behind it, then the first guard leaves; the scan that finds it over has looked at all of them.
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
        // Has it polled, and the grace-period thread go to sleep.
        tokio::task::yield_now().await;
        thread::sleep(SETTLE);
        let start = Instant::now();
        drop(first);
        waiting.await.expect("the waiting task");
        start.elapsed()
    })
}
