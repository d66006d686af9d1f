//! A job runs the callbacks of one collection, in time slices.

use super::Ticket;
use super::blocking::InBatch;
use super::panics::PanicSource;
use super::progress::Progress;
use super::runtime::Runtime;
use crate::callback::queue::CallbackList;
use crate::sys::clock::Instant;
use crate::sys::prim::Mutex;
use crate::sys::unwind::quietly;
use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

crate::sys::prim::model_const! {
    /// The time after which a batch yields to the other work of its executor.
    const SLICE: Duration = Duration::from_micros(200), loom Duration::ZERO;
    /// Callbacks that together take less than this are timed together, at most `GROUP_MOST`.
    const GROUP_TIME: Duration = Duration::from_micros(1), loom Duration::ZERO;
}
const GROUP_MOST: usize = 16;

/// A global lock, type-erased.
pub(crate) trait BigLock: Send + Sync {
    fn id(&self) -> usize;
    fn try_lock(&self) -> Option<Box<dyn Held>>;
    fn lock(&self) -> BoxFuture<Box<dyn Held>>;
}

/// A held global lock, type-erased.
pub(crate) trait Held: Send {
    fn value(&mut self) -> &mut dyn Any;
}

/// The global lock of a domain, and the line of jobs that wait for it. There are as many batches as
/// jobs, and each batch runs the first job: jobs run in order, batches in any order.
pub(crate) struct Turns {
    pub(crate) lock: Box<dyn BigLock>,
    pub(crate) line: Mutex<VecDeque<Job>>,
}

pub(crate) struct Job {
    pub(super) calls: CallbackList,
    /// Dropped after `calls`: the ticket closes last.
    pub(super) context: Context,
}

/// Where an async callback runs when its grace period is over.
pub(crate) enum RunOn {
    Runtime(Runtime),
    Executor,
    /// The worker runs the callback, whatever the executor does.
    Worker,
}

/// What a callback is given when it runs.
pub(crate) struct Context {
    pub(super) ticket: Ticket,
    pub(super) held: Option<Box<dyn Held>>,
    /// Async callbacks that this slice has spawned. They are handed out after the lock is released.
    pub(super) spawned: Vec<Spawned>,
}

pub(super) struct Spawned {
    pub(super) run_on: RunOn,
    pub(super) future: BoxFuture<()>,
    pub(super) running: Running,
}

/// Keeps an async callback watched, and its ticket open.
pub(super) struct Running {
    pub(super) ticket: Ticket,
    pub(super) progress: Arc<Progress>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ticket.schedule().unwatch(&self.progress);
    }
}

impl Context {
    /// Returns the context of the running callback.
    pub(crate) fn of(context: &mut dyn Any) -> &mut Self {
        let context = context.downcast_mut();
        context.expect("only jobs run the callbacks of domains")
    }

    /// Has a future run from the end of the time slice on.
    pub(crate) fn spawn(&mut self, run_on: RunOn, future: BoxFuture<()>) {
        let ticket = self.ticket.clone();
        let progress = ticket.schedule().watch(Some(ticket.number()));
        self.spawned.push(Spawned { run_on, future, running: Running { ticket, progress } });
    }

    /// Returns the state under the global lock with this address, if the batch holds that lock.
    pub(crate) fn locked<T: 'static>(&mut self, lock: usize) -> Option<&mut T> {
        if self.ticket.schedule().lock_id() != lock {
            return None;
        }
        self.held.as_mut()?.value().downcast_mut()
    }
}

/// What a job did in one time slice.
pub(crate) struct Slice {
    /// Callbacks are left.
    pub(super) more: bool,
    /// How many callbacks have ended.
    pub(crate) ended: usize,
    /// The end of the slice.
    pub(crate) at: Instant,
    /// How long the longest callback took.
    pub(crate) longest: Duration,
}

impl Job {
    pub(super) fn new(calls: CallbackList, ticket: Ticket) -> Self {
        let context = Context { ticket, held: None, spawned: Vec::new() };
        Self { calls, context }
    }

    /// Returns the ticket's number, and how many callbacks are left.
    pub(crate) fn share(&self) -> (u64, usize) {
        (self.context.ticket.number(), self.calls.len())
    }

    /// Runs callbacks for a time slice, and at most so many.
    pub(super) fn slice(&mut self, progress: &Progress, most: usize) -> Slice {
        let Job { calls, context } = self;
        let schedule = Arc::clone(context.ticket.schedule());
        let ticket = context.ticket.number();
        let _inside = InBatch::calls(schedule.id(), schedule.lock_id(), ticket);
        let start = Instant::now();
        progress.runs(start);
        let before = calls.len();
        let mut last = start;
        let mut longest = Duration::ZERO;
        // Callbacks per look at the clock, since a look costs more than a short callback.
        let mut group = 1;
        // So many are left at the end of the slice, at least.
        let rest = before.saturating_sub(most);
        while calls.len() != 0 {
            let mut left = group.min(calls.len() - rest);
            while left != 0 && calls.len() != 0 {
                let ran = quietly(|| {
                    while left != 0 {
                        let Some(call) = calls.pop() else { return };
                        left -= 1;
                        call.run(context);
                    }
                });
                if let Err(message) = ran {
                    let ticket = Some(context.ticket.clone());
                    schedule.report(PanicSource::Callback, message, ticket);
                }
            }
            let now = Instant::now();
            let took = now.saturating_duration_since(last);
            longest = longest.max(took);
            group = match took < GROUP_TIME {
                true => (2 * group).min(GROUP_MOST),
                false => 1,
            };
            last = now;
            progress.next_callback(now);
            if calls.len() <= rest || now.saturating_duration_since(start) >= SLICE {
                break;
            }
        }
        progress.pauses(last);
        Slice {
            more: calls.len() != 0,
            // An async callback gives its room back when its future is over.
            ended: before - calls.len() - context.spawned.len(),
            at: last,
            longest,
        }
    }
}
