//! Messages to tens of thousands of WebSocket connections that come and go, and the cost of a
//! version that is held too long.
//!
//! `cargo run --release --example broadcast -- --connections 20000 --seconds 10 --svg
//! broadcast.svg`
//!
//! One process has an axum server, its clients, and a sender.
//! - The connections are in an [`RcuMap`](async_rcu::RcuMap). A message goes to all of them under
//!   one guard, without a lock or a list of recipients. Connections that come or go meanwhile
//!   neither wait nor disturb the message.
//! - A connection that leaves is taken out at once. It is closed when no broadcast can be using it
//!   any more ([`Retired::wait`](async_rcu::Retired::wait)). So a client gets every message between
//!   its first and its last.
//! - Some connections read a board, row by row with the messages: they hold one version over many
//!   sends, while the board is replaced many times a second. When they are asked to release the
//!   version (`release_requested`), the *listening* connections go on with the current version. The
//!   *deaf* connections keep their version, and with it every later version.
//!
//! The two variants, deaf and listening, each run in a process of their own. With deaf readers the
//! memory and the number of living versions grow. With listening readers both stay flat. `--svg`
//! draws both variants. Connections are real sockets on the loopback as long as there are enough
//! descriptors. The other connections are pipes in memory.
//! The exit status is 1 if a client missed a message or got one twice, if it saw a row that does
//! not belong to its version, if a message was sent to a closed connection, or if the memory of the
//! listening variant was not bounded.

mod chart;
mod clients;
mod server;

use clap::{Parser, ValueEnum};
use clients::Crowd;
use serde::{Deserialize, Serialize};
use server::{Board, Hub};
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A broadcast to WebSocket connections that come and go, with readers that listen to
/// `release_requested` and with deaf ones.
#[derive(Clone, Parser)]
struct Args {
    /// The number of connections at a time.
    #[arg(
        long,
        default_value_t = 2_000,
        value_parser = clap::value_parser!(u64).range(10..=1_000_000),
    )]
    connections: u64,
    /// The percentage of connections that come and go.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    churn: u64,
    /// The number of connections that read the board, each holding a version over many sends.
    #[arg(long, default_value_t = 50)]
    readers: u64,
    /// The seconds for which messages are sent, for each variant.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The messages to all connections per second.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// The new versions of the board per second; each has 256 KiB.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    versions: u64,
    /// Draw the memory of both variants over time into this SVG file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Run only this variant, in this process, and print its results as JSON.
    #[arg(long)]
    variant: Option<Variant>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    Deaf,
    Listens,
}

/// The results of one run.
#[derive(Serialize, Deserialize)]
struct Seen {
    /// The numbers of connections over the loopback and over pipes in memory.
    sockets: u64,
    pipes: u64,
    broadcasts: u64,
    delivered: u64,
    joined: u64,
    left: u64,
    /// The number of connections that were closed for being too slow.
    lagged: u64,
    reloads: u64,
    /// The times from the broadcast until the client reads it, in microseconds: p50, p99, maximum.
    latency: [u64; 3],
    /// The median time of a walk over all connections, in microseconds.
    walk: u64,
    /// Samples: the time in milliseconds, the resident kilobytes (0 if the system does not report
    /// them), and the number of living versions.
    samples: Vec<(u64, u64, u64)>,
    most_alive: u64,
    violations: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.variant {
        Some(variant) => alone(&args, variant == Variant::Listens),
        None => both(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("broadcast: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs each variant in a process of its own, so that they do not share memory.
fn both(args: &Args) -> Result<bool, Box<dyn Error>> {
    println!(
        "{} connections, of which {}% come and go and {} read the board; {} messages and \
         {} versions a second, for {} s",
        args.connections, args.churn, args.readers, args.rate, args.versions, args.seconds
    );
    let mut right = true;
    let mut all = Vec::new();
    for name in ["deaf", "listens"] {
        let child = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .args(["--variant", name])
            .stderr(Stdio::inherit())
            .output()?;
        let seen: Seen = serde_json::from_slice(&child.stdout).map_err(|error| {
            format!("the {name} variant ended early ({}): {error}", child.status)
        })?;
        right &= report(name, &seen);
        all.push((name, seen));
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, chart::draw(&all))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("drawing: {}", path.display());
    }
    Ok(right)
}

fn report(name: &str, seen: &Seen) -> bool {
    let [p50, p99, max] = seen.latency.map(|us| us as f64 / 1000.0);
    println!("\n{name}");
    println!(
        "  connected    {} sockets, {} pipes; {} joined, {} left, {} too slow",
        seen.sockets, seen.pipes, seen.joined, seen.left, seen.lagged
    );
    println!(
        "  sent         {} broadcasts, {} deliveries; a walk over all connections takes {} us",
        seen.broadcasts, seen.delivered, seen.walk
    );
    println!("  to a client  p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
    println!(
        "  versions     {} alive at most; readers moved on {} times",
        seen.most_alive, seen.reloads
    );
    let kilobytes: Vec<_> = (0..=5)
        .filter_map(|at| seen.samples.get(at * seen.samples.len().saturating_sub(1) / 5))
        .collect();
    let mib: Vec<_> =
        kilobytes.iter().map(|(_, kilobytes, _)| format!("{}", kilobytes / 1024)).collect();
    println!("  memory       {} MiB", mib.join(", "));
    for violation in &seen.violations {
        println!("  VIOLATION    {violation}");
    }
    seen.violations.is_empty()
}

/// Runs one variant in this process.
fn alone(args: &Args, listens: bool) -> Result<bool, Box<dyn Error>> {
    let seen = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(args, listens))?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(seen.violations.is_empty())
}

async fn run(args: &Args, listens: bool) -> Result<Seen, Box<dyn Error>> {
    let hub = Hub::new(listens)?;
    let crowd = Crowd::join(args, &hub).await?;
    let (sockets, pipes) = (crowd.sockets, crowd.pipes);

    // The board changes, and the samples are taken, until the last message has been sent.
    let board = tokio::spawn(publish(Arc::clone(&hub), args.versions));
    let memory = tokio::spawn(watch(Arc::clone(&hub)));
    let mut walks = Vec::new();
    let mut tick = interval(Duration::from_secs(1) / u32::try_from(args.rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(args.seconds) {
        tick.tick().await;
        let walk = Instant::now();
        let slow = hub.broadcast();
        walks.push(walk.elapsed());
        slow.into_iter().for_each(|id| hub.close(id));
    }
    hub.stopping.store(true, Ordering::Relaxed);
    board.await?;
    let samples = memory.await?;

    // All connections are told to leave. Earlier messages arrive before that.
    hub.close_all();
    let told = timeout(Duration::from_secs(120), crowd.end(hub.sent()));
    let told = told.await.map_err(|_| "the clients did not end within two minutes")?;
    hub.drain().await;

    let mut violations = told.violations;
    let most_alive = hub.boards.most();
    let mut check = |holds: bool, what: String| {
        if !holds {
            violations.push(what);
        }
    };
    check(hub.boards.now() == 1, format!("{} versions of the board are left", hub.boards.now()));
    check(
        hub.connections.is_empty(),
        format!("{} connections are left in the registry", hub.connections.len()),
    );
    check(told.delivered > 0, "no message was delivered".into());
    let published = args.versions * args.seconds;
    check(
        !listens || published < 60 || most_alive < published / 2,
        format!("{most_alive} of {published} versions were alive, although the readers listen"),
    );
    walks.sort_unstable();
    Ok(Seen {
        sockets,
        pipes,
        broadcasts: hub.sent(),
        delivered: told.delivered,
        joined: hub.joined.load(Ordering::Relaxed),
        left: hub.left.load(Ordering::Relaxed),
        lagged: told.lagged,
        reloads: hub.reloads.load(Ordering::Relaxed),
        latency: told.latency,
        walk: walks[walks.len() / 2].as_micros() as u64,
        samples,
        most_alive,
        violations,
    })
}

async fn publish(hub: Arc<Hub>, rate: u64) {
    let mut tick = interval(Duration::from_secs(1) / rate as u32);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut version = 0;
    while !hub.stopping.load(Ordering::Relaxed) {
        tick.tick().await;
        version += 1;
        hub.board.store(Board::new(version, &hub.boards));
    }
}

/// Samples the memory and the number of living versions ten times a second.
async fn watch(hub: Arc<Hub>) -> Vec<(u64, u64, u64)> {
    let began = Instant::now();
    let mut tick = interval(Duration::from_millis(100));
    let mut samples = Vec::new();
    while !hub.stopping.load(Ordering::Relaxed) {
        tick.tick().await;
        samples.push((began.elapsed().as_millis() as u64, resident(), hub.boards.now()));
    }
    samples
}

/// Returns the resident kilobytes of this process, or 0 if the system does not report them.
fn resident() -> u64 {
    let kilobytes = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    kilobytes().unwrap_or(0)
}
