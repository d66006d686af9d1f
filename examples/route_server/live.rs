//! The data of the page: figures twice a second, and reports as they come.
//!
//! All viewers share one sampler, a task that begins with the first viewer and ends with the last.
//! Without viewers the server has no timer and takes no figures. A slow viewer gets the latest
//! figures, not a queue of old ones.
//!
//! [`Live::close`] ends the viewers' streams, the sampler and the guards of the hold button.
//! Without it a graceful shutdown would wait for streams that never end, and the last grace period
//! for the guards.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::reports::{Report, Reports};
use crate::routes::Routes;
use crate::table::milliseconds;

/// The time from one sample to the next.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
/// The largest number of viewers.
pub(crate) const MOST_VIEWERS: usize = 64;

pub(crate) struct Live {
    routes: Arc<Routes>,
    reports: Arc<Reports>,
    samples: watch::Sender<Sample>,
    seats: Arc<Semaphore>,
    closed: watch::Sender<bool>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// The sampler runs, and will look at the viewers again.
    sampling: bool,
    all: JoinSet<()>,
}

/// The figures at one moment. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// The time since the server began.
    pub(crate) up_ms: f64,
    /// The number of looked-up addresses.
    pub(crate) lookups: u64,
    /// The rate since the sample before; `None` in a sampler's first sample.
    pub(crate) lookups_per_s: Option<f64>,
    pub(crate) grace_periods: u64,
    pub(crate) forced: u64,
    /// Latencies of the grace periods whose end the grace-period thread saw, since the server
    /// began; `None` before the first.
    pub(crate) grace_period_p50_ms: Option<f64>,
    pub(crate) grace_period_p99_ms: Option<f64>,
    pub(crate) grace_period_max_ms: Option<f64>,
    /// The number of pending callbacks.
    pub(crate) pending: u64,
    pub(crate) finished: u64,
    /// The number of guards that are held across awaits.
    pub(crate) held_guards: usize,
    pub(crate) oldest_section_ms: Option<f64>,
    pub(crate) version: u64,
    /// The time for which the version has been in use.
    pub(crate) age_ms: f64,
    pub(crate) bytes: usize,
    pub(crate) networks: usize,
    pub(crate) load_ms: f64,
    /// The number of versions that are no longer in use and not freed yet.
    pub(crate) old_versions: usize,
    pub(crate) stalls: u64,
}

/// A message to a viewer.
pub(crate) enum News {
    Sample(Box<Sample>),
    Report(Arc<Report>),
    /// The number of reports that the viewer was too slow to take.
    Missed(u64),
}

/// A viewer. It watches until it is dropped.
pub(crate) struct Viewer {
    missed: VecDeque<Arc<Report>>,
    reports: broadcast::Receiver<Arc<Report>>,
    samples: watch::Receiver<Sample>,
    closed: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

/// The reason why a viewer was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSeat {
    Full,
    Closed,
}

impl Live {
    pub(crate) fn new(routes: Arc<Routes>, reports: Arc<Reports>) -> Arc<Self> {
        Arc::new(Self {
            routes,
            reports,
            samples: watch::Sender::new(Sample::default()),
            seats: Arc::new(Semaphore::new(MOST_VIEWERS)),
            closed: watch::Sender::new(false),
            tasks: Mutex::default(),
        })
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Begins to watch. The viewer first gets the current figures, and the reports after the one
    /// with this id.
    pub(crate) fn watch(self: &Arc<Self>, after: Option<&str>) -> Result<Viewer, NoSeat> {
        let seat = Arc::clone(&self.seats).try_acquire_owned();
        let seat = seat.map_err(|_| NoSeat::Full)?;
        let mut tasks = self.tasks();
        if self.is_closed() {
            return Err(NoSeat::Closed);
        }
        let mut samples = self.samples.subscribe();
        if !tasks.sampling {
            tasks.sampling = true;
            let first = Sampler::new(Arc::clone(self));
            self.samples.send_replace(first.before.clone());
            tasks.all.spawn(first.run());
        }
        samples.mark_changed();
        drop(tasks);
        let (missed, reports) = self.reports.follow(after);
        Ok(Viewer { missed, reports, samples, closed: self.closed.subscribe(), _seat: seat })
    }

    /// Runs `task` at the same time as the requests. [`close`](Self::close) waits for the task, so
    /// the task has to end when [`closing`](Self::closing) completes. After `close`, returns
    /// `false` and does not run the task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = self.tasks();
        if self.is_closed() {
            return false;
        }
        // Tasks that have ended need not be kept.
        while tasks.all.try_join_next().is_some() {}
        tasks.all.spawn(task);
        true
    }

    /// Completes when the server is about to end.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// Ends the viewers' streams, and ends and awaits the sampler and all [spawned](Self::spawn)
    /// tasks.
    pub(crate) async fn close(&self) {
        let mut all = {
            let mut tasks = self.tasks();
            // The lock is held: nothing can begin after this.
            self.closed.send_replace(true);
            std::mem::take(&mut tasks.all)
        };
        while all.join_next().await.is_some() {}
    }

    /// Returns whether the sampler runs.
    #[cfg(test)]
    pub(crate) fn is_sampling(&self) -> bool {
        self.tasks().sampling
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Viewer {
    /// Returns the next message, or `None` when the server ends. Dropping the future loses no
    /// message.
    pub(crate) async fn next(&mut self) -> Option<News> {
        let closed = async {
            let _ = self.closed.wait_for(|closed| *closed).await;
        };
        let changed = async {
            let changed = self.samples.changed().await;
            let sample = self.samples.borrow_and_update().clone();
            changed.is_ok().then(|| News::Sample(Box::new(sample)))
        };
        tokio::select! {
            biased;
            () = closed => None,
            report = next_report(&mut self.missed, &mut self.reports) => report,
            sample = changed => sample,
        }
    }
}

async fn next_report(
    missed: &mut VecDeque<Arc<Report>>,
    reports: &mut broadcast::Receiver<Arc<Report>>,
) -> Option<News> {
    if let Some(report) = missed.pop_front() {
        return Some(News::Report(report));
    }
    match reports.recv().await {
        Ok(report) => Some(News::Report(report)),
        Err(broadcast::error::RecvError::Lagged(missed)) => Some(News::Missed(missed)),
        Err(broadcast::error::RecvError::Closed) => None,
    }
}

/// Takes the figures as long as there are viewers.
struct Sampler {
    live: Arc<Live>,
    before: Sample,
    at: Instant,
}

impl Sampler {
    fn new(live: Arc<Live>) -> Self {
        let at = Instant::now();
        let before = take(&live.routes, at);
        Self { live, before, at }
    }

    async fn run(mut self) {
        let closing = self.live.closing();
        tokio::pin!(closing);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The interval is due at once, so the first sample is taken now.
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                () = self.live.samples.closed() => {
                    // The lock is held, so a new viewer either finds this sampler or begins
                    // another.
                    let mut tasks = self.live.tasks();
                    if self.live.samples.receiver_count() == 0 {
                        tasks.sampling = false;
                        return;
                    }
                }
                _ = ticks.tick() => self.sample(),
            }
        }
        self.live.tasks().sampling = false;
    }

    fn sample(&mut self) {
        let now = Instant::now();
        let mut sample = take(&self.live.routes, now);
        let seconds = now.duration_since(self.at).as_secs_f64();
        let lookups = sample.lookups.saturating_sub(self.before.lookups);
        sample.lookups_per_s = (seconds > 0.0).then(|| lookups as f64 / seconds);
        self.at = now;
        self.before = sample.clone();
        self.live.samples.send_replace(sample);
    }
}

fn take(routes: &Routes, now: Instant) -> Sample {
    let stats = routes.table().rcu().stats();
    let latency = stats.grace_period_latency;
    let known = |time| (latency.count > 0).then(|| milliseconds(time));
    // The guards are counted before this function opens a section of its own.
    let old_versions = routes.old_versions();
    routes.table().with(|table| {
        let summary = table.summary();
        Sample {
            up_ms: milliseconds(now.duration_since(routes.began())),
            lookups: routes.lookups().sum(),
            lookups_per_s: None,
            grace_periods: stats.grace_periods,
            forced: stats.forced,
            grace_period_p50_ms: known(latency.p50),
            grace_period_p99_ms: known(latency.p99),
            grace_period_max_ms: known(latency.max),
            pending: stats.queued.saturating_sub(stats.finished),
            finished: stats.finished,
            held_guards: stats.owned_guards,
            oldest_section_ms: stats.oldest_section.map(milliseconds),
            version: table.version(),
            age_ms: milliseconds(now.saturating_duration_since(table.since())),
            bytes: summary.bytes,
            networks: summary.ipv4_networks + summary.ipv6_networks,
            load_ms: summary.load_ms,
            old_versions,
            stalls: stats.stalls,
        }
    })
}

#[cfg(test)]
mod tests;
