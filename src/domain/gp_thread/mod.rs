//! The turns of the grace-period thread. How it sleeps and stops: [`sleep`]. How it starts:
//! [`start`].
//!
//! # A turn
//! 1. Take the requests: force, drains, the highest wanted number, a backlog above half its limit,
//!    the drop of a structure in a domain that may be about to end.
//! 2. If callbacks or a drain are due, begin a collection, and collect the queues.
//! 3. Start a grace period. The collected callbacks get its number. Its fence covers everything
//!    that a producer unlinked before it queued one of these callbacks.
//! 4. Scan, if a waiter or a collection waits.
//! 5. Outside the lock: wake waiters, ask sections to end if this is urgent, hand out ready
//!    batches, make reports, poll one batch of this thread. Ready callbacks stay in the domain
//!    until they are handed out, one batch at a time.
//!
//! Turns follow each other while they do work. Each turn reads all state again, so that several
//! kicks count as one, and no kick hides another.
//!
//! # When a grace period starts
//! | wanted by | when |
//! |---|---|
//! | callbacks | at once after idleness, else `batch_interval` after the last start, or when a thread has filled many chunks; when fewer than two collections wait |
//! | callbacks of a structure that was dropped without a user's handle | at once, when fewer than two collections wait |
//! | synchronize, cookies | when fewer than two have not elapsed: later waiters share the next |
//! | force, drain, a backlog above half of `max_pending` | at once |
//!
//! A wanted number counts as started when it is `fenced`, not when a starter has taken it. So this
//! thread never waits for another starter.

pub(crate) mod sleep;
pub(crate) mod start;

use crate::callback::queue::{CallbackList, Detached};
use crate::dispatch::batch::Batch;
use crate::dispatch::blocking;
use crate::dispatch::panics::PanicReport;
use crate::dispatch::{Schedule, Ticket};
use crate::domain::Domain;
use crate::domain::backpressure::Backlog;
use crate::domain::dispatcher::PendingReport;
use crate::domain::publish::Publisher;
use crate::domain::stall::Watchdog;
use crate::domain::stats::LatencyLog;
use crate::reader::sequence::Seq;
use crate::sys::clock::Instant;
use crate::sys::delay::{self, Window};
use crate::sys::event::Event;
use crate::sys::prim::{AtomicU64, Mutex, Ordering};
use crate::sys::stderr;
use crate::sys::teller;
use crate::sys::thread::{self, JoinHandle};
use crate::sys::unwind::{or_abort, quietly};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Wake, Waker};
use std::time::Duration;

/// The most starts that are remembered, to tell the age of a section.
const STARTS: usize = 1024;

crate::sys::prim::model_const! {
    /// A grace period that started less than this ago may end in a moment. (loom has no clock.)
    const YOUNG: Duration = Duration::from_micros(20), loom Duration::ZERO;
}

/// Before the thread starts a grace period for several waiters, it lets more waiters come: for this
/// time per waiter, for at most `GATHER_MOST`, and until no waiter has come for `QUIET`.
const GATHER_EACH: Duration = Duration::from_micros(4);
const GATHER_MOST: Duration = Duration::from_millis(10);
crate::sys::prim::model_const! {
    const QUIET: Duration = Duration::from_micros(10), loom Duration::ZERO;
}

/// The collector's state. The thread that holds its lock is the collector.
pub(crate) struct GpThread {
    /// Collections that wait for a grace period, oldest first.
    waiting: VecDeque<Collected>,
    /// The `elapsed` of the last turn: no waiter and no collection up to it is left. The engine's
    /// `elapsed` may be higher, since a caller that scans for itself does not wake this thread.
    pub(in crate::domain) handled: Seq,
    last_start: Option<Instant>,
    /// Collections whose grace period has elapsed, to be handed out.
    ready: VecDeque<Collected>,
    /// Grace periods that have not elapsed, with the times of their starts.
    pub(in crate::domain) starts: VecDeque<(Seq, Instant)>,
    pub(in crate::domain) latency: LatencyLog,
    /// Work was done since the last call of the idle hook.
    pub(in crate::domain) worked: bool,
    pub(in crate::domain) watchdog: Watchdog,
    pub(in crate::domain) publisher: Publisher,
    /// Memory that was kept for the next values, and is to be freed.
    freeing: Vec<Detached>,
}

pub(in crate::domain) struct Collected {
    seq: Seq,
    calls: CallbackList,
    ticket: Ticket,
}

impl Default for GpThread {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            handled: Seq::FIRST,
            last_start: None,
            ready: VecDeque::new(),
            starts: VecDeque::new(),
            latency: LatencyLog::default(),
            worked: false,
            watchdog: Watchdog::default(),
            publisher: Publisher::default(),
            freeing: Vec::new(),
        }
    }
}

impl GpThread {
    /// Returns the ticket and the length of each collection that is not yet handed out.
    pub(in crate::domain) fn lengths_and_tickets(&self) -> Vec<(u64, usize)> {
        let all = self.waiting.iter().chain(&self.ready);
        all.map(|c| (c.ticket.number(), c.calls.len())).collect()
    }

    /// Makes the collections up to `elapsed` ready, and records how long the grace periods took.
    fn settle(&mut self, elapsed: Seq) {
        self.handled = self.handled.max(elapsed);
        while self.waiting.front().is_some_and(|c| c.seq <= elapsed) {
            self.ready.extend(self.waiting.pop_front());
        }
        while let Some((_, at)) = self.starts.front().filter(|(seq, _)| *seq <= elapsed) {
            self.latency.record(at.elapsed());
            self.starts.pop_front();
        }
    }

    /// Begins to time a grace period that a caller started and that did not end at once.
    fn adopt(&mut self, fenced: Seq, elapsed: Seq) {
        let known = self.starts.back().map_or(elapsed, |(seq, _)| *seq);
        if fenced > known {
            self.note_start(fenced, Instant::now());
        }
    }

    /// Remembers a start. If there are very many, forgets every second one, and not the first: what
    /// is left still gives lower bounds for the ages of sections.
    fn note_start(&mut self, seq: Seq, at: Instant) {
        if self.starts.len() == STARTS {
            let mut kept = false;
            self.starts.retain(|_| {
                kept = !kept;
                kept
            });
        }
        self.starts.push_back((seq, at));
    }

    pub(in crate::domain) fn has_young_start(&self) -> bool {
        let newest = self.starts.back();
        newest.is_some_and(|(_, at)| at.elapsed() < YOUNG)
    }

    /// Returns a lower bound for the age of a section that began when `seen` was the newest grace
    /// period: the time since the first later start.
    pub(in crate::domain) fn age_of(&self, seen: Seq) -> Duration {
        let later = self.starts.iter().find(|(seq, _)| *seq > seen);
        later.map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

pub(in crate::domain) struct ThreadSlot {
    handle: Mutex<Option<JoinHandle>>,
    /// How often the system has refused to start the thread since the last start.
    refusals: AtomicU64,
}

impl ThreadSlot {
    pub(in crate::domain) fn new() -> Self {
        Self { handle: Mutex::new(None), refusals: AtomicU64::new(0) }
    }
}

fn tell_panic(report: &PanicReport) {
    let told = quietly(|| {
        tracing::error!(
            target: "async_rcu::panic",
            domain = %report.domain,
            thread = report.thread,
            "{report}"
        );
    });
    if let Err(message) = told {
        tell_second_panic(report, &message);
    }
}

fn tell_second_panic(report: &PanicReport, message: &str) {
    stderr::tell(format_args!(
        "{report}; the hook or tracing subscriber that received this report panicked too: {message}"
    ));
}

fn run(domain: Arc<Domain>) {
    blocking::become_gp_thread(domain.dispatcher.id());
    // Foreign panics are caught where foreign code is called. A panic here is a bug of this crate.
    let last = or_abort(|| drive(&domain));
    if last {
        domain.dispatcher.dismiss_executor();
    }
    // The last owner drops the hooks, which are foreign code.
    let _ = quietly(move || drop(domain));
}

/// Takes turns and sleeps between them, until the thread stops. Returns whether the domain ends
/// too.
fn drive(domain: &Arc<Domain>) -> bool {
    let mut looked = Instant::now();
    loop {
        // Before the turn: a request during the turn sets the event again, and ends the sleep.
        domain.registry.signals.event.reset();
        if domain.turn() {
            // Without these calls, a thread that never sleeps would find no stalls and not stop.
            domain.stop_in_passing();
            if looked.elapsed() >= domain.settings.stall_timeout / 2 {
                domain.look_in_passing();
                looked = Instant::now();
            }
            continue;
        }
        match domain.sleep() {
            Slept::Awake => {}
            Slept::Stopped { last } => return last,
        }
    }
}

enum Slept {
    Awake,
    /// The thread stops. If it is the domain's `last` thread, it has given the registry away.
    Stopped {
        last: bool,
    },
}

impl Domain {
    /// Takes one turn. Returns `true` if it did work.
    pub(crate) fn turn(self: &Arc<Self>) -> bool {
        self.gather();
        let mut collector = self.collector.lock();
        let forced = self.force.take();
        let asked = self.dispatcher.tickets.any_asked();
        delay::at(Window::Taken);
        let urgent = forced || asked;
        let for_waiters = self.may_start_for_waiters(urgent);
        // While two collections wait, the request waits for the end of the older one.
        let ending = collector.waiting.len() < 2 && self.end_expected.swap(false, Ordering::AcqRel);
        let is_due = |until: Duration| ending || until.is_zero();
        let may_collect = urgent || for_waiters || self.until_due(&collector).is_some_and(is_due);
        let due = asked || may_collect && self.has_queued(&collector);

        // Before the first queue is read: later drains wait for the next collection.
        let mut ticket = due.then(|| self.dispatcher.begin_collection());
        delay::at(Window::Begun);
        let mut calls = CallbackList::new();
        if due {
            self.registry.signals.queues.calm();
            for record in self.registry.groups().flatten() {
                // SAFETY: this thread holds the collector lock, so it is the collector.
                unsafe { record.queue.collect(&mut calls) };
            }
        }
        delay::at(Window::Collected);
        let found = calls.len() != 0;
        let started = (found || for_waiters).then(|| self.start_gp(&mut collector, urgent));
        if let Some(seq) = started.filter(|_| urgent) {
            self.hurry_callers(seq);
        }
        if let (Some(seq), Some(ticket)) = (started, ticket.take_if(|_| found)) {
            collector.waiting.push_back(Collected { seq, calls, ticket });
        }

        let awaited = self.highest_awaited(&collector);
        let mut elapsed = self.engine.elapsed();
        if awaited > elapsed {
            elapsed = self.engine.scan();
        }
        collector.settle(elapsed);
        if awaited > elapsed {
            collector.adopt(self.engine.fenced(), elapsed);
        }
        let handing_out = !collector.ready.is_empty();
        let worked = started.is_some() || handing_out || asked;
        collector.worked |= worked;
        if worked {
            collector.publisher.note();
        }
        collector.watchdog.fresh |= handing_out;
        drop(collector);

        self.registry.collect_orphans();
        self.trace_start(started, elapsed);
        self.synchronizers.waiters.wake_up_to(elapsed);
        self.wake_left();
        if awaited > elapsed {
            self.tell_holders(awaited, urgent);
        }
        delay::at(Window::Ready);
        self.hand_out();
        let ends = ending || self.has_ended() || self.is_stop_requested();
        self.sweep_callers(urgent || ends);
        // Outside the lock: this ends the drains that wait for a collection which found nothing.
        drop(ticket);
        let reported = self.report_all();
        let polled = self.poll_inline();
        self.report_unwatched();
        let freed = self.free_some();
        worked || reported || polled || freed
    }

    fn hand_out(&self) {
        loop {
            let next = self.collector.lock().ready.pop_front();
            let Some(Collected { seq, calls, ticket }) = next else {
                return;
            };
            self.trace_batch(seq, calls.len());
            let report = ticket.clone();
            let batch = Batch::calls(calls, ticket);
            match self.is_urgent(seq) {
                true => self.dispatcher.queue_on_worker(batch),
                false => self.dispatcher.execute(batch, report),
            }
        }
    }

    fn start_gp(&self, collector: &mut GpThread, urgent: bool) -> Seq {
        let seq = self.engine.start();
        if urgent {
            self.force.started.fetch_add(1, Ordering::Relaxed);
        }
        let now = Instant::now();
        collector.last_start = Some(now);
        collector.note_start(seq, now);
        seq
    }

    /// Returns whether a waiter wants a grace period that may start now.
    pub(in crate::domain) fn may_start_for_waiters(&self, urgent: bool) -> bool {
        self.wanted() > self.engine.fenced() && (urgent || self.engine.unfinished() < 2)
    }

    /// Returns the highest number that a waiter asked for. An ended domain has no waiters.
    fn wanted(&self) -> Seq {
        match self.has_ended() {
            true => Seq::FIRST,
            false => self.synchronizers.wanted.get(),
        }
    }

    /// Returns the highest number that a waiter or a collection waits for.
    pub(in crate::domain) fn highest_awaited(&self, collector: &GpThread) -> Seq {
        let collected = collector.waiting.back().map(|c| c.seq);
        self.wanted().max(collected.unwrap_or(Seq::FIRST))
    }

    pub(in crate::domain) fn has_queued(&self, _collector: &GpThread) -> bool {
        // SAFETY: the caller passes the collector's state, so it holds the collector lock.
        self.registry.groups().flatten().any(|record| unsafe { record.queue.has_more() })
    }

    /// Returns how long callbacks must still wait for the start of their grace period, or `None` if
    /// they wait until one of two earlier collections is ready. (Behind a stalled section, a start
    /// for each callback that trickles in would only interrupt the processors.) Above half of the
    /// limit they do not wait: the caller that passes half of the limit kicks this thread.
    pub(in crate::domain) fn until_due(&self, collector: &GpThread) -> Option<Duration> {
        let backlog = self.dispatcher.backlog.as_ref();
        if self.has_ended() || backlog.is_some_and(Backlog::is_pressed) {
            return Some(Duration::ZERO);
        }
        match collector.last_start {
            None => Some(Duration::ZERO),
            Some(_) if collector.waiting.len() >= 2 => None,
            Some(_) if self.registry.signals.queues.is_hurried() => Some(Duration::ZERO),
            Some(last) => Some(self.settings.batch_interval.saturating_sub(last.elapsed())),
        }
    }

    /// Lets more waiters come, if several wait for a grace period that has not started: one start
    /// for all of them interrupts every processor only once.
    fn gather(&self) {
        let waiters = &self.synchronizers.waiters;
        let mut seen = waiters.len();
        if seen < 2 || self.force.is_requested() || !self.may_start_for_waiters(false) {
            return;
        }
        let start = Instant::now();
        let mut last = start;
        loop {
            thread::yield_now();
            let now = Instant::now();
            let len = waiters.len();
            if len > seen {
                seen = len;
                last = now;
            }
            let each = GATHER_EACH.saturating_mul(u32::try_from(seen).unwrap_or(u32::MAX));
            if now - last >= QUIET || now - start >= each.min(GATHER_MOST) {
                return;
            }
        }
    }

    fn trace_start(&self, started: Option<Seq>, elapsed: Seq) {
        if let Some(seq) = started {
            // The subscriber is foreign code.
            let _ = quietly(|| {
                tracing::debug!(
                    target: "async_rcu::gp",
                    domain = %self.dispatcher.name,
                    gp = seq.raw(),
                    elapsed = elapsed.raw(),
                    "started"
                );
            });
        }
    }

    fn trace_batch(&self, seq: Seq, len: usize) {
        let _ = quietly(|| {
            tracing::debug!(
                target: "async_rcu::batch",
                domain = %self.dispatcher.name,
                gp = seq.raw(),
                len,
                "ready"
            );
        });
    }

    /// Makes the pending reports, if there are any.
    fn report_all(&self) -> bool {
        let reports = self.dispatcher.take_reports();
        let any = !reports.is_empty() | self.report_notes();
        self.report_backlog();
        if !reports.is_empty() {
            let told: Vec<_> = reports.iter().map(|pending| pending.report.clone()).collect();
            teller::tell(move || told.iter().for_each(tell_panic));
        }
        for PendingReport { report, ticket } in reports {
            if let Some(hook) = &self.settings.on_panic {
                if let Err(message) = quietly(|| hook(&report)) {
                    // Not to the hook, which would panic again.
                    teller::tell(move || tell_second_panic(&report, &message));
                }
            }
            drop(ticket);
        }
        any
    }

    /// Polls the first batch that runs on this thread. Returns `true` if the batch is done.
    fn poll_inline(&self) -> bool {
        let Some(mut batch) = self.dispatcher.pop_inline() else {
            return false;
        };
        let waker = Waker::from(Arc::new(WakeThread(&self.registry.signals.event)));
        let poll = Pin::new(&mut batch).poll(&mut task::Context::from_waker(&waker));
        if poll.is_pending() {
            self.dispatcher.unpop_inline(batch);
        }
        poll.is_ready()
    }
}

/// The event of the grace-period thread as a waker. The waker may outlive the domain.
struct WakeThread(&'static Event);

impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.set();
    }
}
