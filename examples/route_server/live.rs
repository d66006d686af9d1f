//! What the page shows: figures twice a second, and reports as they come.
//!
//! All viewers share one sampler, a task that begins with the first of them and ends with the last: with nobody there,
//! the server has no timer and takes no figures. A viewer that is slow gets the latest figures, not a queue of old ones.
//!
//! [`Live::close`] ends it all: the viewers' streams, the sampler and the guards that were held for show. Without that a
//! graceful shutdown would wait for streams that have no end, and the last grace period for those guards.

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
/// How many may watch at once.
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
    /// The sampler is there, and will look at the viewers again.
    sampling: bool,
    all: JoinSet<()>,
}

/// The figures of one moment. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Since the server began.
    pub(crate) up_ms: f64,
    /// Addresses looked up, in all.
    pub(crate) lookups: u64,
    /// Since the sample before; none in a sampler's first.
    pub(crate) lookups_per_s: Option<f64>,
    pub(crate) grace_periods: u64,
    pub(crate) forced: u64,
    /// Of all grace periods since the server began; none before the first.
    pub(crate) grace_period_p50_ms: Option<f64>,
    pub(crate) grace_period_p99_ms: Option<f64>,
    pub(crate) grace_period_max_ms: Option<f64>,
    /// Callbacks queued and not finished.
    pub(crate) pending: u64,
    pub(crate) finished: u64,
    /// Guards held across awaits.
    pub(crate) held_guards: usize,
    pub(crate) oldest_section_ms: Option<f64>,
    pub(crate) version: u64,
    /// How long the version has been in use.
    pub(crate) age_ms: f64,
    pub(crate) bytes: usize,
    pub(crate) networks: usize,
    pub(crate) load_ms: f64,
    /// Versions that are no longer in use, and not freed.
    pub(crate) old_versions: usize,
    pub(crate) stalls: u64,
}

/// What a viewer is told.
pub(crate) enum News {
    Sample(Box<Sample>),
    Report(Arc<Report>),
    /// So many reports came faster than the viewer took them.
    Missed(u64),
}

/// One who watches, as long as this lives.
pub(crate) struct Viewer {
    missed: VecDeque<Arc<Report>>,
    reports: broadcast::Receiver<Arc<Report>>,
    samples: watch::Receiver<Sample>,
    closed: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
}

/// Why somebody may not watch.
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

    /// Begins to watch: the figures of now come first, and what was reported after the one with this id.
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
        Ok(Viewer {
            missed,
            reports,
            samples,
            closed: self.closed.subscribe(),
            _seat: seat,
        })
    }

    /// Runs `task` beside the requests; [`close`](Self::close) waits for it, so it has to end when
    /// [`closing`](Self::closing) does. `false`, and nothing is run, after `close`.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = self.tasks();
        if self.is_closed() {
            return false;
        }
        // Those that are over need not be kept until the end.
        while tasks.all.try_join_next().is_some() {}
        tasks.all.spawn(task);
        true
    }

    /// Ends when the server is about to.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// Ends the viewers' streams, the sampler and all that was [spawned](Self::spawn), and waits for the latter two.
    pub(crate) async fn close(&self) {
        let mut all = {
            let mut tasks = self.tasks();
            // Under the lock: nothing is begun after this.
            self.closed.send_replace(true);
            std::mem::take(&mut tasks.all)
        };
        while all.join_next().await.is_some() {}
    }

    /// Whether figures are taken.
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
    /// What is next; `None` when the server ends. Nothing is lost where this is dropped.
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

/// Takes the figures as long as somebody watches.
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
        // The first one is due at once, and the first sample is taken.
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                () = self.live.samples.closed() => {
                    // Looked at again under the lock: who comes now either finds us here, or begins another sampler.
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
    // Counted before the section of our own below.
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
