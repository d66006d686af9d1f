//! The result of a run, as a table and as JSON, and the check of it.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Returns an empty histogram of microseconds, up to ten minutes. The bounds are fixed, so a longer
/// time counts as ten minutes.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant, valid bounds")
}

/// Quantiles of times in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

impl Quantiles {
    pub(crate) fn of(times: &Histogram<u64>) -> Self {
        Self {
            p50: times.value_at_quantile(0.5),
            p99: times.value_at_quantile(0.99),
            p99_9: times.value_at_quantile(0.999),
            max: times.max(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) store: &'static str,
    #[serde(skip)]
    pub(crate) closing: &'static str,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    /// The number of answered pages.
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) latency_us: Quantiles,
    pub(crate) conversations: u64,
    /// The number of failed pages and conversations.
    pub(crate) failed: u64,
    pub(crate) changes: u64,
    pub(crate) changes_wanted: u64,
    pub(crate) changes_per_second: f64,
    pub(crate) removed_to_closing_us: Quantiles,
    pub(crate) removed_to_closed_us: Quantiles,
    pub(crate) closed: u64,
    /// The number of backends whose close began while a request used them.
    pub(crate) closed_in_use: u64,
    /// The number of backends whose connections did not end in time.
    pub(crate) closed_by_force: u64,
    pub(crate) still_open: usize,
    /// Whether the shutdown ended before its deadline.
    pub(crate) drained: bool,
    pub(crate) shutdown_ms: f64,
    pub(crate) deadline_ms: f64,
}

impl Outcome {
    /// Returns everything that is wrong with this run.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{}: {what}", self.store));
            }
        };
        check(self.failed == 0, format!("{} requests failed", self.failed));
        check(self.requests > 0 || self.interrupted, "no request was answered".into());
        check(
            self.interrupted || self.changes == self.changes_wanted,
            format!("only {} of {} changes were made", self.changes, self.changes_wanted),
        );
        check(
            self.closed_in_use == 0,
            format!("{} backends were closed while a request used them", self.closed_in_use),
        );
        check(
            self.closed_by_force == 0,
            format!("{} backends did not close in time", self.closed_by_force),
        );
        check(self.drained, format!("the shutdown has not ended within {} ms", self.deadline_ms));
        check(
            self.still_open == 0 || !self.drained,
            format!("{} backends are still open after the drain", self.still_open),
        );
        wrong
    }
}

/// Prints the table of all runs.
pub(crate) fn print(outcomes: &[Outcome]) {
    let row = |what: &str, of: &dyn Fn(&Outcome) -> String| {
        print!("{what:<34}");
        outcomes.iter().for_each(|one| print!(" {:>12}", of(one)));
        println!();
    };
    let ms = |us: u64| format!("{:.2}", us as f64 / 1e3);
    row("", &|o| o.store.into());
    row("pages/s", &|o| format!("{:.0}", o.requests_per_second));
    row("page, ms            p50", &|o| ms(o.latency_us.p50));
    row("                    p99", &|o| ms(o.latency_us.p99));
    row("                    p99.9", &|o| ms(o.latency_us.p99_9));
    row("                    max", &|o| ms(o.latency_us.max));
    row("conversations", &|o| o.conversations.to_string());
    row("failed", &|o| o.failed.to_string());
    row("changes", &|o| o.changes.to_string());
    row("changes/s", &|o| format!("{:.0}", o.changes_per_second));
    row("removed to closing, ms  p50", &|o| ms(o.removed_to_closing_us.p50));
    row("                        p99", &|o| ms(o.removed_to_closing_us.p99));
    row("removed to closed, ms   p50", &|o| ms(o.removed_to_closed_us.p50));
    row("                        p99", &|o| ms(o.removed_to_closed_us.p99));
    row("closed", &|o| o.closed.to_string());
    row("closed in use", &|o| o.closed_in_use.to_string());
    row("shutdown, ms", &|o| format!("{:.1}", o.shutdown_ms));
    println!();
    for one in outcomes {
        println!("{}: {}", one.store, one.closing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_length_are_recorded() {
        let mut times = times();
        (0..1_000).for_each(|_| times.saturating_record(1_500_000));
        times.saturating_record(u64::MAX);
        let quantiles = Quantiles::of(&times);
        assert!((1_499_000..1_502_000).contains(&quantiles.p50));
        assert!(quantiles.max >= 600_000_000);
    }
}
