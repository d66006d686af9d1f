//! The program of `examples/rcutorture.rs`. `tests/rcutorture.rs` runs it too.
//!
//! | module | |
//! |---|---|
//! | `args` | the command line |
//! | `run` | the state that all threads share: counts, findings |
//! | `element`, `pass` | the elements that readers see, and their way through the pipe |
//! | `world` | a domain under torture, one for each kind of executor |
//! | `readers`, `updaters` | every way to read and to replace |
//! | `stress`, `pair`, `restart`, `late_stores`, `perf` | the threads and tasks of each test |
//! | `crew` | named threads that are joined together |
//! | `watch`, `watchdog` | the waits and pipes that are watched, and the thread that watches |
//! | `latency`, `show`, `chart` | figures |

pub(crate) mod args;
mod chart;
mod crew;
mod element;
mod late_stores;
mod latency;
mod pair;
mod pass;
mod perf;
mod random;
mod readers;
mod restart;
pub(crate) mod run;
mod show;
mod stress;
mod updaters;
mod watch;
mod watchdog;
mod world;

use args::{Args, BarrierArg, Mode};
use async_rcu::{Rcu, report::MemoryBarrier};
use perf::Perf;
use run::Run;
use show::Progress;
use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stress::{Mixture, Stress};

type Trouble = Box<dyn Error>;

/// The test that a mode runs, with its domains.
enum What {
    Perf(Perf, u32, u32),
    Stress(Box<Stress>, Mixture),
}

impl What {
    fn of(run: &Arc<Run>) -> Result<Self, Trouble> {
        let n = run.args.n;
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(match run.args.mode {
            Mode::Rperf => What::Perf(Perf::new(run)?, n, 0),
            Mode::Uperf => What::Perf(Perf::new(run)?, 0, n),
            Mode::Perf => What::Perf(Perf::new(run)?, n, 1),
            Mode::Stress | Mode::Async => {
                let mixture = match run.args.mode {
                    Mode::Stress => Mixture { threads: n, tasks: 4 * n, workers: 2 },
                    _ => Mixture { threads: 1, tasks: 32 * n, workers: processors.clamp(2, 8) },
                };
                What::Stress(Box::new(Stress::new(run, mixture)?), mixture)
            }
        })
    }

    fn domains(&self) -> Vec<Rcu> {
        match self {
            What::Perf(perf, ..) => vec![perf.rcu().clone()],
            What::Stress(stress, _) => stress.domains(),
        }
    }

    fn run(&self, run: &Arc<Run>, wait: impl Fn(Instant)) {
        match self {
            What::Perf(perf, readers, updaters) => perf.run(run, *readers, *updaters, wait),
            What::Stress(stress, mixture) => stress.run(run, *mixture, wait),
        }
    }
}

/// The files for the result. They are created before the run: a path that cannot be written must
/// not cost an hour.
struct Outputs {
    json: Option<File>,
    svg: Option<File>,
}

impl Outputs {
    fn open(args: &Args) -> Result<Self, Trouble> {
        if args.json.is_some() && args.json == args.svg {
            return Err("--json and --svg name the same file".into());
        }
        let open = |path: &Option<std::path::PathBuf>| match path {
            None => Ok(None),
            Some(path) => File::create(path).map(Some).map_err(|error| at(path, &error)),
        };
        Ok(Self { json: open(&args.json)?, svg: open(&args.svg)? })
    }

    fn write(&mut self, args: &Args, json: &serde_json::Value, svg: &str) -> Result<(), Trouble> {
        if let (Some(file), Some(path)) = (&mut self.json, &args.json) {
            writeln!(file, "{json:#}").map_err(|error| at(path, &error))?;
        }
        if let (Some(file), Some(path)) = (&mut self.svg, &args.svg) {
            file.write_all(svg.as_bytes()).map_err(|error| at(path, &error))?;
        }
        Ok(())
    }
}

fn at(path: &Path, error: &std::io::Error) -> Trouble {
    format!("{}: {error}", path.display()).into()
}

/// Runs the test and returns the number of errors. If the test hangs, the watchdog prints the
/// result and ends the process with status 1.
pub(crate) fn run(args: Args) -> Result<u64, Trouble> {
    let mut outputs = Outputs::open(&args)?;
    let run = Run::new(args);
    let what = What::of(&run)?;
    let domains = what.domains();
    let barrier = barrier(&run.args, &domains)?;
    show::header(&run, barrier);
    let progress = RefCell::new(Progress::new(&run.args));
    let watchdog = {
        let run_ = Arc::clone(&run);
        let began = progress.borrow().began();
        watchdog::start(&run, move || hung(&run_, barrier, began))
    };
    // Returns when the time is over or the board has a finding.
    let wait = |until: Instant| {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let began = Instant::now();
            run.board.wait(left.min(Duration::from_secs(1)));
            if began.elapsed() >= Duration::from_millis(900) {
                progress.borrow_mut().step(&run, &domains);
            }
            if Instant::now() >= until || run.board.errors() != 0 {
                break;
            }
        }
    };
    what.run(&run, wait);
    progress.borrow().ending();
    drop(watchdog);
    let (rows, time) = progress.into_inner().done();
    show::result(&run, &domains, time);
    let json = show::json(&run, &domains, barrier, &rows, time);
    outputs.write(&run.args, &json, &svg(&run))?;
    Ok(run.board.errors())
}

fn svg(run: &Run) -> String {
    let args = &run.args;
    let title = format!("rcutorture {} {} {}: latencies", args.n, args.mode.name(), args.seconds);
    chart::draw(&title, &run.latencies.known())
}

/// Returns the barrier in use, or an error if the command line demands another one.
fn barrier(args: &Args, domains: &[Rcu]) -> Result<MemoryBarrier, Trouble> {
    let barrier = domains.first().map_or(MemoryBarrier::Fence, |domain| domain.stats().barrier);
    match (args.barrier, barrier) {
        (BarrierArg::Membarrier, MemoryBarrier::Fence) => {
            Err("--barrier membarrier: this system has no process-wide barrier or refuses it; use \
             --barrier fence or auto"
                .into())
        }
        (BarrierArg::Fence, barrier) if barrier != MemoryBarrier::Fence => {
            Err(format!("--barrier fence: the process uses {barrier} already").into())
        }
        _ => Ok(barrier),
    }
}

/// Prints and writes the result of a run that hangs, and ends the process. The watchdog calls it:
/// other threads may never answer again.
fn hung(run: &Run, barrier: MemoryBarrier, began: Instant) {
    let time = began.elapsed();
    show::result(run, &[], time);
    let json = show::json(run, &[], barrier, &[], time);
    let written =
        Outputs::open(&run.args).and_then(|mut outputs| outputs.write(&run.args, &json, &svg(run)));
    if let Err(error) = written {
        eprintln!("rcutorture: {error}");
    }
    std::process::exit(1);
}
