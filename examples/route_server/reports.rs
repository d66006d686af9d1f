//! The reports of the RCU domain, passed on to the viewers.
//!
//! The hooks of the domain run on its grace-period thread and must be short: they put a report into
//! a list of the last reports and into a channel. One lock covers both, so that a new viewer gets
//! each report once: from the list or from the channel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_rcu::report::{ForceEvent, HeldSection, StallReport};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::table::milliseconds;

/// The number of reports that are kept for later viewers.
const KEPT: usize = 20;
/// The number of reports that may wait for a slow viewer.
const WAITING: usize = 64;

pub(crate) struct Reports {
    /// Distinguishes this run of the server from others, in the ids of reports.
    run: u64,
    log: Mutex<Log>,
    news: broadcast::Sender<Arc<Report>>,
}

#[derive(Default)]
struct Log {
    made: u64,
    last: VecDeque<Arc<Report>>,
}

/// A report of a stall, or of a force that asks sections to end.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The number of the report, from 1 on.
    pub(crate) number: u64,
    /// `stall`, or `force`.
    pub(crate) about: &'static str,
    /// The kind of the stall; `Section` for a force.
    pub(crate) kind: String,
    /// The text of the library.
    pub(crate) text: String,
    pub(crate) unix_ms: u64,
    /// The time of the stall so far; none for a force.
    pub(crate) age_ms: Option<f64>,
    /// The number of pending callbacks.
    pub(crate) pending: u64,
    /// The number of earlier reports about the same stall.
    pub(crate) repeated: u32,
    pub(crate) holders: Vec<Holder>,
    pub(crate) holders_total: usize,
}

/// A guard that blocks a grace period.
#[derive(Debug, Serialize)]
pub(crate) struct Holder {
    pub(crate) owned: bool,
    /// The line that made the guard: known in debug builds, and with the feature `locations`.
    pub(crate) location: Option<String>,
    pub(crate) thread: Option<String>,
    pub(crate) task: Option<u64>,
    pub(crate) age_ms: f64,
}

impl From<&HeldSection> for Holder {
    fn from(held: &HeldSection) -> Self {
        Self {
            owned: held.owned,
            location: held.location.map(|place| place.to_string()),
            thread: held.thread.clone(),
            task: held.task,
            age_ms: milliseconds(held.age),
        }
    }
}

/// The earlier reports, oldest first, and the reports to come.
pub(crate) type Following = (VecDeque<Arc<Report>>, broadcast::Receiver<Arc<Report>>);

impl Reports {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            run: unix_ms(),
            log: Mutex::default(),
            news: broadcast::channel(WAITING).0,
        })
    }

    /// Takes a report from [`Builder::on_stall`](async_rcu::Builder::on_stall).
    pub(crate) fn stall(&self, stall: &StallReport) {
        self.tell(|number| Report {
            number,
            about: "stall",
            kind: format!("{:?}", stall.kind),
            text: stall.to_string(),
            unix_ms: unix_ms(),
            age_ms: Some(milliseconds(stall.age)),
            pending: stall.pending,
            repeated: stall.repeated,
            holders: stall.holders.iter().map(Holder::from).collect(),
            holders_total: stall.holders_total,
        });
    }

    /// Takes an event from [`Rcu::on_force`](async_rcu::Rcu::on_force).
    pub(crate) fn force(&self, force: &ForceEvent) {
        self.tell(|number| Report {
            number,
            about: "force",
            kind: "Section".into(),
            text: force.to_string(),
            unix_ms: unix_ms(),
            age_ms: None,
            pending: force.pending,
            repeated: 0,
            holders: force.holders.iter().map(Holder::from).collect(),
            holders_total: force.holders_total,
        });
    }

    fn tell(&self, report: impl FnOnce(u64) -> Report) {
        let mut log = self.log();
        log.made += 1;
        let report = Arc::new(report(log.made));
        if log.last.len() == KEPT {
            log.last.pop_front();
        }
        log.last.push_back(Arc::clone(&report));
        // An error means that there is no viewer.
        let _ = self.news.send(report);
    }

    /// Returns the kept reports after the one with this id, and the channel of later ones. With no
    /// id, or with an id of another run of the server, returns all kept reports.
    pub(crate) fn follow(&self, after: Option<&str>) -> Following {
        let seen = after.and_then(|id| self.number(id)).unwrap_or(0);
        let log = self.log();
        let news = self.news.subscribe();
        let missed = log.last.iter().filter(|report| report.number > seen);
        (missed.cloned().collect(), news)
    }

    /// Returns the id of a report, from which a viewer can go on.
    pub(crate) fn id(&self, report: &Report) -> String {
        format!("{}-{}", self.run, report.number)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        if run.parse() != Ok(self.run) {
            return None;
        }
        number.parse().ok()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
