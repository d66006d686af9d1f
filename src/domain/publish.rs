//! Publishing the domain's figures through the `metrics` facade, with the feature `metrics`.

#[cfg(feature = "metrics")]
pub(super) use published::Publisher;
#[cfg(not(feature = "metrics"))]
pub(super) use unpublished::Publisher;

/// The grace-period thread publishes before it sleeps: at most once a second, and only after work.
/// It also publishes before it stops.
#[cfg(feature = "metrics")]
mod published {
    use crate::domain::Domain;
    use crate::sys::unwind::quietly;
    use std::time::{Duration, Instant};

    const INTERVAL: Duration = Duration::from_secs(1);

    /// The collector's state of publishing.
    #[derive(Debug, Default)]
    pub(in crate::domain) struct Publisher {
        /// Work was done since `last`.
        news: bool,
        last: Option<Instant>,
    }

    impl Publisher {
        pub(in crate::domain) fn note(&mut self) {
            self.news = true;
        }

        /// Returns `Ok` if the figures are to be published now, else how long to wait, if ever.
        fn due(&mut self) -> Result<(), Option<Duration>> {
            if !self.news {
                return Err(None);
            }
            let early = self.last.map(|last| INTERVAL.saturating_sub(last.elapsed()));
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
        /// Publishes news, if it is time. Otherwise returns how long to wait.
        pub(in crate::domain) fn publish(&self) -> Option<Duration> {
            let due = self.collector.lock().publisher.due();
            match due {
                // The recorder is foreign code.
                Ok(()) => drop(quietly(|| self.publish_now())),
                Err(later) => return later,
            }
            None
        }

        pub(in crate::domain) fn publish_last(&self) {
            if self.collector.lock().publisher.take_news() {
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
                ("async_rcu_pending", stats.queued.saturating_sub(stats.finished) as f64),
                ("async_rcu_threads", stats.threads as f64),
                ("async_rcu_owned_guards", stats.owned_guards as f64),
                ("async_rcu_kept_bytes", stats.kept_bytes as f64),
                (
                    "async_rcu_oldest_section_seconds",
                    stats.oldest_section.unwrap_or_default().as_secs_f64(),
                ),
                ("async_rcu_longest_callback_seconds", stats.longest_callback.as_secs_f64()),
                ("async_rcu_grace_period_p50_seconds", latency.p50.as_secs_f64()),
                ("async_rcu_grace_period_p99_seconds", latency.p99.as_secs_f64()),
                ("async_rcu_grace_period_max_seconds", latency.max.as_secs_f64()),
            ];
            for (name, value) in gauges {
                metrics::gauge!(name, "domain" => domain()).set(value);
            }
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod unpublished {
    use crate::domain::Domain;
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(in crate::domain) struct Publisher(());

    impl Publisher {
        pub(in crate::domain) fn note(&mut self) {}
    }

    impl Domain {
        pub(in crate::domain) fn publish(&self) -> Option<Duration> {
            None
        }

        pub(in crate::domain) fn publish_last(&self) {}
    }
}
