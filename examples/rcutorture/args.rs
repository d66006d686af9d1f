//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Torture and performance test of async-rcu, after the one that McKenney wrote for Linux.
///
/// Updaters replace elements all the time while readers look at them. A replaced element goes
/// through a pipe, one stage for each grace period. At the end of the pipe the element is poisoned
/// and freed. These are errors: a reader sees poison, or an element that was replaced more than a
/// grace period ago; a callback runs twice or never; a drain or a cookie is over too early; a wait
/// does not end.
#[derive(Clone, Debug, Parser)]
#[command(name = "rcutorture", verbatim_doc_comment, after_help = AFTER)]
pub(crate) struct Args {
    /// Readers in rperf and perf, updaters in uperf, threads in stress (with four tasks for each);
    /// in async there are 32 tasks for each
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) n: u32,
    /// The test to run
    #[arg(value_name = "MODE")]
    pub(crate) mode: Mode,
    /// The seconds to run: 1 to 604800
    #[arg(value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) seconds: u64,
    /// The barrier between readers and grace periods
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    pub(crate) barrier: BarrierArg,
    /// The seed of all random choices; the order in which threads run is not one of them
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print a line of figures every so many seconds; 0 prints none
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub(crate) every: u64,
    /// The seconds without progress after which the run counts as hung: 1 to 3600
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=3_600),
    )]
    pub(crate) hang: u64,
    /// Threads in stress and async that take processors away from the others, in bursts
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(0..=256),
    )]
    pub(crate) hogs: u32,
    /// Write the result with all figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the histograms of latencies into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

const AFTER: &str = "\
Exit status: 0 without errors, 1 if the run found an error or hung, 2 if it could not start.

If it is built with RUSTFLAGS=\"--cfg rcu_delays\", threads stop at random in the library's
critical windows. The release profile leaves out the library's own assertions, and tortures more.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// N readers and no updater
    Rperf,
    /// N updaters and no reader: each replaces an element and waits for a grace period
    Uperf,
    /// N readers and one updater
    Perf,
    /// Threads, tasks, and every kind of reader, updater and executor at once; then late stores
    Stress,
    /// As stress, but mostly tasks, which hold their guards across .await
    Async,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Rperf => "rperf",
            Mode::Uperf => "uperf",
            Mode::Perf => "perf",
            Mode::Stress => "stress",
            Mode::Async => "async",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BarrierArg {
    /// The barrier that the library chooses
    Auto,
    /// The system's process-wide barrier; an error if there is none
    Membarrier,
    /// A fence on both sides
    Fence,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let refused = Args::try_parse_from(line.split_whitespace());
        refused.map(|args| format!("{args:?}")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_use_is_refused_by_name() {
        for (line, named) in [
            ("rcutorture", "<N>"),
            ("rcutorture 0 stress 1", "0 is not in 1..=1024"),
            ("rcutorture many stress 1", "invalid digit"),
            ("rcutorture 1 stres 1", "possible values: rperf, uperf, perf, stress, async"),
            ("rcutorture 1 stress 0", "0 is not in 1..=604800"),
            ("rcutorture 1 stress 1.5", "1.5"),
            ("rcutorture 1 stress 1 --barrier none", "possible values: auto, membarrier, fence"),
            ("rcutorture 1 stress 1 --hang 0", "--hang"),
            ("rcutorture 1 stress 1 --seed -1", "-1"),
        ] {
            let said = refused(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }

    #[test]
    fn a_line_as_in_the_readme() {
        let line = "rcutorture 4 stress 10 --barrier fence --seed 7 --json a --svg b";
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        assert_eq!((args.n, args.mode, args.seconds), (4, Mode::Stress, 10));
        assert_eq!((args.barrier, args.seed), (BarrierArg::Fence, 7));
        assert!(args.json.is_some() && args.svg.is_some());
    }
}
