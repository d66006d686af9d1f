//! Published by the grace-period thread, before it sleeps: at most once a second while something goes on, and once after it,
//! or before the thread goes.

use crate::domain::Domain;
use crate::sys::wake::quietly;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// What the collector remembers about publishing.
#[derive(Debug, Default)]
pub(in crate::domain) struct Publisher {
    /// Something was done since.
    news: bool,
    last: Option<Instant>,
}

impl Publisher {
    /// Something was done.
    pub(in crate::domain) fn note(&mut self) {
        self.news = true;
    }

    /// Whether it is time; else how long until it is, if it ever will be.
    fn due(&mut self) -> Result<(), Option<Duration>> {
        if !self.news {
            return Err(None);
        }
        let early = self
            .last
            .map(|last| INTERVAL.saturating_sub(last.elapsed()));
        if let Some(early) = early.filter(|early| !early.is_zero()) {
            return Err(Some(early));
        }
        self.take_news();
        Ok(())
    }

    fn take_news(&mut self) -> bool {
        self.last = Some(Instant::now());
        std::mem::take(&mut self.news)
    }
}

impl Domain {
    /// Publishes, if it is time and there is news; tells when to come again.
    pub(in crate::domain) fn publish(&self) -> Option<Duration> {
        let due = self.driver.lock().publisher.due();
        match due {
            // A recorder is foreign code.
            Ok(()) => drop(quietly(|| self.publish_now())),
            Err(later) => return later,
        }
        None
    }

    /// Publishes what is new, if anything is: the thread is about to go.
    pub(in crate::domain) fn publish_last(&self) {
        if self.driver.lock().publisher.take_news() {
            drop(quietly(|| self.publish_now()));
        }
    }

    fn publish_now(&self) {
        let stats = self.stats();
        let domain = || self.dispatcher.name.clone();
        let counts = [
            ("async_rcu_grace_periods_total", stats.grace_periods),
            ("async_rcu_forced_total", stats.forced),
            ("async_rcu_queued_total", stats.queued),
            ("async_rcu_finished_total", stats.finished),
            ("async_rcu_panicked_total", stats.panicked),
            ("async_rcu_cancelled_total", stats.cancelled),
            ("async_rcu_batches_total", stats.batches),
            ("async_rcu_stalls_total", stats.stalls),
        ];
        for (name, value) in counts {
            metrics::counter!(name, "domain" => domain()).absolute(value);
        }
        let latency = stats.grace_period_latency;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let gauges = [
            (
                "async_rcu_pending",
                stats.queued.saturating_sub(stats.finished) as f64,
            ),
            ("async_rcu_threads", stats.threads as f64),
            ("async_rcu_owned_guards", stats.owned_guards as f64),
            (
                "async_rcu_oldest_section_seconds",
                stats.oldest_section.unwrap_or_default().as_secs_f64(),
            ),
            (
                "async_rcu_longest_callback_seconds",
                stats.longest_callback.as_secs_f64(),
            ),
            (
                "async_rcu_grace_period_p50_seconds",
                latency.p50.as_secs_f64(),
            ),
            (
                "async_rcu_grace_period_p99_seconds",
                latency.p99.as_secs_f64(),
            ),
            (
                "async_rcu_grace_period_max_seconds",
                latency.max.as_secs_f64(),
            ),
        ];
        for (name, value) in gauges {
            metrics::gauge!(name, "domain" => domain()).set(value);
        }
    }
}
