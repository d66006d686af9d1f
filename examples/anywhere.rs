//! One library on every kind of executor: tokio in both flavours, smol, a `LocalSet`, a loop that
//! polls by hand, plain threads.
//!
//! `cargo run --release --example anywhere`
//!
//! A library that needs RCU makes a domain of its own. The users of the library need not know this
//! domain, and need not run a certain runtime. `anywhere/lookup.rs` is such a library. It has a
//! table of names, which is replaced while it is read. Callbacks close the old versions of the
//! table. The function `day` does all that such a library does: it reads and replaces at once,
//! holds a version across awaits, waits for grace periods, calls, retires, drains, shuts down, and
//! goes on after the shutdown. `day` is one async function for all hosts. The program that opens
//! the library chooses only the executor of the callbacks. Two rows need no runtime: `day` on a
//! thread that blocks on it, and the same day in blocking calls on plain threads.
//!
//! All rows of the output are the same. At the end all seven libraries are still open, with their
//! threads, and none of these threads wakes up. The example counts wake-ups if the system reports
//! them (Linux: voluntary context switches of each thread). The exit status is 1 if two rows differ
//! or a thread of a domain woke up. `--fault` plants a fault, to show that the example notices it.

#[path = "anywhere/idle.rs"]
mod idle;
#[path = "anywhere/lookup.rs"]
mod lookup;

use async_rcu::{
    Batch,
    error::BuildError,
    executor::{Batches, ChannelExecutor},
};
use clap::{Parser, ValueEnum};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lookup::{Lookup, Summary, day, day_on_threads};
use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::task::LocalSet;

/// One library on every kind of executor: the same results everywhere, and no wake-up without work.
#[derive(Parser)]
struct Args {
    /// The seconds for which the idle process is watched
    #[arg(
        long,
        default_value_t = 3,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=3600),
    )]
    seconds: u64,
    /// Plant a fault, which the example must notice
    #[arg(long)]
    fault: Option<Fault>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Fault {
    /// One of the runs gives the library another table
    Differ,
    /// One of the domains gets work while all should be idle
    Busy,
}

/// A host on which the library spent a day. All hosts stay open to the end.
struct Host {
    name: &'static str,
    summary: Summary,
    took: Duration,
    lookup: Arc<Lookup>,
    /// The runtime, or another value whose drop would end a thread.
    _kept: Box<dyn Any>,
}

/// The library, which is still open, the summary of its day, and a part of its host that must be
/// kept.
type Spent = Result<(Arc<Lookup>, Summary, Box<dyn Any>), Box<dyn Error>>;

/// Opens the library with a table of `rows` rows, and spends a day with it.
type Spend = fn(rows: u64) -> Spent;

const HOSTS: [(&str, Spend); 7] = [
    ("tokio, multi_thread", |rows| {
        on_tokio(runtime::Builder::new_multi_thread().worker_threads(2), rows)
    }),
    ("tokio, current_thread", |rows| on_tokio(&mut runtime::Builder::new_current_thread(), rows)),
    ("smol", on_smol),
    ("tokio, in a LocalSet", in_a_local_set),
    ("polled by hand", by_hand),
    ("a thread that blocks on it", on_a_thread),
    ("plain threads, blocking calls", on_threads),
];

fn on_tokio(builder: &mut runtime::Builder, rows: u64) -> Spent {
    let runtime = builder.enable_all().build()?;
    let handle = runtime.handle().clone();
    let lookup = open(rows, |builder| builder.executor(handle))?;
    let shared = Arc::clone(&lookup);
    // The day is a task, so it runs on a worker if the runtime has workers.
    let task = runtime.spawn(async move { day(&shared).await });
    let summary = runtime.block_on(task)?;
    Ok((lookup, summary, Box::new(runtime)))
}

fn on_smol(rows: u64) -> Spent {
    // A batch is a future, which any executor can run.
    let lookup =
        open(rows, |builder| builder.executor(|batch: Batch| smol::spawn(batch).detach()))?;
    let shared = Arc::clone(&lookup);
    let summary = smol::block_on(smol::spawn(async move { day(&shared).await }));
    Ok((lookup, summary, Box::new(())))
}

/// Runs everything on one thread, callbacks too. A program whose values cannot leave their thread
/// does the same.
fn in_a_local_set(rows: u64) -> Spent {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let (executor, mut batches) = ChannelExecutor::new();
    let lookup = open(rows, |builder| builder.executor(executor))?;
    let shared = Arc::clone(&lookup);
    let summary = local.block_on(&runtime, async move {
        tokio::task::spawn_local(async move {
            while let Some(batch) = batches.next().await {
                tokio::task::spawn_local(batch);
            }
        });
        tokio::task::spawn_local(async move { day(&shared).await }).await
    })?;
    Ok((lookup, summary, Box::new((local, runtime))))
}

/// Runs a loop without a runtime, like the loop of a window system, a game or an emulator.
fn by_hand(rows: u64) -> Spent {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn turn(batches: &mut Batches, running: &mut FuturesUnordered<Batch>, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(batch)) = batches.poll_next_unpin(cx) {
            running.push(batch);
        }
        while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
    }

    let (executor, mut batches) = ChannelExecutor::new();
    let lookup = open(rows, |builder| builder.executor(executor))?;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut running = FuturesUnordered::new();
    let summary = {
        let mut day = pin!(day(&lookup));
        loop {
            if let Poll::Ready(summary) = day.as_mut().poll(&mut cx) {
                break summary;
            }
            turn(&mut batches, &mut running, &mut cx);
            // A wake-up since the polls above ends this wait at once.
            thread::park();
        }
    };
    Ok((lookup, summary, Box::new(batches)))
}

fn on_a_thread(rows: u64) -> Spent {
    let lookup = open(rows, |builder| builder)?;
    let summary = futures::executor::block_on(day(&lookup));
    Ok((lookup, summary, Box::new(())))
}

fn on_threads(rows: u64) -> Spent {
    let lookup = open(rows, |builder| builder)?;
    let summary = day_on_threads(&lookup);
    Ok((lookup, summary, Box::new(())))
}

fn open(
    rows: u64,
    set: impl FnOnce(async_rcu::Builder) -> async_rcu::Builder,
) -> Result<Arc<Lookup>, BuildError> {
    Lookup::open(rows, set).map(Arc::new)
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("anywhere: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    println!("{:<31}{}  {:>7}", "", Summary::heading(), "ms");
    let mut hosts = Vec::new();
    for (number, (name, spend)) in HOSTS.into_iter().enumerate() {
        let differs = args.fault == Some(Fault::Differ) && number == 2;
        let begun = Instant::now();
        let (lookup, summary, kept) =
            spend(lookup::ROWS + u64::from(differs)).map_err(|error| format!("{name}: {error}"))?;
        let host = Host { name, summary, took: begun.elapsed(), lookup, _kept: kept };
        let took = host.took.as_secs_f64() * 1e3;
        println!("{name:<31}{}  {took:>7.1}", host.summary);
        hosts.push(host);
    }
    let mut well = true;
    for host in &hosts {
        if host.summary != hosts[0].summary {
            eprintln!("WRONG: {} and {} gave different results", host.name, hosts[0].name);
            well = false;
        }
        if let Some(wrong) = host.summary.wrong() {
            eprintln!("WRONG: {}: {wrong}", host.name);
            well = false;
        }
    }
    if well {
        println!("\nthe same results everywhere");
    }

    // Everything is open, and no domain has work.
    let busy = (args.fault == Some(Fault::Busy)).then(|| Arc::clone(&hosts[0].lookup));
    let time = Duration::from_secs(args.seconds);
    let all_asleep = idle::watch(lookup::DOMAIN, hosts.len(), time, || {
        busy.as_ref().inspect(|lookup| lookup.replace());
    });
    for host in &hosts {
        host.lookup.close_blocking();
    }
    Ok(well && all_asleep)
}
