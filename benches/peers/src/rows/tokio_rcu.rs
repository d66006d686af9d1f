//! tokio_rcu, if the build has it. Its reads and waits need a runtime of its own kind.

use crate::bench::Candidate;

#[cfg(tokio_unstable)]
mod present {
    use super::Candidate;
    use crate::bench::consume;
    use crate::common::timed;
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use tokio::runtime::{Builder, Runtime};
    use tokio_rcu::primitives::rcu_box::RcuBox;
    use tokio_rcu::{TokioRuntimeBuilderExt, TokioRuntimeExt, rcu_read_lock, synchronize_rcu};

    /// A runtime of one worker, and the thread that blocks on the runtime.
    struct Its(Runtime);

    impl Its {
        fn new() -> Self {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1);
            // SAFETY: only `block_on` below is used, which is `rcu_block_on`, and no other hook is
            // set.
            unsafe { builder.enable_rcu() };
            Self(builder.build().expect("a runtime"))
        }

        fn block_on<F: Future>(&self, f: F) -> F::Output {
            // SAFETY: the runtime was made with `enable_rcu`.
            unsafe { self.0.rcu_block_on(f) }
        }
    }

    pub(super) fn reads(threads: u32) -> Vec<Candidate> {
        let cell: &'static RcuBox<u64> = Box::leak(Box::new(RcuBox::new(Box::new(1))));
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads as usize);
        // SAFETY: as in `Its::new`.
        unsafe { builder.enable_rcu() };
        let its = Its(builder.build().expect("a runtime"));
        let start = Arc::new(std::sync::Barrier::new(threads as usize));
        vec![Candidate::looped("tokio_rcu", move |n| {
            its.block_on(async {
                let tasks: Vec<_> = (0..threads)
                    .map(|_| {
                        let start = Arc::clone(&start);
                        tokio::spawn(async move {
                            start.wait();
                            timed(n, || rcu_read_lock(|guard| consume(*cell.read(guard))))
                        })
                    })
                    .collect();
                let mut total = Duration::ZERO;
                for task in tasks {
                    total += task.await.expect("a reading task");
                }
                total / threads
            })
        })]
    }

    pub(super) fn synchronize() -> Vec<Candidate> {
        let its = Its::new();
        vec![Candidate::looped("tokio_rcu", move |n| {
            its.block_on(async {
                let start = Instant::now();
                for _ in 0..n {
                    synchronize_rcu().await;
                }
                start.elapsed()
            })
        })]
    }

    pub(super) fn synchronize_at_once(waiters: usize) -> Vec<Candidate> {
        let its = Its::new();
        vec![Candidate::new("tokio_rcu", move || {
            its.block_on(async {
                let tasks: Vec<_> = (0..waiters).map(|_| tokio::spawn(synchronize_rcu())).collect();
                let start = Instant::now();
                for task in tasks {
                    task.await.expect("a waiting task");
                }
                start.elapsed().as_secs_f64() * 1e6
            })
        })]
    }
}

#[cfg(not(tokio_unstable))]
mod present {
    use super::Candidate;

    pub(super) fn reads(_threads: u32) -> Vec<Candidate> {
        Vec::new()
    }
    pub(super) fn synchronize() -> Vec<Candidate> {
        Vec::new()
    }
    pub(super) fn synchronize_at_once(_waiters: usize) -> Vec<Candidate> {
        Vec::new()
    }
}

/// Reads in tasks, one on each worker at once. The time includes the check that the thread belongs
/// to the runtime, as in the safe interface.
pub(super) fn reads(threads: u32) -> Vec<Candidate> {
    present::reads(threads)
}

/// Waits for one grace period after another in the runtime's first task; the other worker is
/// parked.
pub(super) fn synchronize() -> Vec<Candidate> {
    present::synchronize()
}

/// Lets many tasks wait at once; the figure is in microseconds for all.
pub(super) fn synchronize_at_once(waiters: usize) -> Vec<Candidate> {
    present::synchronize_at_once(waiters)
}
