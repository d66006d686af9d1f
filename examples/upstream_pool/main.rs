//! An HTTP reverse proxy whose backends come and go under load, while no request fails.
//!
//! ```console
//! $ cargo run --release --example upstream_pool
//! $ cargo run --release --example upstream_pool -- --store all --json figures.json
//! $ cargo run --release --example upstream_pool -- --fault early-close     # must fail
//! $ cargo run --release --example upstream_pool -- --clients 0 \
//!       --listen 127.0.0.1:8080 --changes 100 --seconds 600
//! $ curl --include http://127.0.0.1:8080/page                              # in another terminal
//! ```
//!
//! One process has the backends on ports of their own, the proxy, and the clients, all on the
//! loopback. A removed backend is closed: its listener is closed and its connections end. A request
//! that has chosen the backend and reaches it later gets a 502. So a backend must not be closed
//! before the last request that saw it has ended, and should be closed soon after that.
//!
//! The parts:
//!
//! - [`store::rcu`]: the pool. A request holds a section from the choice of its backend to the last
//!   byte of the answer ([`proxy`]). `call_async` closes a removed backend after all sections that
//!   saw it. `drain` waits for all closes.
//! - [`store::arc_swap`], [`store::rw_lock`]: the same pool without grace periods (`--store`). Each
//!   request takes a reference to its backend. [`store::counted`] has the additional code for that:
//!   a `Drop` that spawns a task, and a count to wait for.
//! - [`run`]: the order of a run, and the shutdown within its deadline.
//!
//! The figures: without changes (`--changes 0`) requests are equally fast with each store. A store
//! costs nanoseconds, and a request tens of microseconds. The stores differ in the time from the
//! removal to the close. With RCU, a close waits for all requests that began before the removal, at
//! all backends: a section belongs to the domain. So a close waits for the longest conversation
//! (some 20 ms on a quiet machine), and for a client that reads its answer slowly. With references
//! a close waits for the requests at its backend only. While a grace period waits for sections,
//! some of the sections that end wake the grace-period thread, which scans again. With many changes
//! and long conversations there is always a grace period that waits. Then the median page is slower
//! than with references. Whether the wake-ups are the cause is not established.
//!
//! With `--fault early-close` a backend is closed when it is removed. Then the requests fail that
//! had chosen the backend and not reached it yet, although connections end gracefully.
//!
//! The exit status is 1 if a request failed, if a backend was closed while a request used it or was
//! never closed, if fewer changes were made than planned, or if the shutdown took longer than its
//! deadline. Ctrl-C ends the run early, with the same shutdown.

use crate::report::Outcome;
use crate::run::{Plan, run};
use crate::store::Store;
use crate::store::arc_swap::ArcSwapPool;
use crate::store::rcu::RcuPool;
use crate::store::rw_lock::RwLockPool;
use clap::{Parser, ValueEnum, value_parser};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

mod backend;
mod headers;
mod load;
mod proxy;
mod report;
mod run;
mod store;
#[cfg(test)]
mod tests;

/// A reverse proxy whose backends come and go under load. A run must end with no failed request
#[derive(Parser)]
struct Args {
    /// The store of the backends; `all` runs one store after another
    #[arg(long, value_enum, default_value = "rcu")]
    store: Which,
    /// The number of clients that ask for pages; with 0 the proxy serves outside clients until
    /// Ctrl-C
    #[arg(
        long,
        default_value_t = 32,
        value_name = "N",
        value_parser = value_parser!(u16).range(..=10_000),
    )]
    clients: u16,
    /// The number of clients that hold long conversations
    #[arg(
        long,
        default_value_t = 4,
        value_name = "N",
        value_parser = value_parser!(u16).range(..=10_000),
    )]
    conversations: u16,
    /// The number of backends at a time
    #[arg(
        long,
        default_value_t = 4,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..=1_000),
    )]
    backends: u16,
    /// The number of backends that are added or removed, spread evenly over the time
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    changes: u32,
    /// The seconds of the run, which takes longer if the changes do
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        value_parser = value_parser!(u32).range(1..=86_400),
    )]
    seconds: u32,
    /// The seconds in which the shutdown must end
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        value_parser = value_parser!(u32).range(1..=3_600),
    )]
    deadline: u32,
    /// The address of the proxy; port 0 takes a free port
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Write the figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Plant a fault, which the run must notice
    #[arg(long)]
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Which {
    Rcu,
    ArcSwap,
    #[value(name = "rwlock")]
    RwLock,
    All,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Fault {
    /// Close backends when they are removed, even if a request uses them
    EarlyClose,
}

fn main() -> ExitCode {
    match all(&Args::parse()) {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            wrong.iter().for_each(|what| eprintln!("WRONG: {what}"));
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("upstream_pool: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one kind of store.
type Run = fn(&Plan) -> Result<Outcome, String>;

/// Runs the chosen stores. Returns what went wrong.
fn all(args: &Args) -> Result<Vec<String>, String> {
    if args.clients == 0 && args.store == Which::All {
        return Err("--clients 0 serves one store until Ctrl-C: choose it by --store".into());
    }
    // The file is created before the runs, so that a wrong path costs no time.
    let json = match &args.json {
        Some(path) => {
            let file = File::create(path);
            let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Some((file, path.display()))
        }
        None => None,
    };
    let plan = Plan {
        listen: args.listen,
        clients: args.clients.into(),
        // Only outside clients use the proxy.
        conversations: match args.clients {
            0 => 0,
            _ => args.conversations.into(),
        },
        backends: args.backends.into(),
        changes: args.changes,
        time: Duration::from_secs(args.seconds.into()),
        deadline: Duration::from_secs(args.deadline.into()),
        early_close: args.fault == Some(Fault::EarlyClose),
    };
    let runs: &[Run] = match args.store {
        Which::Rcu => &[one::<RcuPool>],
        Which::ArcSwap => &[one::<ArcSwapPool>],
        Which::RwLock => &[one::<RwLockPool>],
        Which::All => &[one::<RcuPool>, one::<ArcSwapPool>, one::<RwLockPool>],
    };
    let mut outcomes = Vec::new();
    for run in runs {
        outcomes.push(run(&plan)?);
        if outcomes.last().is_some_and(|outcome| outcome.interrupted) {
            break;
        }
    }
    report::print(&outcomes);
    if let Some((mut file, path)) = json {
        serde_json::to_string_pretty(&outcomes)
            .map_err(|error| error.to_string())
            .and_then(|text| writeln!(file, "{text}").map_err(|error| error.to_string()))
            .map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(outcomes.iter().flat_map(Outcome::wrong).collect())
}

/// Runs a store on a runtime of its own, so that nothing of it is left for the next store.
fn one<S: Store>(plan: &Plan) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(run::<S>(plan));
    // Tasks that are left after a failed shutdown are dropped.
    runtime.shutdown_background();
    outcome
}
