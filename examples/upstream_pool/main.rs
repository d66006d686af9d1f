//! An HTTP reverse proxy whose backends come and go under load, and no request fails.
//!
//! ```console
//! $ cargo run --release --example upstream_pool
//! $ cargo run --release --example upstream_pool -- --store all --json figures.json
//! $ cargo run --release --example upstream_pool -- --fault early-close          # fails, and should
//! $ cargo run --release --example upstream_pool -- --clients 0 --listen 127.0.0.1:8080 --changes 100 --seconds 600
//! $ curl --include http://127.0.0.1:8080/page                                   # the one above, meanwhile
//! ```
//!
//! All is in this process: backends on ports of their own, the proxy before them, and the clients, over loopback. A backend that is
//! removed is closed: its listener goes, its connections end. A request that had chosen it and comes too late gets a 502; so it
//! must be closed after the last request that saw it, and then it should be closed soon.
//!
//! What to look at:
//!
//! - [`store::rcu`]: the pool. A request holds a section from the choice of its backend to the last byte of the answer
//!   ([`proxy`]); `call_async` closes a removed backend after all sections that saw it; `drain` waits for all closings.
//! - [`store::arc_swap`], [`store::rw_lock`]: the same pool without grace periods (`--store`). A reference that each request takes
//!   to its backend does it, and what [`store::counted`] needs beside: a `Drop` that spawns, and a count to wait for.
//! - [`run`]: the order of things, and the shutdown within its deadline.
//! - The figures. Without changes (`--changes 0`) requests are as fast with each: what a store costs is nanoseconds, in a request of
//!   tens of microseconds. They differ in the time from removal to closing. A section is the domain's: with RCU closing waits
//!   for all requests that began before the removal, the longest conversation (some 20 ms on a quiet machine) included, at
//!   whatever backend; with references it waits for those at this backend alone. So it is with a client that reads
//!   its answer slowly. And while a grace period waits for somebody, the domain's thread is woken to look again
//!   by some of those who leave: with many changes and long conversations it always waits for somebody. The
//!   median page is slower then than with references; whether for these wake-ups is not established.
//! - `--fault early-close`: a backend is closed when it is removed. Requests fail, though connections end gracefully:
//!   those that had chosen it and not yet reached it.
//!
//! The exit status is 1 where a request failed, a backend was closed with a request at it or not at all, fewer changes were made
//! than were wanted, or the shutdown took longer than its deadline. Ctrl-C ends it early, by the same shutdown.

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

/// A reverse proxy whose backends come and go under load: must end with no failed request
#[derive(Parser)]
struct Args {
    /// Where the proxy finds its backends; `all` runs one after another
    #[arg(long, value_enum, default_value = "rcu")]
    store: Which,
    /// Clients that ask for pages; with 0 it serves whoever asks, until Ctrl-C
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = value_parser!(u16).range(..=10_000))]
    clients: u16,
    /// Clients that hold long conversations, beside
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = value_parser!(u16).range(..=10_000))]
    conversations: u16,
    /// Backends at a time
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = value_parser!(u16).range(1..=1_000))]
    backends: u16,
    /// Backends that are added or removed, in turn, spread over the time
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    changes: u32,
    /// How long it runs; longer where the changes take longer
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Seconds that the shutdown may take
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value_parser!(u32).range(1..=3_600))]
    deadline: u32,
    /// Where the proxy listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Writes the figures there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Does something wrong on purpose, which has to be noticed
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
    /// Backends are closed when they are removed, whoever is at them
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

/// A run with one kind of store.
type Run = fn(&Plan) -> Result<Outcome, String>;

/// Runs what is wanted, and gives what went wrong.
fn all(args: &Args) -> Result<Vec<String>, String> {
    if args.clients == 0 && args.store == Which::All {
        return Err("--clients 0 serves until Ctrl-C: choose one --store".into());
    }
    // Before the time is spent.
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
        // Nobody but those who ask from outside.
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

/// On a runtime of its own: nothing is left of it for the next one.
fn one<S: Store>(plan: &Plan) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(run::<S>(plan));
    // What is still there after a shutdown that failed is given up.
    runtime.shutdown_background();
    outcome
}
