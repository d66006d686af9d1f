//! The benchmark: the time from a change until every node serves it, and until the end of the
//! cluster-wide grace period.
//!
//! With a URL each node is a process of its own. Without a URL each node is a task in this process,
//! with the store in it. All nodes are on one machine and read one clock, so their reports can be
//! compared. Each number of nodes is measured twice: without a slow reader, and with a reader in
//! one node that holds each version for a while.

use crate::clock;
use crate::files::Files;
use crate::model::{Change, Revision};
use crate::node::Node;
use crate::report::{Event, Report, Reporter};
use crate::store::memory::Memory;
use crate::store::{self, Store};
use crate::updater::Updater;
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const TTL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);
/// The time after which an expected report counts as lost.
const HANG_GUARD: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The options of the benchmark.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The number of nodes: a number, or FIRST..LAST.
    #[arg(long, default_value = "1..8", value_parser = range)]
    nodes: RangeInclusive<usize>,
    /// The store, as for the other commands; without it, the store in this process.
    #[arg(long)]
    store: Option<String>,
    /// The number of changes for each row; the medians are of these.
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(1..))]
    puts: u32,
    /// The time for which the slow reader holds each version, in milliseconds.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    hold_ms: u64,
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| match text.parse() {
        Ok(0) => Err("at least one node is needed".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("{text:?}: {e}")),
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("{first} is more than {last}"));
    }
    Ok(first..=last)
}

/// Nodes that run until this is dropped.
struct Nodes {
    reports: mpsc::UnboundedReceiver<Report>,
    /// Processes, which are killed when this is dropped.
    _processes: Vec<Child>,
    /// Tasks, which are aborted when this is dropped.
    tasks: JoinSet<()>,
}

impl Nodes {
    /// Returns the next report, or an error if none comes.
    async fn report(&mut self) -> Outcome<Report> {
        let report = tokio::time::timeout(HANG_GUARD, self.reports.recv()).await;
        match report
            .map_err(|_| "a node has not reported in time")?
            .ok_or("all nodes have ended")?
        {
            Report {
                who, event: event @ (Event::Violation { .. } | Event::Lost { .. }), ..
            } => Err(format!("{who}: {event}").into()),
            report => Ok(report),
        }
    }

    /// Waits until `count` nodes serve this revision. Returns the time when the last node began to.
    async fn all_serve(&mut self, count: usize, revision: Revision) -> Outcome<Duration> {
        let mut serving = BTreeMap::new();
        while serving.len() < count {
            let report = self.report().await?;
            if let Event::Serving { revision: serves } = report.event
                && serves >= revision
            {
                serving.entry(report.who).or_insert(report.at_ns);
            }
        }
        Ok(Duration::from_nanos(serving.into_values().max().unwrap_or(0)))
    }
}

fn name(n: usize) -> String {
    format!("node-{n}")
}

/// Returns the time for which node `n` holds each version.
fn hold(n: usize, slow: Option<u64>) -> u64 {
    if n == 0 { slow.unwrap_or(0) } else { 0 }
}

fn processes(
    count: usize,
    slow: Option<u64>,
    url: &str,
    prefix: &str,
    dir: &Path,
) -> Outcome<Nodes> {
    let (told, reports) = mpsc::unbounded_channel();
    let mut children = Vec::new();
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["node", "--json", "--store", url, "--prefix", prefix, "--name", &name(n)])
            .args([
                "--ttl-ms",
                &TTL.as_millis().to_string(),
                "--hold-ms",
                &hold(n, slow).to_string(),
            ])
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("a node has no output")?;
        children.push(child);
        let told = told.clone();
        tasks.spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(report) = serde_json::from_str(&line) {
                    let _ = told.send(report);
                }
            }
        });
    }
    Ok(Nodes { reports, _processes: children, tasks })
}

fn tasks(count: usize, slow: Option<u64>, store: &Memory, files: &Files) -> Outcome<Nodes> {
    let (told, reports) = mpsc::unbounded_channel();
    let reporter = Reporter::new("bench", move |report| {
        // The channel is closed after the measurement.
        let _ = told.send(report);
    });
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let store = Arc::new(store.client());
        let node = Node::new(reporter.named(name(n)), files.clone(), store.clone(), store, TTL)?;
        let hold = Duration::from_millis(hold(n, slow));
        tasks.spawn(async move {
            tokio::select! {
                () = node.run(std::future::pending()) => {}
                () = node.read_on(hold, Duration::from_millis(1)) => {}
            }
        });
    }
    Ok(Nodes { reports, _processes: Vec::new(), tasks })
}

/// Returns the time, in milliseconds, within which so many tenths of the changes were done.
fn within(tenths: usize, times: &mut [Duration]) -> f64 {
    times.sort();
    let place = (times.len() * tenths / 10).min(times.len() - 1);
    times[place].as_secs_f64() * 1e3
}

async fn row(args: &Args, count: usize, slow: Option<u64>) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let files = Files::open(dir.path())?;
    // Each row has a table of its own, without the nodes of the row before.
    let prefix = format!("bench_{}_{count}_{}", std::process::id(), slow.unwrap_or(0));
    let memory = Memory::new();
    let (store, mut nodes): (Arc<dyn Store>, _) = match &args.store {
        Some(url) => (
            store::open(url, &prefix, PATIENCE).await?,
            processes(count, slow, url, &prefix, dir.path())?,
        ),
        None => (Arc::new(memory.client()), tasks(count, slow, &memory, &files)?),
    };
    nodes.all_serve(count, 0).await?;
    let quiet = Reporter::new("updater", |report| {
        if let Event::Trouble { what } = report.event {
            eprintln!("{}: {what}", report.who);
        }
    });
    let mut updater = Updater::take_office(store, files, quiet, TTL).await?;
    let (mut committed, mut served, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    // The first change warms up connections and caches.
    for n in 0..=args.puts {
        let change = Change { key: format!("key-{}", n % 100), value: Some(n.to_string()) };
        // The changes come at all moments of the slow reader's time, in steps of the golden
        // section, and not always just after it has left.
        let step = (f64::from(n) * 0.618_034).fract();
        tokio::time::sleep(Duration::from_millis(args.hold_ms).mul_f64(step)).await;
        let start = clock::now();
        let revision = updater.put(vec![change]).await?;
        let put = clock::now() - start;
        let (quiet, all) = tokio::join!(
            async {
                updater.grace_period(revision).await?;
                Ok::<_, store::Error>(clock::now() - start)
            },
            nodes.all_serve(count, revision),
        );
        if n > 0 {
            committed.push(put);
            served.push(all?.saturating_sub(start));
            ended.push(quiet?);
        }
    }
    updater.finish().await?;
    nodes.tasks.abort_all();
    println!(
        "| {count} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
        slow.map_or("-".into(), |ms| format!("{ms} ms")),
        within(5, &mut committed),
        within(5, &mut served),
        within(5, &mut ended),
        within(9, &mut ended),
    );
    Ok(())
}

/// Measures, and prints a table.
pub async fn run(args: Args) -> Outcome<()> {
    println!("Milliseconds since the updater got the change; medians of {} changes.\n", args.puts);
    println!(
        "| nodes | slow reader in one | committed | served by all | grace period | 9 of 10 within |"
    );
    println!("|---|---|---|---|---|---|");
    for slow in [None, Some(args.hold_ms)] {
        for count in args.nodes.clone() {
            row(&args, count, slow).await?;
        }
    }
    Ok(())
}
