//! What everything on this floor shares: the executor, the global lock, the worker, tickets, reports, counts.

use super::backlog::Backlog;
use super::batch::Batch;
use super::executor::Executor;
use super::global_lock::BigLock;
use super::here;
use super::job::Job;
use super::runtime;
use super::tickets::{Ticket, Tickets};
use super::watch::Watch;
use super::worker::Worker;
use crate::reader::location::set_task_source;
use crate::sys::event::Event;
use crate::sys::prim::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::sys::thread;
use crate::sys::wake::{WakeList, quietly};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something of the user's panicked and was caught. Given to [`Builder::on_panic`](crate::Builder::on_panic).
///
/// ```
/// use std::sync::mpsc;
/// let (send, reports) = mpsc::channel();
/// let rcu = async_rcu::Rcu::builder()
///     .on_panic(move |report| drop(send.send(report.to_string())))
///     .build()?;
/// rcu.call(|| panic!("no such device"));
/// rcu.blocking_drain();
/// assert!(reports.recv()?.contains("no such device"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PanicReport {
    /// What panicked.
    pub source: PanicSource,
    /// The panic's message.
    pub message: String,
    /// The name of the thread that it happened on.
    pub thread: Option<String>,
    /// The name of the domain.
    pub domain: String,
}

/// What kind of foreign code panicked.
///
/// ```
/// use async_rcu::{Rcu, report::PanicSource};
/// use std::sync::mpsc;
/// let (send, sources) = mpsc::channel();
/// let rcu = Rcu::builder()
///     .on_panic(move |report| drop(send.send(report.source)))
///     .build()?;
/// rcu.call(|| panic!("no such device"));
/// assert_eq!(sources.recv()?, PanicSource::Callback);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicSource {
    /// A callback, or the drop of a retired value. Counted in [`Stats::panicked`](crate::Stats::panicked).
    Callback,
    /// An async callback. Counted in [`Stats::panicked`](crate::Stats::panicked).
    AsyncCallback,
    /// [`Executor::execute`].
    Executor,
    /// A hook set in the [`Builder`](crate::Builder).
    Hook,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.source {
            PanicSource::Callback => "a callback",
            PanicSource::AsyncCallback => "an async callback",
            PanicSource::Executor => "the executor",
            PanicSource::Hook => "a hook",
        };
        write!(f, "{what} of RCU domain \"{}\" panicked", self.domain)?;
        if let Some(thread) = &self.thread {
            write!(f, " on thread \"{thread}\"")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A report on its way to the grace-period thread, which alone emits. It holds its batch's ticket open, so that a drain
/// returns after the report has been made.
pub(crate) struct Pending {
    pub(crate) report: PanicReport,
    pub(crate) _ticket: Option<Ticket>,
}

pub(crate) struct Dispatcher {
    event: &'static Event,
    pub(crate) name: String,
    /// Taken out at the end, so that it is dropped by the grace-period thread and not by whoever has the last ticket.
    executor: Mutex<Option<Arc<dyn Executor>>>,
    pub(crate) lock: Option<Box<dyn BigLock>>,
    pub(crate) tickets: Tickets,
    pub(crate) worker: Worker,
    /// Batches that the grace-period thread is to poll.
    inline: Mutex<VecDeque<Batch>>,
    /// Under a global lock: what is to run, in order. Batches are then turns at the head of this line.
    pub(super) line: Mutex<VecDeque<Job>>,
    reports: Mutex<Vec<Pending>>,
    pub(crate) watch: Watch,
    /// Where a limit is set.
    pub(crate) backlog: Option<Backlog>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    longest: AtomicU64,
    /// Async callbacks spawned and not yet over.
    pub(crate) running: AtomicUsize,
}

impl Counts {
    pub(crate) fn callback_took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // A load first: most batches do not set a record.
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

impl Dispatcher {
    pub(crate) fn new(
        event: &'static Event,
        name: String,
        executor: Arc<dyn Executor>,
        lock: Option<Box<dyn BigLock>>,
        max_pending: Option<usize>,
    ) -> Arc<Self> {
        set_task_source(runtime::current_task);
        Arc::new(Self {
            event,
            name,
            executor: Mutex::new(Some(executor)),
            lock,
            tickets: Tickets::new(),
            worker: Worker::new(),
            inline: Mutex::new(VecDeque::new()),
            line: Mutex::new(VecDeque::new()),
            reports: Mutex::new(Vec::new()),
            watch: Watch::new(),
            backlog: max_pending.map(Backlog::new),
            counts: Counts::default(),
        })
    }

    /// The address as a name.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The address of the global lock, or 0.
    pub(crate) fn lock_id(&self) -> usize {
        self.lock.as_ref().map_or(0, |lock| lock.id())
    }

    /// In the child of a fork: `queued` callbacks are not collected, and these collections not handed out. What else is left
    /// stands in our own queues. Whoever waits is put among `wakers`.
    pub(crate) fn after_fork(
        self: &Arc<Self>,
        queued: u64,
        collected: Vec<(u64, usize)>,
        wakers: &mut WakeList,
    ) {
        self.worker.after_fork(here::is_worker_of(self.id()));
        let mut shares = collected;
        let mut watched = Vec::new();
        let mut turns = 0;
        let mut futures = 0;
        let mut count = |batch: &Batch| {
            let (share, entry) = batch.share();
            turns += usize::from(share.is_none());
            futures += usize::from(batch.is_async());
            shares.extend(share);
            watched.extend(entry);
        };
        self.inline.lock().iter().for_each(&mut count);
        self.worker.for_each(&mut count);
        shares.extend(self.line.lock().iter().map(Job::share));
        // What this thread is in the middle of goes on: one callback of each, and what comes behind it, is counted loosely.
        for (number, is_async) in here::tickets_of(self.id()) {
            shares.push((number, 1));
            futures += usize::from(is_async);
        }
        let pending = usize::try_from(queued).unwrap_or(usize::MAX);
        let pending = shares.iter().fold(pending, |sum, (_, len)| sum + len);
        // A report holds a share, and stands for no callback.
        let reports = self.reports.lock();
        let reported = reports.iter().filter_map(|p| p._ticket.as_ref());
        let reported: Vec<_> = reported.map(|t| (t.number(), 0)).collect();
        drop(reports);
        shares.extend(reported);
        self.watch.keep(&watched);
        self.counts.running.store(futures, Ordering::Relaxed);
        if let Some(backlog) = &self.backlog {
            backlog.recount(pending, wakers);
        }
        self.tickets
            .reopen(shares.into_iter().map(|(number, _)| number), wakers);
        let line = self.line.lock();
        let lost = line.iter().skip(turns);
        let new: Vec<_> = lost.map(|job| Batch::turn(self, job)).collect();
        drop(line);
        self.worker.leave_for_later(new);
    }

    /// So many callbacks have finished.
    pub(crate) fn give_back(&self, n: usize) {
        if let Some(backlog) = &self.backlog {
            backlog.give_back(n);
        }
    }

    /// Wakes the grace-period thread to look at what was handed to it.
    pub(crate) fn kick(&self) {
        self.event.set();
    }

    /// Hands a batch to the executor. `ticket`: the batch's, for a report.
    pub(crate) fn execute(self: &Arc<Self>, batch: Batch, ticket: Ticket) {
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        let Some(executor) = self.executor.lock().clone() else {
            return self.rescue(batch);
        };
        // What a panic leaves of the batch is dropped on the way, and so goes to the worker.
        let executed = quietly(|| executor.execute(batch));
        // Before the ticket: as long as that is open the domain goes on, and the executor has another owner.
        let _ = quietly(move || drop(executor));
        if let Err(message) = executed {
            self.report(PanicSource::Executor, message, Some(ticket));
        }
    }

    /// The domain is over: drops the executor.
    pub(crate) fn dismiss_executor(&self) {
        let executor = self.executor.lock().take();
        let _ = quietly(move || drop(executor));
    }

    /// A batch that nobody finished: runs on the worker; where that cannot be started, on the grace-period thread.
    pub(crate) fn rescue(self: &Arc<Self>, batch: Batch) {
        if let Err(batch) = Worker::push(self, batch) {
            self.push_inline(batch);
        }
    }

    pub(crate) fn push_inline(&self, batch: Batch) {
        self.inline.lock().push_back(batch);
        self.kick();
    }

    /// Grace-period thread: the batch to go on with.
    pub(crate) fn pop_inline(&self) -> Option<Batch> {
        self.inline.lock().pop_front()
    }

    /// Grace-period thread: it is not done yet, and keeps its turn.
    pub(crate) fn unpop_inline(&self, batch: Batch) {
        self.inline.lock().push_front(batch);
    }

    pub(crate) fn report(&self, source: PanicSource, message: String, ticket: Option<Ticket>) {
        if matches!(source, PanicSource::Callback | PanicSource::AsyncCallback) {
            self.counts.panicked.fetch_add(1, Ordering::Relaxed);
        }
        let report = PanicReport {
            source,
            message,
            thread: thread::current_name(),
            domain: self.name.clone(),
        };
        self.reports.lock().push(Pending {
            report,
            _ticket: ticket,
        });
        self.kick();
    }

    pub(crate) fn take_reports(&self) -> Vec<Pending> {
        std::mem::take(&mut *self.reports.lock())
    }

    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.lock().is_empty()
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
