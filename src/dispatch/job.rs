//! The callbacks of one collection as they run: in time slices, each given a [`Context`].

use super::batch::BoxFuture;
use super::dispatcher::PanicSource;
use super::global_lock::Held;
use super::here::{self, InBatch};
use super::runtime::Runtime;
use super::tickets::Ticket;
use super::watch::Entry;
use crate::callback::queue::CallbackList;
use crate::sys::clock::Instant;
use crate::sys::prim::Ordering;
use crate::sys::wake::quietly;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

crate::sys::prim::model_const! {
    /// How long a batch runs before it yields to the other work of its executor.
    const SLICE: Duration = Duration::from_micros(200), loom Duration::ZERO;
    /// Callbacks are timed together while they take less than this, `GROUP_MOST` of them at most.
    const GROUP_TIME: Duration = Duration::from_micros(1), loom Duration::ZERO;
}
const GROUP_MOST: usize = 16;

/// The callbacks of one collection, and what they are given.
pub(super) struct Job {
    pub(super) calls: CallbackList,
    /// Behind the calls, and so dropped after them: the ticket closes last.
    pub(super) context: Context,
}

/// Where an async callback goes when its grace period is over.
pub(crate) enum RunOn {
    /// The runtime that was current at the call.
    Runtime(Runtime),
    /// The domain's executor.
    Executor,
    /// The domain's worker: it must run, whatever becomes of executors.
    Worker,
}

/// What a callback is given when it runs.
pub(crate) struct Context {
    ticket: Ticket,
    pub(super) held: Option<Box<dyn Held>>,
    /// Async callbacks of this slice; they are sent off when the lock is no longer held.
    pub(super) spawned: Vec<Spawned>,
}

pub(super) struct Spawned {
    pub(super) run_on: RunOn,
    pub(super) future: BoxFuture<()>,
    pub(super) running: Running,
}

/// Counts an async callback as running, and keeps its ticket open.
pub(crate) struct Running(pub(super) Ticket, pub(super) Arc<Entry>);

impl Running {
    fn new(ticket: Ticket) -> Self {
        let dispatcher = ticket.dispatcher();
        dispatcher.counts.running.fetch_add(1, Ordering::Relaxed);
        let entry = dispatcher.watch.future(ticket.number());
        Self(ticket, entry)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let dispatcher = self.0.dispatcher();
        dispatcher.watch.remove(&self.1);
        dispatcher.counts.running.fetch_sub(1, Ordering::Relaxed);
        dispatcher.give_back(1);
    }
}

impl Context {
    /// Returns what a callback was given.
    pub(crate) fn of(context: &mut dyn Any) -> &mut Self {
        let context = context.downcast_mut();
        context.expect("only jobs run the callbacks of domains")
    }

    /// Sends a future off, as soon as the callback's slice is over.
    pub(crate) fn spawn(&mut self, run_on: RunOn, future: BoxFuture<()>) {
        self.spawned.push(Spawned {
            run_on,
            future,
            running: Running::new(self.ticket.clone()),
        });
    }

    /// What the global lock with this address guards, where the batch holds that.
    pub(crate) fn locked<T: 'static>(&mut self, lock: usize) -> Option<&mut T> {
        if self.ticket.dispatcher().lock_id() != lock {
            return None;
        }
        self.held.as_mut()?.value().downcast_mut()
    }
}

/// What a time slice came to.
pub(super) struct Slice {
    /// Some callbacks are left.
    pub(super) more: bool,
    /// So many have ended, and are to be given back: outside the lock, and before the ticket closes.
    pub(super) ended: usize,
}

impl Job {
    pub(super) fn new(calls: CallbackList, ticket: Ticket) -> Self {
        let context = Context {
            ticket,
            held: None,
            spawned: Vec::new(),
        };
        Self { calls, context }
    }

    /// The number of its ticket, and how many callbacks are left.
    pub(super) fn share(&self) -> (u64, usize) {
        (self.context.ticket.number(), self.calls.len())
    }

    /// Runs callbacks for one time slice.
    pub(super) fn slice(&mut self, entry: Option<&Entry>) -> Slice {
        let Job { calls, context } = self;
        let dispatcher = Arc::clone(context.ticket.dispatcher());
        let _here = InBatch::calls(
            dispatcher.id(),
            dispatcher.lock_id(),
            context.ticket.number(),
        );
        let start = Instant::now();
        if let Some(entry) = entry {
            dispatcher.watch.runs(entry, start);
        }
        let before = calls.len();
        let mut last = start;
        let mut longest = Duration::ZERO;
        // Callbacks between two looks at the clock, which costs more than a short one does.
        let mut group = 1;
        while calls.len() != 0 {
            let mut left = group;
            while left != 0 && calls.len() != 0 {
                // Each is taken out before it runs, so that one that panics is gone and the next one is next.
                let ran = quietly(|| {
                    while left != 0 {
                        let Some(call) = calls.pop() else { return };
                        left -= 1;
                        call.run(context);
                    }
                });
                if let Err(message) = ran {
                    let ticket = context.ticket.clone();
                    dispatcher.report(PanicSource::Callback, message, Some(ticket));
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
            if let Some(entry) = entry {
                dispatcher.watch.goes_on(entry, now);
            }
            if calls.len() != 0 && now.saturating_duration_since(start) >= SLICE {
                break;
            }
        }
        if let Some(entry) = entry {
            dispatcher.watch.rests(entry, last);
        }
        if here::gp_thread_of() == dispatcher.id() {
            dispatcher.watch.ran_unwatched(longest);
        }
        dispatcher.counts.callback_took(longest);
        Slice {
            more: calls.len() != 0,
            // An async callback gives its place back when it is over.
            ended: before - calls.len() - context.spawned.len(),
        }
    }
}
