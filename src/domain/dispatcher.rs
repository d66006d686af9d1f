//! The dispatcher hands out ready batches, and keeps account of them until they are done.

use super::backpressure::Backlog;
use super::callers::Callers;
use super::drain::Tickets;
use super::stall::watch::Watch;
use crate::callback::inbox::Inbox;
use crate::dispatch::batch::Batch;
use crate::dispatch::blocking;
use crate::dispatch::executor::Executor;
use crate::dispatch::job::{BigLock, Job, Slice, Turns};
use crate::dispatch::panics::{PanicReport, PanicSource};
use crate::dispatch::progress::{Progress, saturated};
use crate::dispatch::runtime;
use crate::dispatch::worker::Worker;
use crate::dispatch::{Schedule, Ticket};
use crate::reader::location::set_task_source;
use crate::sys::event::Event;
use crate::sys::prim::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::sys::thread;
use crate::sys::unwind::quietly;
use crate::sys::wake::WakeList;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A report for the grace-period thread to make. Its open ticket makes drains wait for the report.
pub(crate) struct PendingReport {
    pub(crate) report: PanicReport,
    pub(crate) ticket: Option<Ticket>,
}

pub(crate) struct Dispatcher {
    event: &'static Event,
    pub(crate) name: String,
    /// Dropped by the grace-period thread, not by the thread that closes the last ticket.
    executor: Mutex<Option<Arc<dyn Executor>>>,
    turns: Option<Turns>,
    pub(crate) tickets: Tickets,
    pub(crate) worker: Arc<Worker>,
    /// For the grace-period thread to poll.
    inline: Mutex<VecDeque<Batch>>,
    reports: Mutex<Vec<PendingReport>>,
    pub(crate) watch: Watch,
    pub(crate) backlog: Option<Backlog>,
    /// Callbacks that are left to their threads, if the executor is `CallingThread`.
    pub(crate) callers: Option<Callers>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    /// How many nanoseconds the longest callback took.
    pub(crate) longest: AtomicU64,
    /// Async callbacks that have begun and are not over.
    pub(crate) running: AtomicUsize,
}

impl Dispatcher {
    pub(crate) fn new(
        event: &'static Event,
        name: String,
        executor: Arc<dyn Executor>,
        lock: Option<Box<dyn BigLock>>,
        max_pending: Option<usize>,
        by_callers: bool,
        stack: Option<usize>,
    ) -> Arc<Self> {
        set_task_source(runtime::current_task);
        Arc::new(Self {
            event,
            worker: Worker::new(name.clone(), stack, event),
            name,
            executor: Mutex::new(Some(executor)),
            turns: lock.map(|lock| Turns { lock, line: Mutex::new(VecDeque::new()) }),
            tickets: Tickets::new(),
            inline: Mutex::new(VecDeque::new()),
            reports: Mutex::new(Vec::new()),
            watch: Watch::new(),
            backlog: max_pending.map(Backlog::new),
            callers: by_callers.then(Callers::new),
            counts: Counts::default(),
        })
    }

    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn begin_collection(self: &Arc<Self>) -> Ticket {
        Ticket::of(Arc::clone(self) as Arc<dyn Schedule>, self.tickets.begin())
    }

    /// In the child of a fork: counts the work that is left: `queued` callbacks, the collections of
    /// `collected`, and the queues of this dispatcher. Moves the wakers of all waiters to `wakers`.
    pub(crate) fn after_fork(
        self: &Arc<Self>,
        queued: u64,
        collected: Vec<(u64, usize)>,
        wakers: &mut WakeList,
    ) {
        self.worker.after_fork();
        // The threads that were to run them may not exist.
        let left = self.callers.as_ref().map(|callers| callers.take(true));
        self.worker.leave_for_later(left.unwrap_or_default());
        let mut shares = collected;
        let mut watched = Vec::new();
        let mut turns = 0;
        let mut futures = 0;
        let mut count = |batch: &Batch| {
            let (share, key) = batch.share();
            turns += usize::from(share.is_none());
            futures += usize::from(batch.is_async());
            shares.extend(share);
            watched.extend(key);
        };
        self.inline.lock().iter().for_each(&mut count);
        self.worker.for_each(&mut count);
        if let Some(Turns { line, .. }) = &self.turns {
            shares.extend(line.lock().iter().map(Job::share));
        }
        // The batches that this thread runs go on. Each counts as one callback, though more may be
        // left.
        for (number, is_async) in blocking::tickets_of(self.id()) {
            shares.push((number, 1));
            futures += usize::from(is_async);
        }
        let pending = usize::try_from(queued).unwrap_or(usize::MAX);
        let pending = shares.iter().fold(pending, |sum, (_, len)| sum + len);
        // A report has a share, but is no callback.
        let reports = self.reports.lock();
        let reported = reports.iter().filter_map(|p| p.ticket.as_ref());
        let reported: Vec<_> = reported.map(|t| (t.number(), 0)).collect();
        drop(reports);
        shares.extend(reported);
        self.watch.keep(&watched);
        self.counts.running.store(futures, Ordering::Relaxed);
        if let Some(backlog) = &self.backlog {
            backlog.recount(pending, wakers);
        }
        let numbers = shares.into_iter().map(|(number, _)| number);
        self.tickets.reopen(numbers, wakers);
        let mut new = Vec::new();
        if let Some(Turns { line, .. }) = &self.turns {
            let line = line.lock();
            let lost = line.iter().skip(turns);
            let turn = |job| Batch::turn(Arc::clone(self) as Arc<dyn Schedule>, job);
            new.extend(lost.map(turn));
        }
        // Even if `new` is empty: the batches in the worker's queue need a thread.
        self.worker.leave_for_later(new);
    }

    pub(crate) fn give_back(&self, n: usize) {
        if let Some(backlog) = &self.backlog {
            backlog.give_back(n);
        }
    }

    /// Drops the executor of a domain that has ended.
    pub(crate) fn dismiss_executor(&self) {
        let executor = self.executor.lock().take();
        let _ = quietly(move || drop(executor));
    }

    pub(crate) fn pop_inline(&self) -> Option<Batch> {
        self.inline.lock().pop_front()
    }

    pub(crate) fn unpop_inline(&self, batch: Batch) {
        self.inline.lock().push_front(batch);
    }

    pub(crate) fn take_reports(&self) -> Vec<PendingReport> {
        std::mem::take(&mut *self.reports.lock())
    }

    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.lock().is_empty()
    }
}

impl Schedule for Dispatcher {
    fn execute(&self, batch: Batch, ticket: Ticket) {
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        let Some(executor) = self.executor.lock().clone() else {
            return self.queue_on_worker(batch);
        };
        // If the executor panics, it drops the batch, whose drop sends it to the worker.
        let executed = quietly(|| executor.execute(batch));
        // Before `ticket`: while the ticket is open, the domain lives and owns the executor too.
        let _ = quietly(move || drop(executor));
        if let Err(message) = executed {
            self.report(PanicSource::Executor, message, Some(ticket));
        }
    }

    fn queue_on_worker(&self, batch: Batch) {
        if let Err(batch) = self.worker.push(batch) {
            self.queue_on_gp_thread(batch);
        }
    }

    fn leave(&self, inbox: &'static Inbox, batch: Box<Batch>, in_front: bool) -> Option<Batch> {
        let Some(callers) = self.callers.as_ref().filter(|_| self.tickets.awaited().is_none())
        else {
            return Some(*batch);
        };
        if callers.leave(inbox, batch, in_front) && blocking::gp_thread_of() != self.id() {
            self.event.set();
        }
        None
    }

    fn queue_on_gp_thread(&self, batch: Batch) {
        self.inline.lock().push_back(batch);
        self.event.set();
    }

    fn turns(&self) -> Option<&Turns> {
        self.turns.as_ref()
    }

    fn open_share(&self, number: u64) {
        self.tickets.open(number);
    }

    fn close_share(&self, number: u64) {
        if self.tickets.close(number) {
            self.event.set();
        }
    }

    fn watch(&self, async_of: Option<u64>) -> Arc<Progress> {
        if async_of.is_some() {
            self.counts.running.fetch_add(1, Ordering::Relaxed);
        }
        self.watch.add(async_of)
    }

    fn unwatch(&self, progress: &Progress) {
        self.watch.remove(progress);
        if progress.is_async() {
            self.counts.running.fetch_sub(1, Ordering::Relaxed);
            self.give_back(1);
        }
    }

    fn slice_ended(&self, slice: &Slice) {
        self.watch.made_progress(slice.at);
        let longest = saturated(slice.longest);
        if blocking::gp_thread_of() == self.id() {
            self.watch.ran_unwatched(longest);
        }
        if longest > self.counts.longest.load(Ordering::Relaxed) {
            self.counts.longest.fetch_max(longest, Ordering::Relaxed);
        }
        self.give_back(slice.ended);
    }

    fn count_cancelled(&self) {
        self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self, source: PanicSource, message: String, ticket: Option<Ticket>) {
        if matches!(source, PanicSource::Callback | PanicSource::AsyncCallback) {
            self.counts.panicked.fetch_add(1, Ordering::Relaxed);
        }
        let report = PanicReport {
            source,
            message,
            thread: thread::current_name(),
            domain: self.name.clone(),
        };
        self.reports.lock().push(PendingReport { report, ticket });
        self.event.set();
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("name", &self.name).finish_non_exhaustive()
    }
}
