//! Latencies of the operations.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An operation whose latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Synchronize,
    Cookie,
    Reclaim,
    Call,
    Drain,
    Reserve,
    Shutdown,
    Lock,
}

impl Kind {
    pub(super) const ALL: [Kind; 9] = [
        Kind::Read,
        Kind::Synchronize,
        Kind::Cookie,
        Kind::Reclaim,
        Kind::Call,
        Kind::Drain,
        Kind::Reserve,
        Kind::Shutdown,
        Kind::Lock,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Synchronize => "synchronize",
            Kind::Cookie => "wait_for",
            Kind::Reclaim => "reclaim",
            Kind::Call => "call",
            Kind::Drain => "drain",
            Kind::Reserve => "reserve",
            Kind::Shutdown => "shutdown",
            Kind::Lock => "lock, drain",
        }
    }

    /// Returns a line that explains the figure.
    pub(super) fn about(self) -> &'static str {
        match self {
            Kind::Read => "one section: enter, load, look, leave (mean of 100 in a row)",
            Kind::Synchronize => "blocking or awaited",
            Kind::Cookie => "for a cookie, taken just now or some time ago",
            Kind::Reclaim => "by Retired::wait or reclaim_all",
            Kind::Call => "from the call until the callback runs",
            Kind::Drain => "blocking or awaited",
            Kind::Reserve => "until there is room for one more callback",
            Kind::Shutdown => "until all is drained and the threads have stopped",
            Kind::Lock => "drain by the lock's holder, until the lock is held again",
        }
    }
}

/// A histogram of nanoseconds up to an hour, to three digits.
pub(super) type Times = Histogram<u64>;
const MOST: u64 = 3_600_000_000_000;

pub(super) fn times() -> Times {
    Histogram::new_with_bounds(1, MOST, 3).expect("constant, valid bounds")
}

#[derive(Debug)]
pub(super) struct Latencies(Vec<Mutex<Times>>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Kind::ALL.map(|_| Mutex::new(times())).into())
    }

    pub(super) fn of(&self, kind: Kind) -> MutexGuard<'_, Times> {
        let times = &self.0[kind as usize];
        times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, kind: Kind, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(MOST);
        self.of(kind).saturating_record(nanoseconds.max(1));
    }

    /// Returns the kinds that have at least one measured time.
    pub(super) fn known(&self) -> Vec<(Kind, Times)> {
        let all = Kind::ALL.map(|kind| (kind, self.of(kind).clone()));
        all.into_iter().filter(|(_, times)| !times.is_empty()).collect()
    }

    pub(super) fn json(&self) -> Value {
        let row = |(kind, times): (Kind, Times)| {
            let counts = bins(&times).into_iter().filter(|bin| bin.count != 0);
            let histogram: Vec<_> = counts.map(|bin| json!([bin.from, bin.count])).collect();
            let row = json!({
                "about": kind.about(), "unit": "ns", "count": times.len(), "mean": times.mean(),
                "p50": times.value_at_quantile(0.5), "p99": times.value_at_quantile(0.99),
                "p99.9": times.value_at_quantile(0.999), "max": times.max(), "histogram": histogram,
            });
            (kind.name().to_owned(), row)
        };
        Value::Object(self.known().into_iter().map(row).collect())
    }
}

/// The number of bins for each decade.
pub(super) const BINS: i32 = 8;

pub(super) struct Bin {
    /// The lower bound of the bin, in nanoseconds.
    pub(super) from: f64,
    pub(super) count: u64,
}

/// Returns a logarithmic histogram, from the first bin that is not empty to the last.
pub(super) fn bins(times: &Times) -> Vec<Bin> {
    let index =
        |value: u64| ((value.max(1) as f64).log10() * f64::from(BINS) + 1e-9).floor() as i32;
    if times.is_empty() {
        return Vec::new();
    }
    // All values of one bucket of the histogram fall into one bin.
    let mut counted: std::collections::BTreeMap<i32, u64> = std::collections::BTreeMap::new();
    for bucket in times.iter_recorded() {
        *counted.entry(index(bucket.value_iterated_to())).or_insert(0) += bucket.count_at_value();
    }
    let (Some((first, _)), Some((last, _))) = (counted.first_key_value(), counted.last_key_value())
    else {
        return Vec::new();
    };
    (*first..=*last)
        .map(|bin| Bin {
            from: 10_f64.powf(f64::from(bin) / f64::from(BINS)),
            count: counted.get(&bin).copied().unwrap_or(0),
        })
        .collect()
}

/// Formats a time in nanoseconds with a suitable unit.
pub(super) fn human(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    match value {
        v if v < 9.95 && (v - v.round()).abs() >= 0.05 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}
