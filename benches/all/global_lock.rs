//! Callbacks under a global lock.

use crate::support::runtime;
use async_rcu::{GlobalLock, Rcu};
use criterion::{Criterion, Throughput};
use std::cell::Cell;
use std::time::Instant;

const MANY: u64 = 10_000;

pub(crate) fn benches(c: &mut Criterion) {
    let lock = GlobalLock::new(0_u64);
    let rcu = Rcu::builder().global_lock(&lock).build().expect("a domain");
    let mut group = c.benchmark_group("global_lock");

    group.bench_function("blocking_lock and unlock, free", |b| {
        b.iter(|| *lock.blocking_lock() += 1);
    });
    group.bench_function("lock().await and unlock, free", |b| {
        let runtime = runtime(0);
        b.iter_custom(|n| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..n {
                    *lock.lock().await += 1;
                }
                start.elapsed()
            })
        });
    });
    group.bench_function("one GlobalLock::call and its drain", |b| {
        b.iter(|| {
            lock.call(&rcu, |count| *count += 1);
            rcu.blocking_drain();
        });
    });
    // The drain consumes the guard and returns it.
    let held = Cell::new(None);
    let relock = |wait: &dyn Fn(
        async_rcu::global_lock::GlobalLockGuard<u64>,
    ) -> async_rcu::global_lock::GlobalLockGuard<u64>| {
        let guard = held.take().unwrap_or_else(|| lock.blocking_lock());
        held.set(Some(wait(guard)));
    };
    group.bench_function("GlobalLockGuard::blocking_drain, nothing queued", |b| {
        b.iter(|| relock(&|guard| guard.blocking_drain(&rcu)));
        held.take();
    });
    group.bench_function("GlobalLockGuard::blocking_drain, one queued", |b| {
        b.iter(|| {
            relock(&|guard| {
                lock.call(&rcu, |count| *count += 1);
                guard.blocking_drain(&rcu)
            });
        });
        held.take();
    });
    group.throughput(Throughput::Elements(MANY));
    group.bench_function(format!("{MANY} GlobalLock::call and a drain"), |b| {
        b.iter(|| {
            for _ in 0..MANY {
                lock.call(&rcu, |count| *count += 1);
            }
            rcu.blocking_drain();
        });
    });
    group.finish();
}
