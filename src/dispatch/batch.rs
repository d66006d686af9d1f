//! A batch: the callbacks of one collection, or one async callback, on its way through an executor.
//!
//! # Invariants
//! 1. A callback is taken out of the batch before it runs, so that nothing runs twice; and what is left when the batch is
//!    dropped goes to the worker, so that nothing is lost.
//! 2. The ticket is open as long as there is something left.
//! 3. The global lock is held during a time slice of callbacks and not between two; never by an async callback. Under it
//!    collections run in order: batches are turns at the head of one line.

use super::block::block_on;
use super::dispatcher::{Dispatcher, PanicSource};
use super::global_lock::Held;
use super::here::{self, InBatch};
use super::job::{Job, RunOn, Running, Slice, Spawned};
use super::tickets::Ticket;
use super::watch::{Entry, Key};
use crate::callback::queue::CallbackList;
use crate::sys::prim::Ordering;
use crate::sys::wake::quietly;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Deferred work whose grace period is over: what an [`Executor`](crate::Executor) is given to run.
///
/// Either [run](Batch::run) it, on a thread that may be blocked for as long as its callbacks take, or spawn it: it
/// is a `Future<Output = ()>` that is `Send + Unpin` and yields every 200 microseconds, so that a flood of callbacks does
/// not starve a runtime.
///
/// A batch that is dropped before its end sends what is left to the domain's worker thread: every callback runs exactly
/// once. Only one that is leaked (`mem::forget`) is lost, and then `drain` waits for ever (under a
/// [`GlobalLock`](crate::GlobalLock), where batches take turns, what is lost is a turn: the last callbacks wait for the next).
///
/// ```
/// use async_rcu::{Batch, Rcu};
/// use std::sync::mpsc;
/// let (send, batches) = mpsc::channel();
/// let rcu = Rcu::builder().executor(move |batch: Batch| send.send(batch)).build()?;
/// rcu.call(|| println!("on the thread that runs the batch"));
/// let batch = batches.recv()?;
/// assert_eq!(batch.len(), 1);
/// batch.run();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "run it or spawn it; dropped, it goes to the domain's worker thread"]
pub struct Batch(Option<Box<Open>>);

struct Open {
    /// Dropped first: what is over is no longer watched when its ticket closes.
    watched: Watched,
    work: Work,
    locking: Option<BoxFuture<Box<dyn Held>>>,
}

/// A batch of callbacks as the watch sees it; an async callback is watched by its `Running`.
struct Watched {
    dispatcher: Arc<Dispatcher>,
    entry: Option<Arc<Entry>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            self.dispatcher.watch.remove(entry);
        }
    }
}

enum Work {
    Calls(Job),
    /// A turn at the head of the dispatcher's line, for a job of so many callbacks. There are as many turns as jobs, and each
    /// ends with one of them: so jobs run in order, whatever the executor does with the batches.
    Turn(usize),
    Future(BoxFuture<()>, Running),
}

fn send_off(dispatcher: &Arc<Dispatcher>, spawned: Vec<Spawned>) {
    for Spawned {
        run_on,
        future,
        running,
    } in spawned
    {
        match run_on {
            // The runtime is foreign; what a panic leaves is dropped, and so counted as cancelled.
            RunOn::Runtime(runtime) => {
                let _ = quietly(move || runtime.spawn(OnRuntime(Some((future, running)))));
            }
            RunOn::Executor => {
                let ticket = running.0.clone();
                dispatcher.execute(Batch::future(dispatcher, future, running), ticket);
            }
            RunOn::Worker => dispatcher.rescue(Batch::future(dispatcher, future, running)),
        }
    }
}

impl Batch {
    /// The batch of a collection. Under a global lock, also puts it in the line.
    pub(crate) fn calls(calls: CallbackList, ticket: Ticket) -> Self {
        let dispatcher = Arc::clone(ticket.dispatcher());
        let len = calls.len();
        let job = Job::new(calls, ticket);
        if dispatcher.lock.is_none() {
            return Self::of(dispatcher, Work::Calls(job));
        }
        dispatcher.line.lock().push_back(job);
        Self::of(dispatcher, Work::Turn(len))
    }

    fn future(dispatcher: &Arc<Dispatcher>, future: BoxFuture<()>, running: Running) -> Self {
        Self::of(Arc::clone(dispatcher), Work::Future(future, running))
    }

    fn of(dispatcher: Arc<Dispatcher>, work: Work) -> Self {
        let entry = match work {
            Work::Future(..) => None,
            Work::Calls(_) | Work::Turn(_) => Some(dispatcher.watch.batch()),
        };
        Self(Some(Box::new(Open {
            watched: Watched { dispatcher, entry },
            work,
            locking: None,
        })))
    }

    /// How many callbacks are still to run. Under a [`GlobalLock`](crate::GlobalLock), where batches take turns, how many
    /// there were.
    ///
    /// ```
    /// use async_rcu::{Batch, Rcu};
    /// let rcu = Rcu::builder()
    ///     .executor(|batch: Batch| {
    ///         println!("{} callbacks", batch.len());
    ///         batch.run();
    ///     })
    ///     .build()?;
    /// rcu.call(|| ());
    /// rcu.blocking_drain();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    #[expect(
        clippy::len_without_is_empty,
        reason = "a batch is made of at least one callback"
    )]
    pub fn len(&self) -> usize {
        match self.0.as_ref().map(|open| &open.work) {
            None => 0,
            Some(Work::Calls(job)) => job.calls.len(),
            Some(Work::Turn(len)) => *len,
            Some(Work::Future(..)) => 1,
        }
    }

    /// Runs what is left, on this thread, to the end. Panics of callbacks are caught and reported.
    ///
    /// On the grace-period thread (an executor that runs batches where it is called) nothing may wait: there, async callbacks
    /// go to the domain's worker thread instead, and batches under a [`GlobalLock`](crate::GlobalLock) are gone on with as by
    /// [`InlineExecutor`](crate::executor::InlineExecutor).
    ///
    /// ```
    /// use async_rcu::{Batch, Rcu};
    /// let rcu = Rcu::builder()
    ///     .executor(|batch: Batch| drop(std::thread::spawn(|| batch.run())))
    ///     .build()?;
    /// rcu.call(|| println!("on a thread of its own"));
    /// rcu.blocking_drain();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    ///
    /// # Deadlocks
    /// Under a [`GlobalLock`](crate::GlobalLock), and with async callbacks, it blocks the thread while it waits: not for a
    /// thread that others need to run for the lock to be let go. Spawn the batch there.
    pub fn run(self) {
        let waits = !matches!(self.0.as_ref().map(|o| &o.work), Some(Work::Calls(_)));
        if waits && here::on_gp_thread() {
            self.hand_to_gp_thread();
        } else {
            block_on(self, None);
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        matches!(
            self.0.as_ref().map(|open| &open.work),
            Some(Work::Future(..))
        )
    }

    /// Polls, with a way of its own to come back after a time slice.
    pub(super) fn poll_by(
        &mut self,
        cx: &mut task::Context<'_>,
        again: impl FnOnce(&mut task::Context<'_>),
    ) -> Poll<()> {
        if let Some(open) = &mut self.0 {
            ready!(open.poll(cx, again));
        }
        if let Some(Work::Future(future, running)) = self.0.take().map(|open| open.work) {
            drop_async(future, &running.0);
        }
        Poll::Ready(())
    }

    /// Hands the batch to the domain's worker thread.
    pub(super) fn hand_to_worker(self) {
        if let Some(dispatcher) = self.dispatcher() {
            dispatcher.rescue(self);
        }
    }

    /// Hands the batch to the domain's grace-period thread, or to the worker where it must not run there.
    pub(super) fn hand_to_gp_thread(self) {
        if let Some(dispatcher) = self.dispatcher() {
            if self.is_async() {
                dispatcher.rescue(self);
            } else {
                dispatcher.push_inline(self);
            }
        }
    }

    /// What it has a share in, if it is no turn, and what it is watched as.
    pub(super) fn share(&self) -> (Option<(u64, usize)>, Option<Key>) {
        let Some(open) = &self.0 else {
            return (None, None);
        };
        let share = match &open.work {
            Work::Calls(job) => Some(job.share()),
            Work::Turn(_) => None,
            Work::Future(_, running) => Some((running.0.number(), 1)),
        };
        let entry = match &open.work {
            Work::Future(_, running) => Some(&running.1),
            _ => open.watched.entry.as_ref(),
        };
        (share, entry.map(|entry| entry.key()))
    }

    /// A turn for a job in the line whose own is lost.
    pub(super) fn turn(dispatcher: &Arc<Dispatcher>, job: &Job) -> Self {
        Self::of(Arc::clone(dispatcher), Work::Turn(job.calls.len()))
    }

    fn dispatcher(&self) -> Option<Arc<Dispatcher>> {
        self.0
            .as_ref()
            .map(|open| Arc::clone(&open.watched.dispatcher))
    }
}

impl Open {
    /// Runs a slice. `again` sees to it that the next one comes, when the time slice was over.
    fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        again: impl FnOnce(&mut task::Context<'_>),
    ) -> Poll<()> {
        let Watched { dispatcher, entry } = &self.watched;
        let more = match &mut self.work {
            Work::Future(future, running) => return poll_async(future, &running.0, cx),
            Work::Calls(job) => {
                let Slice { more, ended } = job.slice(entry.as_deref());
                dispatcher.give_back(ended);
                send_off(dispatcher, std::mem::take(&mut job.context.spawned));
                more
            }
            Work::Turn(_) => {
                let held = match lock(dispatcher, &mut self.locking, cx) {
                    Poll::Ready(held) => held,
                    Poll::Pending => {
                        if let Some(entry) = entry {
                            dispatcher.watch.waits_for_lock(entry);
                        }
                        return Poll::Pending;
                    }
                };
                // Alone in the line from here, by the lock.
                let Some(mut job) = dispatcher.line.lock().pop_front() else {
                    return Poll::Ready(());
                };
                job.context.held = held;
                let Slice { more, ended } = job.slice(entry.as_deref());
                let held = job.context.held.take();
                let spawned = std::mem::take(&mut job.context.spawned);
                // Back in the line before the lock is let go; or gone, and its ticket closed, after.
                let done = match more {
                    true => {
                        dispatcher.line.lock().push_front(job);
                        None
                    }
                    false => Some(job),
                };
                // Wakes whoever is next in line for the lock: foreign code.
                let _ = quietly(move || drop(held));
                dispatcher.give_back(ended);
                send_off(dispatcher, spawned);
                drop(done);
                more
            }
        };
        if more {
            again(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// The dispatcher's global lock, waited for by `locking` where it is not free.
fn lock(
    dispatcher: &Dispatcher,
    locking: &mut Option<BoxFuture<Box<dyn Held>>>,
    cx: &mut task::Context<'_>,
) -> Poll<Option<Box<dyn Held>>> {
    let Some(lock) = &dispatcher.lock else {
        return Poll::Ready(None);
    };
    let held = match locking {
        None => match lock.try_lock() {
            Some(held) => held,
            None => ready!(locking.insert(lock.lock()).as_mut().poll(cx)),
        },
        Some(locking) => ready!(locking.as_mut().poll(cx)),
    };
    *locking = None;
    Poll::Ready(Some(held))
}

/// Polls an async callback; a panic ends it, counted and reported.
fn poll_async(future: &mut BoxFuture<()>, ticket: &Ticket, cx: &mut task::Context<'_>) -> Poll<()> {
    let dispatcher = ticket.dispatcher();
    let _here = InBatch::future(dispatcher.id(), ticket.number());
    match quietly(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll,
        Err(message) => {
            dispatcher.report(PanicSource::AsyncCallback, message, Some(ticket.clone()));
            Poll::Ready(())
        }
    }
}

/// Drops a future that is over; that is foreign code too.
fn drop_async(future: BoxFuture<()>, ticket: &Ticket) {
    let dispatcher = ticket.dispatcher();
    if let Err(message) = quietly(move || drop(future)) {
        dispatcher.report(PanicSource::AsyncCallback, message, Some(ticket.clone()));
    }
}

impl Future for Batch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.poll_by(cx, |cx| cx.waker().wake_by_ref())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(mut open) = self.0.take() {
            // The lock, if somebody dropped the batch while it waited for it, is waited for anew.
            let locking = open.locking.take();
            let _ = quietly(move || drop(locking));
            let dispatcher = Arc::clone(&open.watched.dispatcher);
            dispatcher.rescue(Batch(Some(open)));
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish()
    }
}

/// An async callback on the runtime that was current at its call. Where that runtime goes, so does it, counted.
pub(super) struct OnRuntime(Option<(BoxFuture<()>, Running)>);

impl Future for OnRuntime {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        if let Some((future, running)) = &mut self.0 {
            ready!(poll_async(future, &running.0, cx));
        }
        if let Some((future, running)) = self.0.take() {
            drop_async(future, &running.0);
        }
        Poll::Ready(())
    }
}

impl Drop for OnRuntime {
    fn drop(&mut self) {
        if let Some((future, running)) = self.0.take() {
            let counts = &running.0.dispatcher().counts;
            counts.cancelled.fetch_add(1, Ordering::Relaxed);
            drop_async(future, &running.0);
        }
    }
}
