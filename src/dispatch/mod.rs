//! Running ready callbacks.
//!
//! # The way of a callback
//! The grace-period thread collects callbacks under a [`Ticket`], which has the number of the
//! collection. After their grace period, the dispatcher hands them as a [`Batch`] to the domain's
//! [`Executor`](executor::Executor). The batch runs its [job](job::Job): the job takes each
//! callback out, then runs it, and catches its panic. A batch that is dropped before its end goes
//! to the [worker](worker::Worker), never back to an executor. The ticket closes when the batch,
//! the async callbacks that the batch spawned, and the reports that the batch caused are done. A
//! drain waits for all tickets up to its own number.
//!
//! # Locks
//! A thread holds a lock of this folder only for a few instructions. Under the lock it takes no
//! other lock, and neither runs nor drops foreign code: an executor, waker, callback or future.

pub(crate) mod batch;
pub(crate) mod blocking;
pub(crate) mod calling;
pub(crate) mod executor;
pub(crate) mod job;
pub(crate) mod panics;
pub(crate) mod progress;
pub(crate) mod runtime;
pub(crate) mod worker;

use crate::callback::inbox::Inbox;
use batch::Batch;
use job::{Slice, Turns};
use panics::PanicSource;
use progress::Progress;
use std::sync::Arc;

/// What batches and jobs need done by their dispatcher, which they know only by this trait.
pub(crate) trait Schedule: Send + Sync {
    /// Hands a batch to the executor. If the executor panics, the report holds `ticket` open.
    fn execute(&self, batch: Batch, ticket: Ticket);

    /// Queues a batch on the worker, or on the grace-period thread if no worker can be started.
    fn queue_on_worker(&self, batch: Batch);

    /// Leaves a batch of callbacks to the thread of an inbox, or gives it back: then no thread
    /// would look there, or somebody waits for it.
    fn leave(&self, inbox: &'static Inbox, batch: Box<Batch>, in_front: bool) -> Option<Batch>;

    /// Queues a batch on the grace-period thread, and wakes that thread.
    fn queue_on_gp_thread(&self, batch: Batch);

    /// Returns the global lock and the jobs that wait for it, if callbacks run under a lock.
    fn turns(&self) -> Option<&Turns>;

    fn open_share(&self, number: u64);

    /// Closes a share of a ticket. The close of the last share wakes the drains that end with it.
    fn close_share(&self, number: u64);

    /// Begins to watch a batch, or an async callback with the number of its ticket.
    fn watch(&self, async_of: Option<u64>) -> Arc<Progress>;

    /// Stops watching a batch or an async callback that is over.
    fn unwatch(&self, progress: &Progress);

    /// Counts a time slice of a job, and gives back the room of its callbacks, which may wake
    /// waiters. The caller holds no lock, and has the job's ticket open.
    fn slice_ended(&self, slice: &Slice);

    /// Counts an async callback that its runtime has dropped before its end.
    fn count_cancelled(&self);

    /// Has the grace-period thread report a panic. `ticket` is open until the report is made.
    fn report(&self, source: PanicSource, message: String, ticket: Option<Ticket>);
}

impl dyn Schedule {
    /// Returns the address, to compare dispatchers.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns the address of the global lock, or 0.
    fn lock_id(&self) -> usize {
        self.turns().map_or(0, |turns| turns.lock.id())
    }
}

/// An open share of a collection's work.
pub(crate) struct Ticket {
    schedule: Arc<dyn Schedule>,
    number: u64,
}

impl Ticket {
    /// Returns the owner of an open share.
    pub(crate) fn of(schedule: Arc<dyn Schedule>, number: u64) -> Self {
        Self { schedule, number }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn schedule(&self) -> &Arc<dyn Schedule> {
        &self.schedule
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        self.schedule.open_share(self.number);
        Self::of(Arc::clone(&self.schedule), self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.schedule.close_share(self.number);
    }
}
