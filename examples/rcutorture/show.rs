//! The printed figures: a line every second or so, and the result with its explanation.

use super::args::Args;
use super::latency::human;
use super::run::{AGES, Run, STAGES};
use async_rcu::{Rcu, report::MemoryBarrier};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    reads: u64,
    updates: u64,
    grace_periods: u64,
    callbacks: u64,
}

impl Counts {
    fn of(run: &Run, domains: &[Rcu]) -> Self {
        let mut counts = Counts {
            reads: run.reads.load(Ordering::Relaxed),
            updates: run.updates.load(Ordering::Relaxed),
            ..Counts::default()
        };
        for domain in domains {
            let stats = domain.stats();
            counts.grace_periods += stats.grace_periods;
            counts.callbacks += stats.finished;
        }
        counts
    }
}

/// The progress of a run, shown as a bar and as lines.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    last: Mark,
    /// The mark of the line that was printed last.
    printed: Mark,
    rows: Vec<Value>,
}

/// Counts, and the time at which they were read.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    counts: Counts,
}

impl Mark {
    /// Returns rates per second since an earlier mark: reads, updates, grace periods, callbacks.
    fn rates(&self, earlier: &Mark) -> [u64; 4] {
        let took = (self.at - earlier.at).as_secs_f64();
        let (now, then) = (self.counts, earlier.counts);
        // Readers add to the counts in portions, so a count may be old for a moment.
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / took) as u64;
        [
            rate(now.reads, then.reads),
            rate(now.updates, then.updates),
            rate(now.grace_periods, then.grace_periods),
            rate(now.callbacks, then.callbacks),
        ]
    }
}

impl Progress {
    /// Makes the bar. It draws itself on stderr, and hides if stderr is no terminal.
    pub(super) fn new(args: &Args) -> Self {
        let bar = ProgressBar::new(args.seconds);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} s {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(args.mode.name());
        let at = Instant::now();
        let start = Mark { at, counts: Counts::default() };
        Self { bar, began: at, last: start, printed: start, rows: Vec::new() }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Adds a row. The caller calls it about once a second.
    pub(super) fn step(&mut self, run: &Run, domains: &[Rcu]) {
        let now = Mark { at: Instant::now(), counts: Counts::of(run, domains) };
        let second = (now.at - self.began).as_secs_f64();
        let errors = run.board.errors();
        let [reads, updates, grace_periods, callbacks] = now.rates(&self.last);
        self.rows.push(json!({
            "second": (second * 10.0).round() / 10.0, "reads": reads, "updates": updates,
            "grace_periods": grace_periods, "callbacks": callbacks, "errors": errors,
        }));
        self.last = now;
        self.bar.set_position(second as u64);
        self.bar.set_message(format!("{} reads/s, {errors} errors", HumanCount(reads)));
        let every = Duration::from_secs(run.args.every);
        // The seconds are not exact: a little less than `every` is enough.
        if !every.is_zero() && now.at - self.printed.at >= every.mul_f64(0.9) {
            let rates = now.rates(&self.printed).map(|rate| HumanCount(rate).to_string());
            let [reads, updates, grace_periods, callbacks] = rates;
            self.printed = now;
            self.bar.suspend(|| {
                println!(
                    "{second:7.1} s {reads:>14} reads/s {updates:>11} updates/s \
                     {grace_periods:>11} grace periods/s {callbacks:>11} callbacks/s  \
                     {errors} errors"
                );
            });
        }
    }

    pub(super) fn ending(&self) {
        self.bar.set_message("freeing the last elements");
    }

    pub(super) fn done(self) -> (Vec<Value>, Duration) {
        self.bar.finish_and_clear();
        (self.rows, self.began.elapsed())
    }
}

/// Prints the line that says what runs.
pub(super) fn header(run: &Run, barrier: MemoryBarrier) {
    let args = &run.args;
    println!(
        "rcutorture {} {} {}: barrier {barrier}, seed {}, delays {}, {} processors",
        args.n,
        args.mode.name(),
        args.seconds,
        args.seed,
        if cfg!(rcu_delays) { "on" } else { "off" },
        std::thread::available_parallelism().map_or(0, usize::from),
    );
}

/// Prints the result and its explanation.
pub(super) fn result(run: &Run, domains: &[Rcu], time: Duration) {
    let totals = Counts::of(run, domains);
    println!();
    println!("Totals in {:.1} s", time.as_secs_f64());
    for (name, count) in [
        ("reads", totals.reads),
        ("updates", totals.updates),
        ("grace periods", totals.grace_periods),
        ("callbacks", totals.callbacks),
    ] {
        println!("  {name:<14} {:>16}", HumanCount(count).to_string());
    }
    latencies(run);
    ages(run);
    errors(run);
}

fn latencies(run: &Run) {
    println!();
    println!("Latencies");
    println!("  {:<12} {:>12} {:>9} {:>9} {:>9} {:>9}", "", "count", "p50", "p99", "p99.9", "max");
    for (kind, times) in run.latencies.known() {
        let at = |quantile| human(times.value_at_quantile(quantile) as f64);
        let count = HumanCount(times.len()).to_string();
        let most = human(times.max() as f64);
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        println!(
            "  {:<12} {count:>12} {p50:>9} {p99:>9} {p999:>9} {most:>9}   {}",
            kind.name(),
            kind.about()
        );
    }
}

fn ages(run: &Run) {
    println!();
    println!("Ages of the elements that readers saw, as of their last look in a section");
    println!("  An element in its cell has age 0. Its removal makes the age 1, and each grace");
    println!("  period that ends after the removal adds 1. A grace period lasts until all readers");
    println!("  that were there at its start have left, and later readers cannot find the removed");
    println!("  element. So ages 0 and 1 are correct, and ages of 2 and more must never be seen.");
    for (age, count) in run.ages.iter().enumerate() {
        let count = count.load(Ordering::Relaxed);
        let about = match age {
            0 => "in its cell",
            1 => "removed, no grace period has ended since",
            n if n as u64 <= STAGES + 1 => "MUST BE ZERO",
            _ => "MUST BE ZERO (no age that an element can have)",
        };
        if age <= 2 || count != 0 || age == AGES - 1 {
            println!("  {age:>3} {:>18}  {about}", HumanCount(count).to_string());
        } else if age == 3 && run.ages[3..].iter().all(|age| age.load(Ordering::Relaxed) == 0) {
            println!("  ..");
        }
    }
}

fn errors(run: &Run) {
    let errors = run.board.errors();
    println!();
    println!("Errors: {errors}, which MUST BE ZERO");
    println!(
        "  These are errors: an age of 2 or more; an element that was poisoned or freed twice;"
    );
    println!("  an element or callback that was lost, ran twice or ran out of order; a drain or");
    println!(
        "  cookie that was over too early; counts that do not match at the end; a panic; a hang."
    );
    let texts = run.board.texts();
    for text in texts.iter() {
        println!("  ERROR: {text}");
    }
    if errors > texts.len() as u64 {
        println!("  (only the first {} errors are shown)", texts.len());
    }
    println!("{}", if errors == 0 { "SUCCESS" } else { "FAILURE" });
}

/// Returns all figures as JSON.
pub(super) fn json(
    run: &Run,
    domains: &[Rcu],
    barrier: MemoryBarrier,
    rows: &[Value],
    time: Duration,
) -> Value {
    let (args, totals) = (&run.args, Counts::of(run, domains));
    let ages: Vec<_> = run.ages.iter().map(|age| age.load(Ordering::Relaxed)).collect();
    json!({
        "mode": args.mode.name(), "n": args.n, "seconds": args.seconds, "seed": args.seed,
        "barrier": barrier.to_string(), "delays": cfg!(rcu_delays),
        "took_seconds": time.as_secs_f64(),
        "reads": totals.reads, "updates": totals.updates,
        "grace_periods": totals.grace_periods, "callbacks": totals.callbacks,
        "reader_ages": ages, "latencies": run.latencies.json(), "per_second": rows,
        "errors": run.board.errors(), "error_texts": *run.board.texts(),
        "success": run.board.errors() == 0,
    })
}
