//! The executor that leaves callbacks to the threads that queued them.

use super::batch::Batch;
use super::blocking;
use super::executor::Executor;
use crate::callback::inbox::Inbox;

/// Callbacks that a call runs before it queues its own. More than one, so that a thread runs more
/// than it queues.
const SHARE: usize = 64;

/// Leaves callbacks to the threads that queued them: what a thread retired is dropped by that
/// thread, where the memory is hot and the allocator has it at hand. For values that own memory,
/// such as strings and vectors, and are replaced often.
///
/// When its callbacks' grace period has elapsed, a thread runs up to 64 of them at the beginning of
/// its next `call`, `retire`, `store` or other write in the domain, outside of sections and of
/// other callbacks. What a thread leaves for more than a millisecond, because it is idle, has
/// ended, or is inside a section, goes to the worker thread. So does what a drain, a force or the
/// end of the domain waits for, every async callback, and everything under a
/// [`GlobalLock`](crate::GlobalLock). The callbacks of a batch run in order; two batches of a
/// thread may run at the same time, one on that thread and one on the worker.
///
/// ```
/// use async_rcu::{Rcu, RcuCell, executor::CallingThread};
/// let rcu = Rcu::builder().executor(CallingThread).build()?;
/// let motd = RcuCell::new_in(&rcu, String::new());
/// for n in 0..10_000 {
///     motd.store(format!("message {n}"));        // also drops older messages
/// }
/// rcu.blocking_drain();
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
///
/// # Deadlocks
/// A write may run the `Drop` of values that the thread retired before. So do not write while you
/// hold a lock that such a `Drop` takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallingThread;

impl Executor for CallingThread {
    fn execute(&self, batch: Batch) {
        batch.leave_to_callers();
    }
}

/// Runs some of the current thread's callbacks that wait in `inbox`. The thread is outside of
/// sections.
pub(crate) fn run_share(inbox: &'static Inbox) {
    if blocking::in_batch() {
        return;
    }
    let Some(work) = inbox.take_first() else { return };
    if let Ok(mut batch) = work.downcast::<Batch>() {
        if batch.run_share(SHARE) {
            batch.leave_in(inbox, true);
        }
    }
}
