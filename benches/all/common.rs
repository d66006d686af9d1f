//! Helpers of these benchmarks and of `benches/peers`.

use async_rcu::{Rcu, executor::InlineExecutor};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Returns a domain whose grace-period thread runs the callbacks.
pub(crate) fn inline() -> Rcu {
    Rcu::builder().executor(InlineExecutor).build().expect("a domain")
}

/// Returns a domain that never ends. A later domain would reuse the records of an ended domain, and
/// its scans would look at all of them.
pub(crate) fn domain_of_its_own() -> Rcu {
    let rcu = Rcu::new();
    std::mem::forget(rcu.clone());
    rcu
}

/// Measures `n` calls of `f`.
#[inline(always)]
pub(crate) fn timed(n: u64, mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        f();
    }
    start.elapsed()
}

/// Calls `run(n)` on several threads at once, and returns the mean of the returned times.
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
        running.into_iter().map(|thread| thread.join().expect("a measuring thread")).sum()
    });
    total / threads
}

/// Registered threads that sleep until this is dropped.
pub(crate) struct Parked {
    over: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Parked {
    /// Starts the threads. `register` registers its thread, and calls its argument while the thread
    /// is registered.
    pub(crate) fn new(
        many: usize,
        register: impl Fn(&mut dyn FnMut()) + Clone + Send + 'static,
    ) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let (ready, is_ready) = channel();
        let mut threads = Vec::new();
        for _ in 0..many {
            let (over, ready, register) = (Arc::clone(&over), ready.clone(), register.clone());
            let body = move || {
                register(&mut || {
                    let _ = ready.send(());
                    let (flag, changed) = &*over;
                    let flag = flag.lock().expect("no poison");
                    drop(changed.wait_while(flag, |over| !*over).expect("no poison"));
                });
            };
            // The stack is small, since the threads are many.
            match thread::Builder::new().stack_size(64 << 10).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let started = threads.len();
                    eprintln!("only {started} of {many} threads could be started: {error}");
                    break;
                }
            }
        }
        for _ in &threads {
            is_ready.recv().expect("a thread registers");
        }
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
