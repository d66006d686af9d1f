//! What the RCU reports, passed on to those who watch.
//!
//! The hooks of the domain run on its grace-period thread and have to be short: they put the report into a list of the last
//! ones and into a channel, and are done. Both under one lock, so that who begins to watch gets each report once: from
//! the list, or by the channel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_rcu::{ForceEvent, HeldSection, StallReport};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::table::milliseconds;

/// How many are kept for those who come later.
const KEPT: usize = 20;
/// How many may wait for a viewer that is slow to take them.
const WAITING: usize = 64;

pub(crate) struct Reports {
    /// Tells this run of the server from others, in the ids of reports.
    run: u64,
    log: Mutex<Log>,
    news: broadcast::Sender<Arc<Report>>,
}

#[derive(Default)]
struct Log {
    made: u64,
    last: VecDeque<Arc<Report>>,
}

/// Of something stuck, or of a force that asks sections to end.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// From 1, in the order they were made.
    pub(crate) number: u64,
    /// `stall`, or `force`.
    pub(crate) about: &'static str,
    /// What is stuck; for a force, `Section`.
    pub(crate) kind: String,
    /// The library's own sentence.
    pub(crate) text: String,
    pub(crate) unix_ms: u64,
    /// How long it has been stuck. A force does not say it.
    pub(crate) age_ms: Option<f64>,
    /// Callbacks that wait.
    pub(crate) pending: u64,
    /// Reports made before of the same matter.
    pub(crate) repeated: u32,
    pub(crate) holders: Vec<Holder>,
    pub(crate) holders_total: usize,
}

/// A guard that holds things up.
#[derive(Debug, Serialize)]
pub(crate) struct Holder {
    pub(crate) owned: bool,
    /// Where it was made: known in debug builds, and with the feature `locations`.
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

/// The reports made before, oldest first, and those to come.
pub(crate) type Following = (VecDeque<Arc<Report>>, broadcast::Receiver<Arc<Report>>);

impl Reports {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            run: unix_ms(),
            log: Mutex::default(),
            news: broadcast::channel(WAITING).0,
        })
    }

    /// For [`Builder::on_stall`](async_rcu::Builder::on_stall).
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

    /// For [`Rcu::on_force`](async_rcu::Rcu::on_force).
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
        // Nobody may be there to hear it.
        let _ = self.news.send(report);
    }

    /// What was reported after the one with this id, as far as it is kept, and what will be. With no id, or one of
    /// another run of the server: all that is kept.
    pub(crate) fn follow(&self, after: Option<&str>) -> Following {
        let seen = after.and_then(|id| self.number(id)).unwrap_or(0);
        let log = self.log();
        let news = self.news.subscribe();
        let missed = log.last.iter().filter(|report| report.number > seen);
        (missed.cloned().collect(), news)
    }

    /// What to name the report by, so that a viewer can go on after it.
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
