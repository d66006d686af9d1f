//! A batch: the callbacks of one collection, or one async callback, on its way through an executor.
//!
//! # Invariants
//! 1. A callback is taken out of the batch before it runs: no callback runs twice. A batch that is
//!    dropped goes to the worker with the callbacks that are left: no callback is lost.
//! 2. The ticket is open as long as a callback is left.
//! 3. A batch holds the global lock during a time slice, and not between two. An async callback
//!    never runs under the lock. Under a lock each batch is a turn: it runs the job at the head of
//!    one line. So collections run in order.

use super::blocking::{self, InBatch, block_on};
use super::job::{BoxFuture, Held, Job, RunOn, Running, Spawned, Turns};
use super::panics::PanicSource;
use super::progress::{Progress, ProgressKey};
use super::{Schedule, Ticket};
use crate::callback::inbox::Inbox;
use crate::callback::queue::CallbackList;
use crate::sys::unwind::quietly;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

/// Callbacks whose grace period is over, for an [`Executor`](crate::Executor) to run.
///
/// Either [run](Batch::run) the batch on a thread that its callbacks may block, or spawn it: a
/// batch is a `Future<Output = ()> + Send + Unpin`, and yields every 200 microseconds, so that many
/// callbacks do not starve a runtime.
///
/// A batch that is dropped before its end sends the callbacks that are left to the domain's worker
/// thread: every callback runs exactly once. Only a leaked batch (`mem::forget`) is lost, and then
/// `drain` waits for ever. (Under a [`GlobalLock`](crate::GlobalLock), where batches take turns,
/// only the turn is lost: the last callbacks wait for the next batch.)
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

/// A batch that is not done.
struct Open {
    /// Dropped first: when the ticket closes, the work is no longer watched.
    watch: BatchWatch,
    work: Work,
    locking: Option<BoxFuture<Box<dyn Held>>>,
}

/// Keeps a batch watched until it is dropped.
struct BatchWatch {
    schedule: Arc<dyn Schedule>,
    progress: Arc<Progress>,
}

impl Drop for BatchWatch {
    fn drop(&mut self) {
        // `Running` unwatches an async callback.
        if !self.progress.is_async() {
            self.schedule.unwatch(&self.progress);
        }
    }
}

enum Work {
    Calls(Job),
    /// The right to run the first job of [`Turns`]. It was made for a job of so many callbacks.
    Turn(usize),
    Future(BoxFuture<()>, Running),
}

/// Hands the async callbacks that a job has spawned to where they run.
fn send_off(schedule: &Arc<dyn Schedule>, spawned: Vec<Spawned>) {
    for Spawned { run_on, future, running } in spawned {
        let ticket = running.ticket.clone();
        match run_on {
            // A runtime, which is foreign code, drops the future if it panics.
            RunOn::Runtime(runtime) => {
                let _ = quietly(move || runtime.spawn(OnRuntime(Some((future, running)))));
            }
            RunOn::Executor => schedule.execute(Batch::future(future, running), ticket),
            RunOn::Worker => schedule.queue_on_worker(Batch::future(future, running)),
        }
    }
}

impl Batch {
    /// Returns the batch of a collection. Under a global lock, also puts the job into the line.
    pub(crate) fn calls(calls: CallbackList, ticket: Ticket) -> Self {
        let schedule = Arc::clone(ticket.schedule());
        let len = calls.len();
        let job = Job::new(calls, ticket);
        let work = match schedule.turns() {
            None => Work::Calls(job),
            Some(turns) => {
                turns.line.lock().push_back(job);
                Work::Turn(len)
            }
        };
        let progress = schedule.watch(None);
        Self::of(schedule, progress, work)
    }

    fn future(future: BoxFuture<()>, running: Running) -> Self {
        let schedule = Arc::clone(running.ticket.schedule());
        let progress = Arc::clone(&running.progress);
        Self::of(schedule, progress, Work::Future(future, running))
    }

    /// Returns a new turn for a job in the line whose turn is lost.
    pub(crate) fn turn(schedule: Arc<dyn Schedule>, job: &Job) -> Self {
        let progress = schedule.watch(None);
        Self::of(schedule, progress, Work::Turn(job.calls.len()))
    }

    fn of(schedule: Arc<dyn Schedule>, progress: Arc<Progress>, work: Work) -> Self {
        Self(Some(Box::new(Open { watch: BatchWatch { schedule, progress }, work, locking: None })))
    }

    /// Returns how many callbacks are left. Under a [`GlobalLock`](crate::GlobalLock), where
    /// batches take turns, returns how many there were at the start.
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
    #[expect(clippy::len_without_is_empty, reason = "a batch is made with at least one callback")]
    pub fn len(&self) -> usize {
        match self.0.as_ref().map(|open| &open.work) {
            None => 0,
            Some(Work::Calls(job)) => job.calls.len(),
            Some(Work::Turn(len)) => *len,
            Some(Work::Future(..)) => 1,
        }
    }

    /// Runs the callbacks that are left, on this thread. Their panics are caught and reported.
    ///
    /// On the grace-period thread, where nothing may block, an async callback goes to the worker
    /// thread instead, and a batch under a [`GlobalLock`](crate::GlobalLock) runs as with
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
    /// Under a [`GlobalLock`](crate::GlobalLock), and with async callbacks, `run` blocks the thread
    /// while it waits. If the lock's holder needs this thread to go on, spawn the batch instead.
    pub fn run(self) {
        let waits = !matches!(self.0.as_ref().map(|o| &o.work), Some(Work::Calls(_)));
        if waits && blocking::on_gp_thread() {
            self.hand_to_gp_thread();
        } else {
            block_on(self, None);
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        let work = self.0.as_ref().map(|open| &open.work);
        matches!(work, Some(Work::Future(..)))
    }

    /// Polls the batch. If work is left after a time slice, calls `again`, which wakes the poller.
    pub(super) fn poll_by(
        &mut self,
        cx: &mut task::Context<'_>,
        again: impl FnOnce(&mut task::Context<'_>),
    ) -> Poll<()> {
        if let Some(open) = &mut self.0 {
            ready!(open.poll(cx, again));
        }
        if let Some(Work::Future(future, running)) = self.0.take().map(|open| open.work) {
            drop_async(future, &running.ticket);
        }
        Poll::Ready(())
    }

    pub(crate) fn hand_to_worker(self) {
        if let Some(schedule) = self.schedule() {
            schedule.queue_on_worker(self);
        }
    }

    /// Leaves the callbacks to the threads that queued them, or hands them to the worker.
    pub(super) fn leave_to_callers(mut self) {
        match self.0.take() {
            Some(open) if matches!(open.work, Work::Calls(_)) => {
                let Open { watch, work, locking: _ } = *open;
                if let Work::Calls(Job { calls, context }) = work {
                    for (inbox, calls) in calls.by_threads() {
                        let part = Batch::calls(calls, context.ticket.clone());
                        Box::new(part).leave_in(inbox, false);
                    }
                    drop(watch);
                }
            }
            open => Batch(open).hand_to_worker(),
        }
    }

    /// Leaves the callbacks to the thread of an inbox, or hands them to the worker.
    pub(super) fn leave_in(self: Box<Self>, inbox: &'static Inbox, in_front: bool) {
        if let Some(schedule) = self.schedule() {
            if let Some(batch) = schedule.leave(inbox, self, in_front) {
                batch.hand_to_worker();
            }
        }
    }

    /// Runs up to so many callbacks. Returns whether some are left. The batch is one of callbacks
    /// without a lock.
    pub(super) fn run_share(&mut self, most: usize) -> bool {
        let more = self.0.as_mut().is_some_and(|open| open.run_calls(most));
        if !more {
            self.0 = None;
        }
        more
    }

    /// Hands the batch to the domain's grace-period thread, or an async callback to the worker.
    pub(super) fn hand_to_gp_thread(self) {
        if let Some(schedule) = self.schedule() {
            match self.is_async() {
                true => schedule.queue_on_worker(self),
                false => schedule.queue_on_gp_thread(self),
            }
        }
    }

    /// Returns the batch's ticket and how many callbacks are left (`None` for a turn), and the key
    /// under which the batch is watched.
    pub(crate) fn share(&self) -> (Option<(u64, usize)>, Option<ProgressKey>) {
        let Some(open) = &self.0 else {
            return (None, None);
        };
        let share = match &open.work {
            Work::Calls(job) => Some(job.share()),
            Work::Turn(_) => None,
            Work::Future(_, running) => Some((running.ticket.number(), 1)),
        };
        (share, Some(open.watch.progress.key))
    }

    fn schedule(&self) -> Option<Arc<dyn Schedule>> {
        let open = self.0.as_ref()?;
        Some(Arc::clone(&open.watch.schedule))
    }
}

impl Open {
    /// Runs a time slice of callbacks, and at most so many. Returns whether some are left.
    fn run_calls(&mut self, most: usize) -> bool {
        let BatchWatch { schedule, progress } = &self.watch;
        let Work::Calls(job) = &mut self.work else { return false };
        let slice = job.slice(progress, most);
        schedule.slice_ended(&slice);
        send_off(schedule, mem::take(&mut job.context.spawned));
        slice.more
    }

    /// Runs a time slice.
    fn poll(
        &mut self,
        cx: &mut task::Context<'_>,
        again: impl FnOnce(&mut task::Context<'_>),
    ) -> Poll<()> {
        let BatchWatch { schedule, progress } = &self.watch;
        let more = match &mut self.work {
            Work::Future(future, running) => return poll_async(future, &running.ticket, cx),
            Work::Calls(_) => self.run_calls(usize::MAX),
            Work::Turn(_) => {
                let Some(turns) = schedule.turns() else {
                    return Poll::Ready(());
                };
                let held = match lock(turns, &mut self.locking, cx) {
                    Poll::Ready(held) => Some(held),
                    Poll::Pending => {
                        progress.waits_for_lock();
                        return Poll::Pending;
                    }
                };
                // Only the lock's holder takes the head of the line.
                let Some(mut job) = turns.line.lock().pop_front() else {
                    let _ = quietly(move || drop(held));
                    return Poll::Ready(());
                };
                job.context.held = held;
                let slice = job.slice(progress, usize::MAX);
                let held = job.context.held.take();
                let spawned = mem::take(&mut job.context.spawned);
                // The job goes back to the line before the lock is released. A job that is done is
                // dropped, and its ticket closed, after that.
                let done = match slice.more {
                    true => {
                        turns.line.lock().push_front(job);
                        None
                    }
                    false => Some(job),
                };
                // This wakes the next waiter for the lock: foreign code.
                let _ = quietly(move || drop(held));
                schedule.slice_ended(&slice);
                send_off(schedule, spawned);
                drop(done);
                slice.more
            }
        };
        if more {
            again(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Takes the global lock, or waits for the lock with the future in `locking`.
fn lock(
    turns: &Turns,
    locking: &mut Option<BoxFuture<Box<dyn Held>>>,
    cx: &mut task::Context<'_>,
) -> Poll<Box<dyn Held>> {
    let held = match locking {
        None => match turns.lock.try_lock() {
            Some(held) => held,
            None => ready!(locking.insert(turns.lock.lock()).as_mut().poll(cx)),
        },
        Some(locking) => ready!(locking.as_mut().poll(cx)),
    };
    *locking = None;
    Poll::Ready(held)
}

/// Polls an async callback. A panic ends the callback, and is counted and reported.
fn poll_async(future: &mut BoxFuture<()>, ticket: &Ticket, cx: &mut task::Context<'_>) -> Poll<()> {
    let schedule = ticket.schedule();
    let _inside = InBatch::async_callback(schedule.id(), ticket.number());
    match quietly(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll,
        Err(message) => {
            schedule.report(PanicSource::AsyncCallback, message, Some(ticket.clone()));
            Poll::Ready(())
        }
    }
}

/// Drops the future of an async callback. The drop is foreign code.
fn drop_async(future: BoxFuture<()>, ticket: &Ticket) {
    if let Err(message) = quietly(move || drop(future)) {
        let schedule = ticket.schedule();
        schedule.report(PanicSource::AsyncCallback, message, Some(ticket.clone()));
    }
}

impl Future for Batch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.poll_by(cx, |cx| cx.waker().wake_by_ref())
    }
}

/// Rescues the callbacks of a batch that is dropped before its end.
impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(mut open) = self.0.take() {
            // The worker waits for the lock anew.
            let locking = open.locking.take();
            let _ = quietly(move || drop(locking));
            let schedule = Arc::clone(&open.watch.schedule);
            schedule.queue_on_worker(Batch(Some(open)));
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish()
    }
}

/// An async callback on a runtime. If the runtime drops the task, the callback counts as cancelled.
struct OnRuntime(Option<(BoxFuture<()>, Running)>);

impl Future for OnRuntime {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        if let Some((future, running)) = &mut self.0 {
            ready!(poll_async(future, &running.ticket, cx));
        }
        if let Some((future, running)) = self.0.take() {
            drop_async(future, &running.ticket);
        }
        Poll::Ready(())
    }
}

impl Drop for OnRuntime {
    fn drop(&mut self) {
        if let Some((future, running)) = self.0.take() {
            running.ticket.schedule().count_cancelled();
            drop_async(future, &running.ticket);
        }
    }
}
