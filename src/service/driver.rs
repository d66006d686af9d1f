//! What the grace-period thread does: turns and rests.
//!
//! # A turn
//! 1. Take the requests: force, drains, the highest number wanted.
//! 2. Collect the queues, if a grace period is to be started; only then number the drains that were taken.
//! 3. Start a grace period, which gives what was collected its number. Its fence covers what every producer unlinked.
//! 4. Scan, if anything waits.
//! 5. Outside the lock: wake who waits, hand out what is ready, report, poll a batch of its own.
//!
//! Turns go on while they get something done. All state is read anew in each, so that kicks collapse and none masks another.
//!
//! # A rest
//! The event was reset before the turn that found nothing to do. Now: fall asleep, and ask the sections that hold things up
//! to wake us; heavy fence; read everything again; sleep only if nothing came and every section that still holds things
//! up was asked before the fence; else begin again at the reset. While callbacks wait for the interval to pass it naps by
//! the clock instead, awake for producers. Without work there is no timer at all.
//!
//! # Going
//! Decided under the driver's lock, as is the end of the last handle: so exactly one of the two gives the core away, and
//! this thread does not touch it after.
//!
//! # When a grace period is started
//! | wanted by | when |
//! |---|---|
//! | callbacks | at once after idleness, else `batch_interval` after the last start |
//! | synchronize, cookies | when fewer than two are unfinished: later ones share the next |
//! | force, drain | at once |
//!
//! A wanted number counts as started when it is `fenced`, not when somebody has taken it: this thread never waits for
//! another starter.

use super::domain::Domain;
use crate::callback::calls::Calls;
use crate::dispatch::batch::{Batch, Context};
use crate::dispatch::here;
use crate::dispatch::office::{PanicSource, Pending};
use crate::dispatch::tickets::Ticket;
use crate::dispatch::worker::Worker;
use crate::gp::wake::quietly;
use crate::reader::hub::Hub;
use crate::reader::sequence::Seq;
use crate::sys::barrier;
use crate::sys::prim::Ordering;
use crate::sys::stderr;
use crate::sys::thread;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Wake, Waker};
use std::time::{Duration, Instant};

/// Starts remembered, to tell the age of a section.
const STARTS: usize = 1024;

/// How long the thread lets more waiters come before it starts a grace period for several: for each that is there, and
/// at the most; it stops when none has come for `QUIET`.
const GATHER_EACH: Duration = Duration::from_micros(4);
const GATHER_MOST: Duration = Duration::from_millis(10);
const QUIET: Duration = Duration::from_micros(10);

/// Between two attempts to start a worker that the system refused, while something waits for it.
const RETRY: Duration = Duration::from_millis(100);

/// The collector's state. Whoever holds its lock is the collector.
pub(crate) struct Driver {
    /// Number of the last collection.
    collection: u64,
    /// Collected and waiting for a grace period, oldest first.
    waiting: VecDeque<Collected>,
    /// What the last turn took for elapsed: up to it, everyone was woken and everything handed out. `elapsed` itself may be
    /// further: a caller that scans for itself raises it and tells nobody.
    handled: Seq,
    last_start: Option<Instant>,
    /// Starts that have not elapsed, and when they were.
    starts: VecDeque<(Seq, Instant)>,
    /// Something was done since the idle hook was last called.
    worked: bool,
}

struct Collected {
    seq: Seq,
    calls: Calls<Context>,
    ticket: Ticket,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self {
            collection: 0,
            waiting: VecDeque::new(),
            handled: Seq::FIRST,
            last_start: None,
            starts: VecDeque::new(),
            worked: false,
        }
    }

    /// A lower bound for the age of a section that saw `seen`: the time since the first later start.
    pub(super) fn age_of(&self, seen: Seq) -> Duration {
        let later = self.starts.iter().find(|(seq, _)| *seq > seen);
        later.map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

/// The body of the grace-period thread.
pub(super) fn run(domain: Arc<Domain>) {
    here::become_gp_thread();
    // Foreign code is caught closer by. What arrives here is a bug of ours, and readers rely on this thread.
    let last = catch_unwind(AssertUnwindSafe(|| drive(&domain)));
    match last {
        Err(_) => std::process::abort(),
        // Here, and not wherever the last batch is let go.
        Ok(true) => domain.office.dismiss_executor(),
        Ok(false) => {}
    }
    // The hooks may go with it.
    let _ = quietly(move || drop(domain));
}

/// Turns and rests, until the thread goes; `true` where the domain is over with it.
fn drive(domain: &Arc<Domain>) -> bool {
    loop {
        // Before the turn: whatever is asked during it leaves the event set, and the rest does not last.
        domain.core.hub.event.reset();
        if domain.turn() {
            continue;
        }
        match domain.rest() {
            Rest::Over => {}
            Rest::Gone { last } => return last,
        }
    }
}

enum Rest {
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
        let asked = self.office.tickets.take_asked();
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
        let started = (due || for_waiters).then(|| self.start_gp(&mut driver, urgent));
        if let (Some(seq), true) = (started, calls.len() != 0) {
            let ticket = Ticket::open(&self.office, number);
            driver.waiting.push_back(Collected { seq, calls, ticket });
        }

        let mut elapsed = self.engine.elapsed();
        if self.highest_awaited(&driver) > elapsed {
            elapsed = self.engine.scan();
        }
        driver.handled = driver.handled.max(elapsed);
        let mut ready = Vec::new();
        while driver.waiting.front().is_some_and(|c| c.seq <= elapsed) {
            ready.extend(driver.waiting.pop_front());
        }
        while driver
            .starts
            .front()
            .is_some_and(|(seq, _)| *seq <= elapsed)
        {
            driver.starts.pop_front();
        }
        let worked = started.is_some() || !ready.is_empty() || !asked.is_empty();
        driver.worked |= worked;
        drop(driver);

        self.core.collect_orphans();
        self.trace(started, elapsed, &ready);
        self.waiters.wake_up_to(elapsed);
        for Collected { calls, ticket, .. } in ready {
            let report = ticket.clone();
            self.office.execute(Batch::calls(calls, ticket), report);
        }
        if !asked.is_empty() {
            self.office.tickets.assign(&asked, number);
        }
        let reported = self.report_all();
        let polled = self.poll_inline();
        worked || reported || polled
    }

    fn start_gp(&self, driver: &mut Driver, urgent: bool) -> Seq {
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
    fn may_start_for_waiters(&self, urgent: bool) -> bool {
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
    fn highest_awaited(&self, driver: &Driver) -> Seq {
        let collected = driver.waiting.back().map(|c| c.seq);
        self.wanted().max(collected.unwrap_or(Seq::FIRST))
    }

    fn has_queued(&self, _collector: &Driver) -> bool {
        // SAFETY: the collector is whoever holds the driver's lock, and has its state in hand.
        self.core
            .records()
            .any(|record| unsafe { record.local.has_more() })
    }

    /// How long callbacks must still wait for their grace period to be started.
    fn until_due(&self, driver: &Driver) -> Duration {
        driver.last_start.map_or(Duration::ZERO, |last| {
            match self.ended.load(Ordering::Acquire) {
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

    fn trace(&self, started: Option<Seq>, elapsed: Seq, ready: &[Collected]) {
        let name = &self.office.name;
        // A subscriber is foreign code.
        let _ = quietly(|| {
            if let Some(seq) = started {
                tracing::debug!(target: "async_rcu::gp", domain = %name, gp = seq.raw(), elapsed = elapsed.raw(), "started");
            }
            for Collected { seq, calls, .. } in ready {
                tracing::debug!(target: "async_rcu::batch", domain = %name, gp = seq.raw(), len = calls.len(), "ready");
            }
        });
    }

    /// Makes the reports that were handed in. `true` where there were any.
    fn report_all(&self) -> bool {
        let reports = self.office.take_reports();
        let any = !reports.is_empty();
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
        let Some(mut batch) = self.office.pop_inline() else {
            return false;
        };
        let waker = Waker::from(Arc::new(WakeHub(self.core.hub)));
        let poll = Pin::new(&mut batch).poll(&mut task::Context::from_waker(&waker));
        if poll.is_pending() {
            self.office.unpop_inline(batch);
        }
        poll.is_ready()
    }

    /// Sleeps until there is something to do, or goes.
    fn rest(self: &Arc<Self>) -> Rest {
        let hub = self.core.hub;
        let driver = self.driver.lock();
        let awaited = self.highest_awaited(&driver);
        let handled = driver.handled;
        if self.engine.elapsed() > handled {
            return Rest::Over;
        }
        let holdouts = awaited > handled;
        let nap = self.has_queued(&driver).then(|| self.until_due(&driver));
        let worked = driver.worked;
        drop(driver);

        if nap.is_none() && !holdouts {
            if worked && self.settings.on_idle.is_some() && !self.office.tickets.watch() {
                self.idle();
                return Rest::Over;
            }
            if let Some(rest) = self.stop() {
                return rest;
            }
        } else if self.stop_asked() {
            // There is more to do already: that was the attempt.
            self.stop_tried();
        }

        let stranded = Worker::retry(&self.office).then_some(RETRY);

        if nap.is_none() {
            hub.doze.fall_asleep();
        }
        if holdouts {
            self.engine.flag_holders(awaited);
        }
        if nap.is_none() || holdouts {
            barrier::heavy();
        }
        let stay_up = self.must_stay_up(&self.driver.lock(), awaited, nap.is_some());
        if !stay_up {
            hub.event.wait(nap.into_iter().chain(stranded).min());
        }
        hub.doze.wake_up();
        Rest::Over
    }

    /// The look behind the fence: did anything come, or may anything pass unnoticed?
    fn must_stay_up(&self, driver: &Driver, awaited: Seq, napping: bool) -> bool {
        if self.force.load(Ordering::Acquire)
            || self.may_start_for_waiters(false)
            || self.office.tickets.any_asked()
            || self.office.has_reports()
            || self.highest_awaited(driver) > awaited
            || (!napping && self.has_queued(driver))
        {
            return true;
        }
        if awaited > driver.handled {
            let outlook = self.engine.scan_flags(awaited);
            return outlook.elapsed > driver.handled || outlook.unflagged;
        }
        false
    }

    fn idle(&self) {
        self.driver.lock().worked = false;
        if let Some(hook) = &self.settings.on_idle {
            if let Err(message) = quietly(hook) {
                self.office.report(PanicSource::Hook, message, None);
            }
        }
    }

    /// With nothing queued and nothing awaited: goes, where that is asked for and possible. `None`: sleep.
    fn stop(&self) -> Option<Rest> {
        if !self.stop_asked() && !self.ended.load(Ordering::Acquire) {
            return None;
        }
        if self.office.tickets.watch() {
            // Work is still being run, and the last of it kicks us. For a shutdown that was the attempt.
            self.stop_tried();
            return None;
        }
        if !self.office.worker.stop() {
            // Its end kicks us.
            return None;
        }
        let doze = &self.core.hub.doze;
        let driver = self.driver.lock();
        doze.stop();
        barrier::heavy();
        let rest = if !self.must_stay_up(&driver, driver.handled, false) {
            let last = self.ended.load(Ordering::Acquire);
            if last {
                self.recycle();
            }
            Rest::Gone { last }
        } else if doze.take_over() {
            Rest::Over
        } else {
            // Somebody has started another thread, which finds what we found.
            Rest::Gone { last: false }
        };
        drop(driver);
        self.stop_tried();
        Some(rest)
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
