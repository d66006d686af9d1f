//! Rows, and how they are measured.
//!
//! A row is one kind of work, done by several candidates. In each *round* every candidate measures
//! one figure, in turn. The order moves on by one each round, so that no candidate always comes
//! after the same other. The report shows, over all rounds, a candidate's median, minimum and
//! maximum, and the median of its ratio to our figure *of the same round*: if a machine is slow for
//! a second, it is slow for both.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// The time of one candidate in one round, if the work can be repeated as often as needed.
const TURN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    MillionsPerSecond,
    Count,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "us",
            Unit::MillionsPerSecond => "M/s",
            Unit::Count => "",
        }
    }
}

/// A goal of this crate, whose candidate is the first of the row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most this multiple of the other's figure.
    AtMost(f64, &'static str),
    /// At least this multiple of the other's figure.
    AtLeast(f64, &'static str),
    /// At most this in the row's unit, for all candidates of this crate in the row.
    Below(f64),
}

/// A row that is not set up yet.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The name for `--filter`.
    pub(crate) name: &'static str,
    /// A sentence about the measured work.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goals: &'static [Goal],
    /// The largest number of rounds, if a round takes long.
    pub(crate) most_rounds: usize,
    pub(crate) set_up: fn() -> Vec<Candidate>,
}

/// A loop that does some work `n` times on the calling thread, and returns the time.
pub(crate) type Loop = Arc<dyn Fn(u64) -> Duration + Send + Sync>;

pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Runs one round, and returns its figure in the row's unit.
    pub(crate) measure: Box<dyn FnMut() -> f64>,
}

impl Candidate {
    pub(crate) fn new(name: impl Into<String>, measure: impl FnMut() -> f64 + 'static) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }

    /// Makes a candidate whose work is a loop: `run(n)` does the work `n` times and returns the
    /// time. The figure is nanoseconds for each.
    pub(crate) fn looped(
        name: impl Into<String>,
        mut run: impl FnMut(u64) -> Duration + 'static,
    ) -> Self {
        let mut n = None;
        Self::new(name, move || {
            let n = *n.get_or_insert_with(|| fitting(&mut run));
            nanoseconds(run(n)) / n as f64
        })
    }
}

/// Returns how often to do the work so that all of it takes about the time of one turn.
fn fitting(run: &mut impl FnMut(u64) -> Duration) -> u64 {
    let mut n = 1_u64;
    loop {
        let took = run(n);
        if took >= TURN / 4 {
            let factor = nanoseconds(TURN) / nanoseconds(took);
            return ((n as f64 * factor) as u64).max(1);
        }
        n *= 4;
    }
}

pub(crate) struct Measured {
    pub(crate) entry: Entry,
    pub(crate) figures: Vec<Figures>,
}

pub(crate) struct Figures {
    pub(crate) name: String,
    /// The figures of the rounds.
    pub(crate) samples: Vec<f64>,
    /// The ratios to this crate's figure of the same round.
    pub(crate) ratios: Vec<f64>,
}

impl Figures {
    pub(crate) fn median(&self) -> f64 {
        median(&self.samples)
    }
    pub(crate) fn least(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }
    pub(crate) fn most(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios)
    }
}

/// Measures a row: one round that does not count, then the rounds that count.
pub(crate) fn measure(entry: Entry, rounds: usize) -> Measured {
    let mut candidates = (entry.set_up)();
    let rounds = rounds.min(entry.most_rounds).max(1);
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    let warm_up = usize::from(entry.most_rounds > 1);
    for round in 0..rounds + warm_up {
        for turn in 0..candidates.len() {
            let who = (turn + round) % candidates.len();
            let figure = black_box((candidates[who].measure)());
            if round >= warm_up {
                samples[who].push(figure);
            }
        }
    }
    let ours = samples[0].clone();
    let figures = candidates
        .into_iter()
        .zip(samples)
        .map(|(candidate, samples)| Figures {
            name: candidate.name,
            ratios: samples.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect(),
            samples,
        })
        .collect();
    Measured { entry, figures }
}

/// Reads a value into a register, as `consume` in `c/urcu.c` does. (`black_box` would write it to
/// memory.)
#[inline(always)]
pub(crate) fn consume(value: u64) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: the text is a comment and makes no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    black_box(value);
}

pub(crate) fn nanoseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e9
}

pub(crate) fn microseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

/// Returns the median of at least one value; of an even number, the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
