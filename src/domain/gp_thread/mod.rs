//! What the grace-period thread does: turns, and [rests](sleep) between them.
//!
//! # A turn
//! 1. Take the requests: force, drains, the highest number wanted, a backlog past half of its limit.
//! 2. Collect the queues, if a grace period is to be started; only then number the drains that were taken.
//! 3. Start a grace period, which gives what was collected its number. Its fence covers what every producer unlinked.
//! 4. Scan, if anything waits.
//! 5. Outside the lock: wake who waits, tell holders if this was urgent, hand out what is ready, report, poll a batch of its
//!    own. What is ready stays in the domain until it is handed out, a batch at a time.
//!
//! Turns go on while they get something done. All state is read anew in each, so that kicks collapse and none masks another.
//!
//! # When a grace period is started
//! | wanted by | when |
//! |---|---|
//! | callbacks | at once after idleness, else `batch_interval` after the last start |
//! | synchronize, cookies | when fewer than two are unfinished: later ones share the next |
//! | force, drain, a backlog past half of `max_pending` | at once |
//!
//! A wanted number counts as started when it is `fenced`, not when somebody has taken it: this thread never waits for
//! another starter.

pub(crate) mod sleep;

use crate::callback::calls::Calls;
use crate::dispatch::backlog::Backlog;
use crate::dispatch::batch::Batch;
use crate::dispatch::dispatcher::Pending;
use crate::dispatch::here;
use crate::dispatch::job::Context;
use crate::dispatch::tickets::Ticket;
use crate::domain::Domain;
use crate::domain::latency::LatencyLog;
use crate::domain::publish::Publisher;
use crate::domain::stall::Watchdog;
use crate::reader::hub::Hub;
use crate::reader::sequence::Seq;
use crate::sys::clock::Instant;
use crate::sys::delay::{self, Window};
use crate::sys::prim::Ordering;
use crate::sys::stderr;
use crate::sys::thread;
use crate::sys::unwind::or_abort;
use crate::sys::wake::quietly;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Wake, Waker};
use std::time::Duration;

/// Starts remembered, to tell the age of a section.
const STARTS: usize = 1024;

/// A grace period that was started no longer ago may well be over in a moment. (loom's clock stands still.)
#[cfg(not(rcu_loom))]
const YOUNG: Duration = Duration::from_micros(20);
#[cfg(rcu_loom)]
const YOUNG: Duration = Duration::ZERO;

/// How long the thread lets more waiters come before it starts a grace period for several: for each that is there, and
/// at the most; it stops when none has come for `QUIET`.
const GATHER_EACH: Duration = Duration::from_micros(4);
const GATHER_MOST: Duration = Duration::from_millis(10);
#[cfg(not(rcu_loom))]
const QUIET: Duration = Duration::from_micros(10);
#[cfg(rcu_loom)]
const QUIET: Duration = Duration::ZERO;

/// The collector's state. Whoever holds its lock is the collector.
pub(crate) struct GpThread {
    /// Number of the last collection.
    collection: u64,
    /// Collected and waiting for a grace period, oldest first.
    waiting: VecDeque<Collected>,
    /// What the last turn took for elapsed: up to it, everyone was woken and everything handed out. `elapsed` itself may be
    /// further: a caller that scans for itself raises it and tells nobody.
    pub(in crate::domain) handled: Seq,
    last_start: Option<Instant>,
    /// Elapsed and not yet handed out.
    ready: VecDeque<Collected>,
    /// Starts that have not elapsed, and when they were.
    pub(in crate::domain) starts: VecDeque<(Seq, Instant)>,
    pub(in crate::domain) latency: LatencyLog,
    /// Something was done since the idle hook was last called.
    pub(in crate::domain) worked: bool,
    pub(in crate::domain) watchdog: Watchdog,
    pub(in crate::domain) publisher: Publisher,
}

pub(in crate::domain) struct Collected {
    seq: Seq,
    calls: Calls<Context>,
    ticket: Ticket,
}

impl GpThread {
    pub(in crate::domain) fn new() -> Self {
        Self {
            collection: 0,
            waiting: VecDeque::new(),
            handled: Seq::FIRST,
            last_start: None,
            ready: VecDeque::new(),
            starts: VecDeque::new(),
            latency: LatencyLog::default(),
            worked: false,
            watchdog: Watchdog::default(),
            publisher: Publisher::default(),
        }
    }

    /// What was collected and not yet handed out: number and length of each.
    pub(in crate::domain) fn lengths_and_tickets(&self) -> Vec<(u64, usize)> {
        let all = self.waiting.iter().chain(&self.ready);
        all.map(|c| (c.ticket.number(), c.calls.len())).collect()
    }

    /// All grace periods up to `elapsed` are over.
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

    /// A caller started a grace period by itself, and it did not end at once: from now on it is timed as those that this
    /// thread started.
    fn adopt(&mut self, fenced: Seq, elapsed: Seq) {
        let known = self.starts.back().map_or(elapsed, |(seq, _)| *seq);
        if fenced > known && self.starts.len() < STARTS {
            self.starts.push_back((fenced, Instant::now()));
        }
    }

    /// Whether the newest grace period was started just now.
    pub(in crate::domain) fn has_young_start(&self) -> bool {
        let newest = self.starts.back();
        newest.is_some_and(|(_, at)| at.elapsed() < YOUNG)
    }

    /// A lower bound for the age of a section that saw `seen`: the time since the first later start.
    pub(in crate::domain) fn age_of(&self, seen: Seq) -> Duration {
        let later = self.starts.iter().find(|(seq, _)| *seq > seen);
        later.map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

/// The body of the grace-period thread.
pub(in crate::domain) fn run(domain: Arc<Domain>) {
    here::become_gp_thread(domain.dispatcher.id());
    // Foreign code is caught closer by. What arrives here is a bug of ours, and readers rely on this thread.
    let last = or_abort(|| drive(&domain));
    if last {
        // Here, and not wherever the last batch is let go.
        domain.dispatcher.dismiss_executor();
    }
    // The hooks may go with it.
    let _ = quietly(move || drop(domain));
}

/// Turns and rests, until the thread goes; `true` where the domain is over with it.
fn drive(domain: &Arc<Domain>) -> bool {
    let mut looked = Instant::now();
    loop {
        // Before the turn: whatever is asked during it leaves the event set, and the rest does not last.
        domain.core.hub.event.reset();
        if domain.turn() {
            // Under a flood there is no rest, which would look, and try to stop.
            domain.stop_in_passing();
            if looked.elapsed() >= domain.settings.stall_timeout / 2 {
                domain.look_in_passing();
                looked = Instant::now();
            }
            continue;
        }
        match domain.rest() {
            Rest::Over => {}
            Rest::Gone { last } => return last,
        }
    }
}

pub(in crate::domain) enum Rest {
    Over,
    /// The thread goes; `last`: and the domain, whose core it has given away.
    Gone {
        last: bool,
    },
}

impl Domain {
    /// One turn; `true` where it got something done. By the grace-period thread; by a waiter only where that cannot be
    /// started.
    pub(crate) fn turn(self: &Arc<Self>) -> bool {
        self.gather();
        let mut driver = self.driver.lock();
        let forced = self.force.swap(false, Ordering::AcqRel);
        let asked = self.dispatcher.tickets.take_asked();
        delay::at(Window::Taken);
        let urgent = forced || !asked.is_empty();
        let for_waiters = self.may_start_for_waiters(urgent);
        let queued = self.has_queued(&driver);
        let due = queued && (urgent || for_waiters || self.until_due(&driver).is_zero());

        if due || !asked.is_empty() {
            driver.collection += 1;
        }
        let number = driver.collection;
        let mut calls = Calls::new();
        if due {
            for record in self.core.records() {
                // SAFETY: the collector is whoever holds the driver's lock.
                unsafe { record.local.collect(|span| calls.push(span)) };
            }
        }
        delay::at(Window::Collected);
        let started = (due || for_waiters).then(|| self.start_gp(&mut driver, urgent));
        if let (Some(seq), true) = (started, calls.len() != 0) {
            let ticket = Ticket::open(&self.dispatcher, number);
            driver.waiting.push_back(Collected { seq, calls, ticket });
        }

        let awaited = self.highest_awaited(&driver);
        let mut elapsed = self.engine.elapsed();
        if awaited > elapsed {
            elapsed = self.engine.scan();
        }
        driver.settle(elapsed);
        if awaited > elapsed {
            driver.adopt(self.engine.fenced(), elapsed);
        }
        let handing_out = !driver.ready.is_empty();
        let worked = started.is_some() || handing_out || !asked.is_empty();
        driver.worked |= worked;
        if worked {
            driver.publisher.note();
        }
        driver.watchdog.fresh |= handing_out;
        drop(driver);

        self.core.collect_orphans();
        self.trace_start(started, elapsed);
        self.waiters.wake_up_to(elapsed);
        self.wake_left();
        if awaited > elapsed {
            self.tell_holders(awaited, urgent);
        }
        delay::at(Window::Ready);
        self.hand_out();
        if !asked.is_empty() {
            delay::at(Window::Assigning);
            self.dispatcher.tickets.assign(&asked, number);
        }
        let reported = self.report_all();
        let polled = self.poll_inline();
        self.report_unwatched();
        worked || reported || polled
    }

    /// Hands what is ready to the executor.
    fn hand_out(&self) {
        loop {
            let next = self.driver.lock().ready.pop_front();
            let Some(Collected { seq, calls, ticket }) = next else {
                return;
            };
            self.trace_batch(seq, calls.len());
            let report = ticket.clone();
            self.dispatcher.execute(Batch::calls(calls, ticket), report);
        }
    }

    fn start_gp(&self, driver: &mut GpThread, urgent: bool) -> Seq {
        let seq = self.engine.start();
        if urgent {
            self.forced.fetch_add(1, Ordering::Relaxed);
        }
        let now = Instant::now();
        driver.last_start = Some(now);
        if driver.starts.len() < STARTS {
            driver.starts.push_back((seq, now));
        }
        seq
    }

    /// Whether somebody waits for a grace period that is not started, and need not share a later one.
    pub(in crate::domain) fn may_start_for_waiters(&self, urgent: bool) -> bool {
        self.wanted() > self.engine.fenced() && (urgent || self.engine.unfinished() < 2)
    }

    /// The highest number that somebody asked for. Without a handle there is nobody left who did.
    fn wanted(&self) -> Seq {
        match self.ended.load(Ordering::Acquire) {
            true => Seq::FIRST,
            false => self.wanted.get(),
        }
    }

    /// The highest number that something waits for.
    pub(in crate::domain) fn highest_awaited(&self, driver: &GpThread) -> Seq {
        let collected = driver.waiting.back().map(|c| c.seq);
        self.wanted().max(collected.unwrap_or(Seq::FIRST))
    }

    pub(in crate::domain) fn has_queued(&self, _collector: &GpThread) -> bool {
        // SAFETY: the collector is whoever holds the driver's lock, and has its state in hand.
        self.core
            .records()
            .any(|record| unsafe { record.local.has_more() })
    }

    /// How long callbacks must still wait for their grace period to be started. Past half of the limit not at all: who
    /// passes it kicks this thread, and who calls later need not.
    pub(in crate::domain) fn until_due(&self, driver: &GpThread) -> Duration {
        let backlog = self.dispatcher.backlog.as_ref();
        driver.last_start.map_or(Duration::ZERO, |last| {
            match self.ended.load(Ordering::Acquire) || backlog.is_some_and(Backlog::is_pressed) {
                true => Duration::ZERO,
                false => self.settings.batch_interval.saturating_sub(last.elapsed()),
            }
        })
    }

    /// Where several wait for a grace period that is not started, more are likely on their way: one start for all of them
    /// is one interruption of every processor instead of one each.
    fn gather(&self) {
        let mut seen = self.waiters.len();
        if seen < 2 || self.force.load(Ordering::Relaxed) || !self.may_start_for_waiters(false) {
            return;
        }
        let start = Instant::now();
        let mut last = start;
        loop {
            thread::yield_now();
            let now = Instant::now();
            let len = self.waiters.len();
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
            // A subscriber is foreign code.
            let _ = quietly(|| {
                tracing::debug!(target: "async_rcu::gp", domain = %self.dispatcher.name, gp = seq.raw(), elapsed = elapsed.raw(), "started");
            });
        }
    }

    fn trace_batch(&self, seq: Seq, len: usize) {
        let _ = quietly(|| {
            tracing::debug!(target: "async_rcu::batch", domain = %self.dispatcher.name, gp = seq.raw(), len, "ready");
        });
    }

    /// Makes the reports that were handed in. `true` where there were any.
    fn report_all(&self) -> bool {
        let reports = self.dispatcher.take_reports();
        let any = !reports.is_empty() | self.report_notes() | self.report_backlog();
        for Pending { report, _ticket } in reports {
            let told = quietly(|| {
                tracing::error!(target: "async_rcu::panic", domain = %report.domain, thread = report.thread, "{report}");
            });
            let hooked = match &self.settings.on_panic {
                Some(hook) => quietly(|| hook(&report)),
                None => Ok(()),
            };
            if let (Err(message), _) | (_, Err(message)) = (told, hooked) {
                // Not through the hook that has just panicked.
                stderr::tell(format_args!(
                    "reporting that {report}, the hook panicked too: {message}"
                ));
            }
        }
        any
    }

    /// Polls the batch whose turn it is on this thread. `true` where it was finished.
    fn poll_inline(&self) -> bool {
        let Some(mut batch) = self.dispatcher.pop_inline() else {
            return false;
        };
        let waker = Waker::from(Arc::new(WakeHub(self.core.hub)));
        let poll = Pin::new(&mut batch).poll(&mut task::Context::from_waker(&waker));
        if poll.is_pending() {
            self.dispatcher.unpop_inline(batch);
        }
        poll.is_ready()
    }
}

/// The grace-period thread's event as a waker. A waker outlives the domain; the hub is never freed.
struct WakeHub(&'static Hub);

impl Wake for WakeHub {
    fn wake(self: Arc<Self>) {
        self.0.event.set();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.event.set();
    }
}
