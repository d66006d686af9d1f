//! Many tasks that wait for a grace period at once.

use crate::support::runtime;
use async_rcu::Rcu;
use criterion::{BenchmarkId, Criterion, Throughput};
use std::time::Instant;

pub(crate) fn benches(c: &mut Criterion) {
    let rcu = Rcu::new();
    let mut group = c.benchmark_group("waiters");
    for waiters in [1_u64, 10, 100, 1_000, 10_000] {
        group.throughput(Throughput::Elements(waiters));
        for workers in [0, 1] {
            let runtime = runtime(workers);
            let kind = ["current_thread", "1 worker"][workers];
            let id = BenchmarkId::new(format!("synchronize() awaited at once, {kind}"), waiters);
            group.bench_function(id, |b| {
                b.iter_custom(|n| {
                    runtime.block_on(async {
                        let start = Instant::now();
                        for _ in 0..n {
                            // The time includes spawning the tasks, which must all be polled.
                            let tasks: Vec<_> =
                                (0..waiters).map(|_| tokio::spawn(rcu.synchronize())).collect();
                            for task in tasks {
                                task.await.expect("a waiting task");
                            }
                        }
                        start.elapsed()
                    })
                });
            });
        }
    }
    group.finish();
}
