//! What a row is, and how it is measured.
//!
//! A row is one kind of work, done by several candidates. One *round* asks every candidate once for a figure, in turn; the
//! order moves on by one each round, so that none always runs behind the same other. What is reported is, over all
//! rounds, a candidate's median, least and most, and the median of its ratio to ours *of the same round*: a machine that
//! is slow for a second is slow for both.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// How long one candidate should take in one round, where the work can be repeated at will.
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

/// What ours, the first candidate of the row, should reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At most so many times the other's figure.
    AtMost(f64, &'static str),
    /// At least so many times the other's figure.
    AtLeast(f64, &'static str),
    /// At most this, in the row's unit. Asked of all of ours in the row.
    Below(f64),
}

/// A row before it is set up.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// What `--filter` looks at.
    pub(crate) name: &'static str,
    /// What is measured, in one sentence.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goals: &'static [Goal],
    /// Where a round takes long.
    pub(crate) most_rounds: usize,
    pub(crate) set_up: fn() -> Vec<Candidate>,
}

pub(crate) struct Candidate {
    pub(crate) name: String,
    /// One round: its figure, in the row's unit.
    pub(crate) measure: Box<dyn FnMut() -> f64>,
}

impl Candidate {
    pub(crate) fn new(name: impl Into<String>, measure: impl FnMut() -> f64 + 'static) -> Self {
        Self {
            name: name.into(),
            measure: Box::new(measure),
        }
    }

    /// One whose work is a loop: `run(n)` does it `n` times and tells how long that took. The figure is nanoseconds each.
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

/// How often to do it so that it takes about a turn.
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

/// The same on so many threads at once; the mean of what they took.
pub(crate) fn at_once(threads: u32, n: u64, run: impl Fn(u64) -> Duration + Sync) -> Duration {
    let start = Barrier::new(threads as usize);
    let total: Duration = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // Registers the thread wherever it needs to be.
                    run(1);
                    start.wait();
                    run(n)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a measuring thread"))
            .sum()
    });
    total / threads
}

pub(crate) struct Measured {
    pub(crate) entry: Entry,
    pub(crate) figures: Vec<Figures>,
}

pub(crate) struct Figures {
    pub(crate) name: String,
    /// By round.
    pub(crate) samples: Vec<f64>,
    /// To ours of the same round; by round.
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
        self.samples
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }
    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios)
    }
}

/// Measures a row: one round that does not count, then the others.
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
            ratios: samples
                .iter()
                .zip(&ours)
                .map(|(theirs, ours)| theirs / ours)
                .collect(),
            samples,
        })
        .collect();
    Measured { entry, figures }
}

/// Into a register and no further, as `consume` does in `c/urcu.c`. (`black_box` would go through memory.)
#[inline(always)]
pub(crate) fn consume(value: u64) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    black_box(value);
}

/// How long `n` times `f` take.
#[inline(always)]
pub(crate) fn timed(n: u64, mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        f();
    }
    start.elapsed()
}

pub(crate) fn nanoseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e9
}

pub(crate) fn microseconds(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

/// Of at least one; the mean of the middle two where they are even in number.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}
