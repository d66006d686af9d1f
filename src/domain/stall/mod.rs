//! Finding and reporting what is stuck.
//!
//! The grace-period thread looks before it sleeps, and from time to time while it has work. Only
//! this thread makes reports. Other threads hand their reports to it, as *notes*.

pub(crate) mod report;
pub(crate) mod watch;

use crate::dispatch::Schedule;
use crate::dispatch::blocking;
use crate::dispatch::panics::PanicSource;
use crate::domain::Domain;
use crate::reader::local;
use crate::reader::location::TRACKED;
use crate::reader::sequence::Seq;
use crate::sys::clock::Instant;
use crate::sys::prim::{AtomicU64, Mutex, Ordering};
use crate::sys::stderr;
use crate::sys::teller;
use crate::sys::thread;
use crate::sys::unwind::quietly;
use report::{HeldSection, LISTED, StallKind, StallReport};
use std::sync::Arc;
use std::time::Duration;
use watch::{Finding, Stuck, after_reports};

/// The time until the first look at work that was handed out. Most work is over by then.
const SOON: Duration = Duration::from_millis(5);

/// The collector's state of reporting.
#[derive(Debug, Default)]
pub(in crate::domain) struct Watchdog {
    /// Work was handed out since the last look.
    pub(in crate::domain) fresh: bool,
    /// The grace period that was last reported as blocked, and how often.
    told: Option<(Seq, u32)>,
}

pub(in crate::domain) struct Stalls {
    /// Reports of other threads.
    notes: Mutex<Vec<StallReport>>,
    pub(in crate::domain) reported: AtomicU64,
}

impl Stalls {
    pub(in crate::domain) fn new() -> Self {
        Self { notes: Mutex::new(Vec::new()), reported: AtomicU64::new(0) }
    }
}

fn tell_stall(report: &StallReport) {
    let heard = quietly(|| {
        tracing::warn!(
            target: "async_rcu::stall",
            domain = %report.domain, kind = ?report.kind, pending = report.pending,
            "{report}"
        );
        tracing::event_enabled!(target: "async_rcu::stall", tracing::Level::WARN)
    });
    if heard != Ok(true) {
        stderr::tell(format_args!("{report}"));
    }
}

impl Domain {
    /// Returns the sections that block `wanted`, and how many there are.
    pub(in crate::domain) fn holders(&self, wanted: Seq) -> (Vec<HeldSection>, usize) {
        let (sections, total) = self.registry.sections_before(wanted, LISTED);
        let collector = self.collector.lock();
        let held = sections.into_iter().map(|section| {
            let age = collector.age_of(section.seen);
            HeldSection::new(section, age)
        });
        (held.collect(), total)
    }

    /// Reports what is stuck. Returns the time until the next look, if one is needed.
    pub(in crate::domain) fn look_for_stuck(&self, holdouts: bool) -> Option<Duration> {
        let sections = match holdouts {
            true => self.look_at_sections(),
            false => None,
        };
        let timeout = self.settings.stall_timeout;
        let awaited = self.dispatcher.tickets.awaited();
        let (findings, next) = self.dispatcher.watch.check(timeout, awaited);
        for finding in findings {
            self.report_stall(self.found(finding));
        }
        let fresh = std::mem::take(&mut self.collector.lock().watchdog.fresh);
        let handed_out = match next {
            Some(next) if fresh => Some(next.min(SOON)),
            // The work takes long: its end is to wake this thread.
            Some(next) => self.dispatcher.tickets.watch().then_some(next),
            None => None,
        };
        sections.into_iter().chain(handed_out).min()
    }

    /// Calls [`look_for_stuck`](Self::look_for_stuck) while the thread does not sleep.
    pub(in crate::domain) fn look_in_passing(&self) {
        let collector = self.collector.lock();
        let holdouts = self.highest_awaited(&collector) > collector.handled;
        drop(collector);
        self.look_for_stuck(holdouts);
    }

    /// Looks at the oldest grace period that has not elapsed.
    fn look_at_sections(&self) -> Option<Duration> {
        let timeout = self.settings.stall_timeout;
        let mut collector = self.collector.lock();
        let (oldest, at) = collector.starts.front().copied()?;
        let repeated = match collector.watchdog.told {
            Some((seq, times)) if seq == oldest => times,
            _ => 0,
        };
        let age = at.elapsed();
        let due = after_reports(timeout, repeated);
        // The sections that hold up a later grace period are asked to end too, within two timeouts,
        // although only the oldest one is reported, with longer and longer pauses.
        let is_late = |(_, at): &&(Seq, Instant)| at.elapsed() >= timeout;
        let late = collector.starts.iter().rev().find(is_late).map(|(seq, _)| *seq);
        let newest = collector.starts.back().map(|(seq, _)| *seq);
        let next_late = (late < newest).then_some(timeout);
        let is_due = age >= due;
        if is_due {
            collector.watchdog.told = Some((oldest, repeated + 1));
        }
        drop(collector);
        if let Some(late) = late {
            self.registry.signals.release.request(late);
        }
        if !is_due {
            return next_late.into_iter().chain([due - age]).min();
        }
        let (holders, holders_total) = self.holders(oldest);
        if holders_total != 0 {
            self.report_stall(StallReport {
                holders,
                holders_total,
                repeated,
                ..self.stall(StallKind::Section, age)
            });
        }
        let next = after_reports(timeout, repeated + 1).saturating_sub(age);
        next_late.into_iter().chain([next]).min()
    }

    fn stall(&self, kind: StallKind, age: Duration) -> StallReport {
        StallReport {
            domain: self.dispatcher.name.clone(),
            kind,
            age,
            holders: Vec::new(),
            holders_total: 0,
            thread: None,
            thread_id: None,
            pending: self.pending(),
            repeated: 0,
        }
    }

    fn found(&self, finding: Finding) -> StallReport {
        let (kind, thread) = match finding.stuck {
            Stuck::Callback(thread) => (StallKind::Callback, Some(thread)),
            Stuck::Batch => (StallKind::Batch, None),
            Stuck::Lock => (StallKind::GlobalLock, None),
            Stuck::Async => (StallKind::AsyncCallback, None),
        };
        StallReport {
            thread: thread.as_ref().and_then(|t| t.name().map(str::to_owned)),
            thread_id: thread.map(|t| t.id()),
            repeated: finding.repeated,
            ..self.stall(kind, finding.age)
        }
    }

    /// Reports a callback that took too long on the grace-period thread, which cannot watch itself.
    pub(in crate::domain) fn report_unwatched(&self) {
        let took = self.dispatcher.watch.take_unwatched();
        if took >= self.settings.stall_timeout {
            let here = thread::current();
            self.report_stall(StallReport {
                thread: here.name().map(str::to_owned),
                thread_id: Some(here.id()),
                ..self.stall(StallKind::Callback, took)
            });
        }
    }

    fn report_stall(&self, report: StallReport) {
        self.stalls.reported.fetch_add(1, Ordering::Relaxed);
        let told = report.clone();
        teller::tell(move || tell_stall(&told));
        if let Some(hook) = &self.settings.on_stall {
            if let Err(message) = quietly(|| hook(&report)) {
                self.dispatcher.report(PanicSource::Hook, message, None);
            }
        }
    }

    /// Hands a report to the grace-period thread, if the polled future (`what`) may wait for the
    /// code that polls it. Returns whether there is a report.
    #[cold]
    pub(in crate::domain) fn note_deadlock(
        self: &Arc<Self>,
        what: &'static str,
        by_callback: bool,
    ) -> bool {
        let mut report = if by_callback && blocking::in_batch_of(self.dispatcher.id()) {
            self.stall(StallKind::WaitInCallback(what), Duration::ZERO)
        } else if let Some(held) = self.own_section() {
            StallReport {
                holders: vec![held],
                holders_total: 1,
                ..self.stall(StallKind::WaitInSection(what), Duration::ZERO)
            }
        } else {
            return false;
        };
        if report.holders.is_empty() {
            let here = thread::current();
            report.thread = here.name().map(str::to_owned);
            report.thread_id = Some(here.id());
        }
        self.stalls.notes.lock().push(report);
        self.kick();
        true
    }

    /// Returns the section of a `ReadGuard` on this thread, in builds that track locations.
    fn own_section(&self) -> Option<HeldSection> {
        if !TRACKED {
            return None;
        }
        let record = local::known(self.registry).filter(|record| record.is_reading())?;
        let here = thread::current();
        let opening = record.opening();
        Some(HeldSection {
            thread: here.name().map(str::to_owned),
            thread_id: here.id(),
            thread_ended: false,
            owned: false,
            location: opening.location,
            task: opening.task,
            age: Duration::ZERO,
        })
    }

    pub(in crate::domain) fn has_notes(&self) -> bool {
        !self.stalls.notes.lock().is_empty()
    }

    /// Makes the reports of other threads, if there are any.
    pub(in crate::domain) fn report_notes(&self) -> bool {
        let notes = std::mem::take(&mut *self.stalls.notes.lock());
        let any = !notes.is_empty();
        for note in notes {
            self.report_stall(note);
        }
        any
    }

    pub(in crate::domain) fn report_backlog(&self) {
        if let Some(backlog) = self.dispatcher.backlog.as_ref().filter(|b| b.take_report()) {
            let (pending, limit) = (backlog.pending(), backlog.limit());
            let name = self.dispatcher.name.clone();
            teller::tell(move || {
                tracing::warn!(
                    target: "async_rcu::backpressure",
                    domain = %name, pending, limit,
                    "the limit of pending callbacks ({limit}) is reached; \
                     try_call refuses and reserve waits until callbacks finish"
                );
            });
        }
    }
}
