//! How long grace periods take.

use hdrhistogram::Histogram;
use std::time::Duration;

/// How long grace periods took: from the start to when the grace-period thread saw that it was over, to two significant digits.
/// Those that a waiter started and ended by itself are not among them.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// rcu.call(|| ());
/// rcu.blocking_drain();
/// let took = rcu.stats().grace_period_latency;
/// println!("{} grace periods, {:?} at the median, {:?} at most", took.count, took.p50, took.max);
/// assert!(took.p50 <= took.max);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// A hundred nanoseconds to a day; what is beyond counts as that.
const LEAST: u64 = 100;
const MOST: u64 = 24 * 3600 * 1_000_000_000;

/// Made at the first grace period: an idle domain has none.
#[derive(Debug, Default)]
pub(super) struct LatencyLog(Option<Histogram<u64>>);

impl LatencyLog {
    pub(super) fn record(&mut self, took: Duration) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(LEAST, MOST, 2).ok();
        }
        if let Some(log) = &mut self.0 {
            log.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn summary(&self) -> Latency {
        self.0
            .as_ref()
            .map_or_else(Latency::default, |log| Latency {
                count: log.len(),
                p50: Duration::from_nanos(log.value_at_quantile(0.5)),
                p99: Duration::from_nanos(log.value_at_quantile(0.99)),
                max: Duration::from_nanos(log.max()),
            })
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_what_was_recorded() {
        let mut log = LatencyLog::default();
        assert_eq!(log.summary(), Latency::default());
        for micros in 1..=1000 {
            log.record(Duration::from_micros(micros));
        }
        log.record(Duration::MAX);
        let latency = log.summary();
        let near = |a: Duration, micros: u64| {
            let wanted = Duration::from_micros(micros).as_secs_f64();
            (a.as_secs_f64() / wanted - 1.0).abs() < 0.02
        };
        assert_eq!(latency.count, 1001);
        assert!(near(latency.p50, 501), "{latency:?}");
        assert!(near(latency.p99, 991), "{latency:?}");
        assert!(latency.max >= Duration::from_secs(24 * 3600), "{latency:?}");
    }
}
