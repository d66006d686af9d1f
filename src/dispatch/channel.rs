//! Callbacks wherever the user polls.

use super::batch::Batch;
use super::executor::Executor;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Sends batches down a channel, to be run wherever its [`Batches`] are polled: a `LocalSet`, a GUI's loop, a main loop.
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

/// The other end of a [`ChannelExecutor`]: a `Stream` of batches, which ends when the domain has. Batches that are still
/// in it when it is dropped, and those that come after, run on the domain's worker thread.
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
/// drop(rcu);                                     // the stream ends when the domain has
/// futures::executor::block_on(main_loop(batches));
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use = "batches wait until they are taken out and run"]
pub struct Batches(UnboundedReceiver<Batch>);

impl ChannelExecutor {
    /// The executor, and the stream of what it is given.
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
        // Where the stream is gone the batch comes back in the error, and dropping it is the way to the worker.
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
    /// The next batch, if there is one by now. For loops that poll.
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
