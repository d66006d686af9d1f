//! Who runs ready work: the trait, and its kinds.

use super::batch::Batch;
use futures_util::task::{FutureObj, Spawn};
use std::fmt;
use std::sync::Arc;

/// Runs the callbacks of a domain, a [`Batch`] at a time. Set by [`Builder::executor`](crate::Builder::executor).
///
/// `execute` is called on the domain's grace-period thread (for async callbacks, on whatever thread runs the batch that
/// they were queued in), so it should hand the batch on (spawn it, send it) and return. It is called without any lock held, and a panic in it is caught. A batch that it drops goes to the domain's
/// worker thread: an executor cannot lose callbacks but by leaking them.
///
/// Implemented by [`WorkerThread`] (the default), [`InlineExecutor`], `tokio::runtime::Handle`, [`SpawnExecutor`],
/// [`ChannelExecutor`](crate::executor::ChannelExecutor), `Arc<E>`, and by closures:
///
/// ```
/// use async_rcu::{Batch, Rcu};
/// let rcu = Rcu::builder()
///     .executor(|batch: Batch| { std::thread::spawn(|| batch.run()); })
///     .build()?;
/// rcu.call(|| println!("on a thread of its own"));
/// rcu.blocking_drain();
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
pub trait Executor: Send + Sync + 'static {
    /// Runs the batch, or hands it to where it will be run.
    ///
    /// ```
    /// use async_rcu::{Batch, Executor};
    /// struct Threads;
    /// impl Executor for Threads {
    ///     fn execute(&self, batch: Batch) {
    ///         std::thread::spawn(|| batch.run());
    ///     }
    /// }
    /// let rcu = async_rcu::Rcu::builder().executor(Threads).build()?;
    /// rcu.call(|| ());
    /// rcu.blocking_drain();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    fn execute(&self, batch: Batch);
}

/// One thread of the domain, started at its first callback: the default. Batches run one after another, in order; async
/// callbacks run beside them, concurrently with each other.
///
/// ```
/// use async_rcu::{Rcu, executor::WorkerThread};
/// let rcu = Rcu::builder().name("routes").executor(WorkerThread).build()?;
/// rcu.call(|| assert_eq!(std::thread::current().name(), Some("rcu-routes-cb")));
/// rcu.blocking_drain();
/// assert_eq!(rcu.stats().panicked, 0);
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerThread;

/// The grace-period thread itself: the least latency, for callbacks that are short. Batches run one after another, in
/// order, in time slices between which grace periods go on; a callback that blocks holds up the domain. Async
/// callbacks go to the worker thread.
///
/// ```
/// use async_rcu::{Rcu, executor::InlineExecutor};
/// let rcu = Rcu::builder().name("routes").executor(InlineExecutor).build()?;
/// rcu.call(|| assert_eq!(std::thread::current().name(), Some("rcu-routes")));
/// rcu.blocking_drain();
/// assert_eq!(rcu.stats().panicked, 0);
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineExecutor;

/// Any `futures::task::Spawn`. Batches that it refuses go to the domain's worker thread.
///
/// ```
/// use async_rcu::{Rcu, executor::SpawnExecutor};
/// let pool = futures::executor::ThreadPool::new()?;
/// let rcu = Rcu::builder().executor(SpawnExecutor::new(pool)).build()?;
/// rcu.call(|| println!("on the pool"));
/// rcu.blocking_drain();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SpawnExecutor<S>(S);

impl<S: Spawn + Send + Sync + 'static> SpawnExecutor<S> {
    /// Runs batches as tasks of `spawn`.
    ///
    /// ```
    /// use async_rcu::executor::SpawnExecutor;
    /// let pool = futures::executor::ThreadPool::new()?;
    /// let executor = SpawnExecutor::new(pool);
    /// # drop(executor);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(spawn: S) -> Self {
        Self(spawn)
    }
}

impl Executor for WorkerThread {
    fn execute(&self, batch: Batch) {
        batch.hand_to_worker();
    }
}

impl Executor for InlineExecutor {
    fn execute(&self, batch: Batch) {
        batch.hand_to_gp_thread();
    }
}

impl<S: Spawn + Send + Sync + 'static> Executor for SpawnExecutor<S> {
    fn execute(&self, batch: Batch) {
        // A spawner that is shut down gives an error and drops the batch.
        let _ = self.0.spawn_obj(FutureObj::new(Box::new(batch)));
    }
}

impl<E: Executor + ?Sized> Executor for Arc<E> {
    fn execute(&self, batch: Batch) {
        (**self).execute(batch);
    }
}

impl<F, R> Executor for F
where
    F: Fn(Batch) -> R + Send + Sync + 'static,
{
    fn execute(&self, batch: Batch) {
        // Dropped here is only what the closure made of the batch.
        drop(self(batch));
    }
}

impl fmt::Debug for dyn Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}
