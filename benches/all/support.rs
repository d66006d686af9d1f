//! Helpers of several themes.

use async_rcu::Rcu;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The time after which a thread that waits is asleep.
pub(crate) const SETTLE: Duration = Duration::from_millis(2);

/// Builds a runtime; with 0 workers a current_thread runtime.
pub(crate) fn runtime(workers: usize) -> Runtime {
    match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .worker_threads(workers.max(1))
    .enable_all()
    .build()
    .expect("a runtime")
}

/// Runs `body` while another thread enters one section after another. Each section lasts `each`.
pub(crate) fn beside_a_reader<R>(rcu: &Rcu, each: Duration, body: impl FnOnce() -> R) -> R {
    let (stop, ready) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(rcu.read());
            ready.wait();
            while !stop.load(Ordering::Relaxed) {
                let _section = rcu.read();
                if !each.is_zero() {
                    let start = Instant::now();
                    while start.elapsed() < each {
                        std::hint::spin_loop();
                    }
                }
            }
        });
        ready.wait();
        let result = body();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Returns whether a measurement outside criterion should run: under `cargo bench`, without a
/// filter or with a filter that is part of `name`.
pub(crate) fn wanted(name: &str) -> bool {
    let (mut bench, mut filters) = (false, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.strip_prefix("--") {
            Some("bench") => bench = true,
            // Criterion lists or tries its benchmarks, or the next argument belongs to an option.
            Some(_) => return false,
            None => filters.push(arg),
        }
    }
    bench && (filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
}
