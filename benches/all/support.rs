//! What several themes need.

use async_rcu::{InlineExecutor, Rcu};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Until who is to be asleep is.
pub(crate) const SETTLE: Duration = Duration::from_millis(2);

pub(crate) fn inline() -> Rcu {
    Rcu::builder()
        .executor(InlineExecutor)
        .build()
        .expect("a domain")
}

/// 0 workers: current_thread.
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

pub(crate) fn timed(n: u64, mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        f();
    }
    start.elapsed()
}

/// `run(n)` on so many threads at once: the mean of what they took.
pub(crate) fn at_once(threads: u32, n: u64, run: impl Fn(u64) -> Duration + Sync) -> Duration {
    let start = Barrier::new(threads as usize);
    let total: Duration = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // Registers the thread.
                    run(1);
                    start.wait();
                    run(n)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a measuring thread"))
            .sum()
    });
    total / threads
}

/// Runs `body` while another thread has one section after another, each lasting `each`.
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

/// Threads that have read once and sleep until this is dropped.
pub(crate) struct Parked {
    over: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Parked {
    pub(crate) fn new(rcu: &Rcu, many: usize) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let ready = Arc::new(Barrier::new(many + 1));
        let park = || {
            let (rcu, over, ready) = (rcu.clone(), Arc::clone(&over), Arc::clone(&ready));
            let body = move || {
                drop(rcu.read());
                ready.wait();
                let (flag, changed) = &*over;
                let flag = flag.lock().expect("no poison");
                drop(changed.wait_while(flag, |over| !*over).expect("no poison"));
            };
            // Small: there are many.
            let builder = thread::Builder::new().stack_size(64 << 10);
            builder.spawn(body).expect("a thread")
        };
        let threads = (0..many).map(|_| park()).collect();
        ready.wait();
        Self { over, threads }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        *self.over.0.lock().expect("no poison") = true;
        self.over.1.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whether what is outside criterion should run: `cargo bench`, without a filter or with one that is part of its name.
pub(crate) fn wanted(name: &str) -> bool {
    let (mut bench, mut filters) = (false, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.strip_prefix("--") {
            Some("bench") => bench = true,
            // Lists and trial runs; or an option's value, which is no filter.
            Some(_) => return false,
            None => filters.push(arg),
        }
    }
    bench && (filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
}
