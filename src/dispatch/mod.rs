//! Running ready callbacks.
//!
//! # The way of a callback
//! The grace-period thread collects callbacks under a [`Ticket`], which has the number of the
//! collection. When their grace period is over, the dispatcher wraps them in a [`Batch`] and hands
//! the batch to the domain's [`Executor`](executor::Executor). The batch runs its
//! [job](job::Job): the job takes each callback out, then runs it, and catches its panic. A batch
//! that is dropped before its end goes to the [worker](worker::Worker), never back to an executor.
//! The ticket closes when the batch, the async callbacks that it spawned, and the reports that it
//! caused are done. A drain waits for all tickets up to its own number.
//!
//! A batch does not know its dispatcher. It knows the trait [`Schedule`], which the dispatcher
//! implements.
//!
//! # Locks
//! A thread holds each lock of this floor for a few instructions, takes no lock inside another, and
//! runs no foreign code under a lock: no executor, waker, callback or future, nor a drop of one.

pub(crate) mod batch;
pub(crate) mod blocking;
pub(crate) mod executor;
pub(crate) mod job;
pub(crate) mod panics;
pub(crate) mod progress;
pub(crate) mod runtime;
pub(crate) mod worker;

use batch::Batch;
use job::{Slice, Turns};
use panics::PanicSource;
use progress::Progress;
use std::sync::Arc;

/// What a batch, a job and an async callback need done by their domain.
pub(crate) trait Schedule: Send + Sync {
    /// Hands a batch to the executor. A report of the executor's panic holds `ticket` open.
    fn execute(&self, batch: Batch, ticket: Ticket);

    /// Queues a batch on the worker; on the grace-period thread if the worker cannot be started.
    fn queue_on_worker(&self, batch: Batch);

    /// Queues a batch on the grace-period thread, and wakes that thread.
    fn queue_on_gp_thread(&self, batch: Batch);

    /// Returns the global lock and the jobs that wait for it, if callbacks run under a lock.
    fn turns(&self) -> Option<&Turns>;

    /// Opens one more share of a ticket that is open.
    fn open_share(&self, number: u64);

    /// Closes a share of a ticket. The last one wakes the drains that end with it.
    fn close_share(&self, number: u64);

    /// Begins to watch a batch, or the async callback that has this ticket.
    fn watch(&self, async_of: Option<u64>) -> Arc<Progress>;

    /// A batch or an async callback is over.
    fn unwatch(&self, progress: &Progress);

    /// A job has run for a time slice. Gives back the room of its callbacks, which may wake
    /// waiters: the caller holds no lock, and has the job's ticket open.
    fn slice_ended(&self, slice: &Slice);

    /// A runtime has dropped an async callback before its end.
    fn count_cancelled(&self);

    /// Has the grace-period thread report a panic. `ticket` is open until the report is made.
    fn report(&self, source: PanicSource, message: String, ticket: Option<Ticket>);
}

impl dyn Schedule {
    /// Returns the address of the implementor, as a name.
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
    /// Takes over a share that is open.
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
