//! Where batches run: the trait [`Executor`], and its implementations.

use super::batch::Batch;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Runs the [batches](Batch) of a domain. Set by [`Builder::executor`](crate::Builder::executor).
///
/// The domain's grace-period thread calls `execute`, or, for an async callback, the thread that
/// runs the callback's batch. So `execute` should spawn or send the batch, and return. The caller
/// holds no lock, and catches a panic. A batch that is dropped goes to the domain's worker thread.
///
/// Implemented by [`WorkerThread`] (the default),
/// [`CallingThread`](crate::executor::CallingThread), [`InlineExecutor`], [`ChannelExecutor`],
/// `tokio::runtime::Handle`, `Arc<E>`, and closures:
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
///
/// A closure makes any spawner an executor. A spawner that has shut down drops the batch, so the
/// batch goes to the worker thread:
///
/// ```
/// use async_rcu::{Batch, Rcu};
/// use futures::task::SpawnExt;
/// let pool = futures::executor::ThreadPool::new()?;
/// let rcu = Rcu::builder().executor(move |batch: Batch| pool.spawn(batch)).build()?;
/// rcu.call(|| println!("on the pool"));
/// rcu.blocking_drain();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Executor: Send + Sync + 'static {
    /// Runs the batch, or hands it on.
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

/// The default: one thread of the domain, started at the first callback. Batches run one after
/// another, in order. Async callbacks run concurrently with batches and with each other.
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

/// The grace-period thread: the least latency, for short callbacks. Batches run one after another,
/// in order, in time slices. Grace periods go on between two slices, but a callback that blocks
/// delays every grace period of the domain. Async callbacks go to the worker thread.
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
        drop(self(batch));
    }
}

impl fmt::Debug for dyn Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

/// Sends batches to a channel. The program takes them out of the [`Batches`] and runs them: in a
/// `LocalSet`, in the loop of a GUI, in a main loop.
///
/// ```
/// use async_rcu::{Rcu, executor::ChannelExecutor};
/// use futures::StreamExt;
/// let (executor, mut batches) = ChannelExecutor::new();
/// let rcu = Rcu::builder().executor(executor).build()?;
/// rcu.call(|| println!("on the thread that polls"));
/// rcu.force();
/// futures::executor::block_on(async {
///     let batch = batches.next().await.expect("the domain is alive");
///     batch.await;
/// });
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChannelExecutor(UnboundedSender<Batch>);

/// The receiving end of a [`ChannelExecutor`]: a `Stream` of batches, which ends with the domain.
/// If it is dropped, the batches in it, and later ones, run on the domain's worker thread.
///
/// ```
/// use async_rcu::{Rcu, executor::{Batches, ChannelExecutor}};
/// use futures::StreamExt;
/// async fn main_loop(mut batches: Batches) {
///     while let Some(batch) = batches.next().await {
///         batch.await;
///     }
/// }
/// let (executor, batches) = ChannelExecutor::new();
/// let rcu = Rcu::builder().executor(executor).build()?;
/// rcu.call(|| println!("in the main loop"));
/// drop(rcu);                                     // the stream ends when the domain has ended
/// futures::executor::block_on(main_loop(batches));
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use = "batches wait until they are taken out and run"]
pub struct Batches(UnboundedReceiver<Batch>);

impl ChannelExecutor {
    /// Returns an executor, and the stream of its batches.
    ///
    /// ```
    /// use async_rcu::{Rcu, executor::ChannelExecutor};
    /// let (executor, batches) = ChannelExecutor::new();
    /// let rcu = Rcu::builder().executor(executor).build()?;
    /// # drop((rcu, batches));
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn new() -> (ChannelExecutor, Batches) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Batches(receiver))
    }
}

impl Executor for ChannelExecutor {
    fn execute(&self, batch: Batch) {
        // If the stream is gone, the error has the batch, whose drop sends it to the worker.
        drop(self.0.send(batch));
    }
}

impl Stream for Batches {
    type Item = Batch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        self.0.poll_recv(cx)
    }
}

impl Batches {
    /// Returns the next batch, or `None` if there is none now. For loops that poll.
    ///
    /// ```
    /// use async_rcu::{Rcu, executor::ChannelExecutor};
    /// let (executor, mut batches) = ChannelExecutor::new();
    /// let rcu = Rcu::builder().executor(executor).build()?;
    /// rcu.call(|| println!("between two frames"));
    /// let batch = loop {
    ///     // ... a frame ...
    ///     if let Some(batch) = batches.try_next() {
    ///         break batch;
    ///     }
    /// };
    /// batch.run();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn try_next(&mut self) -> Option<Batch> {
        self.0.try_recv().ok()
    }
}

#[cfg(feature = "rt")]
mod tokio_runtime {
    use super::{Batch, Executor};
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};
    use tokio::runtime::Handle;

    /// Runs batches as tasks. After a shutdown of the runtime, the worker thread runs them.
    impl Executor for Handle {
        fn execute(&self, batch: Batch) {
            drop(self.spawn(Task(batch)));
        }
    }

    /// A batch as a task that yields with `yield_now`. If it only woke itself, tokio would poll its
    /// drivers of I/O and time at every 61st poll of a task: every twelve milliseconds. Only for
    /// spawned tasks: inside a `block_on` on a worker, tokio may not poll it again.
    struct Task(Batch);

    impl Future for Task {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.0.poll_by(cx, |cx| {
                // One poll hands the waker to the runtime.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
            })
        }
    }
}
