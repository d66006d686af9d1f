//! The program. `cluster --help`.

use clap::{Args, Parser, Subcommand};
use cluster::files::Files;
use cluster::model::{Change, Revision};
use cluster::node::Node;
use cluster::report::{Event, Reporter};
use cluster::store::faulty::{Faults, Faulty};
use cluster::store::{self, Store, TableSource};
use cluster::updater::{Failed, Updater};
use cluster::{bench, demo, http};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::net::TcpListener;

/// A grace period across processes: no process still uses revision N.
#[derive(Parser)]
#[command(name = "cluster")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show all parts in this process, without a server (the default)
    Demo {
        /// The number of nodes
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// Run a node, which holds the table and answers over HTTP until it is interrupted
    Node(NodeArgs),
    /// Change the table once, wait until no process uses the version before, and delete its file
    Put {
        #[command(flatten)]
        at: At,
        /// Do not wait: the next updater deletes the file
        #[arg(long)]
        no_wait: bool,
        /// KEY=VALUE to set, KEY to remove
        #[arg(required = true, value_parser = change)]
        changes: Vec<Change>,
    },
    /// Stay in office, and make a change of each line on standard input: KEY=VALUE to set, KEY to
    /// remove
    Updater {
        #[command(flatten)]
        at: At,
        /// The name of the updater
        #[arg(long, default_value = "updater")]
        name: String,
    },
    /// Drop the store's record of changes up to a revision; a node that needs them has to list the
    /// table again
    Compact {
        #[command(flatten)]
        at: At,
        /// The last revision to drop; without it, the newest one
        #[arg(long)]
        through: Option<Revision>,
    },
    /// Measure the time from a change until all nodes serve it, and until the end of the grace
    /// period
    Bench(bench::Args),
}

/// The store and the folder of the files.
#[derive(Args)]
struct At {
    /// etcd://HOST:PORT[,HOST:PORT..], or postgres://USER@HOST:PORT/DATABASE
    #[arg(long)]
    store: String,
    /// The name of the table in this store: a to z, 0 to 9, _
    #[arg(long, default_value = "cluster")]
    prefix: String,
    /// The folder with a file for each version
    #[arg(long)]
    dir: PathBuf,
    /// The time of a lease in milliseconds; etcd rounds up to seconds, and has a minimum of its own
    #[arg(
        long,
        default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(200..=600_000),
    )]
    ttl_ms: u64,
    /// Print the events as lines of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct NodeArgs {
    #[command(flatten)]
    at: At,
    /// The name of the node
    #[arg(long)]
    name: String,
    /// The address of the HTTP server; port 0 takes a free port, which is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The number of readers that always hold a version, to notice files that are deleted too early
    #[arg(long, default_value_t = 1)]
    readers: usize,
    /// The time for which such a reader holds a version, in milliseconds
    #[arg(long, default_value_t = 0)]
    hold_ms: u64,
    /// Disturb the store's messages, for tests: twice=2,late=3,never=5 (one in so many)
    #[arg(long)]
    faults: Option<Faults>,
}

fn change(text: &str) -> Result<Change, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() {
        return Err(format!("{text:?}: use KEY=VALUE to set, KEY to remove"));
    }
    Ok(Change { key: key.to_owned(), value })
}

impl At {
    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    async fn open(&self) -> Result<(Arc<dyn Store>, Files), Box<dyn Error>> {
        // An answer after a third of the lease is too late to keep the lease.
        let patience = (self.ttl() / 3).max(Duration::from_millis(500));
        let store = store::open(&self.store, &self.prefix, patience).await?;
        let files =
            Files::open(&self.dir).map_err(|e| format!("--dir {}: {e}", self.dir.display()))?;
        Ok((store, files))
    }
}

/// Completes when the process is asked to end.
async fn interrupted() {
    let ctrl_c = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = ctrl_c => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = ctrl_c.await;
}

async fn node(args: NodeArgs) -> Result<(), Box<dyn Error>> {
    let (store, files) = args.at.open().await?;
    let report = Reporter::stdout(&args.name, args.at.json);
    let source: Arc<dyn TableSource> = match args.faults {
        Some(faults) => Arc::new(Faulty::new(Arc::clone(&store), faults)),
        None => store.clone(),
    };
    let node = Node::new(report.clone(), files, source, store, args.at.ttl())?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|e| format!("--listen {}: {e}", args.listen))?;
    report.tell(Event::Listening { address: listener.local_addr()?.to_string() });
    tokio::spawn(http::serve(listener, node.clone()));
    for _ in 0..args.readers {
        let node = node.clone();
        let hold = Duration::from_millis(args.hold_ms);
        tokio::spawn(async move { node.read_on(hold, Duration::from_millis(1)).await });
    }
    node.run(interrupted()).await;
    if node.status().violations > 0 {
        return Err("a version's file was missing under a lease".into());
    }
    Ok(())
}

async fn put(at: At, no_wait: bool, changes: Vec<Change>) -> Result<(), Box<dyn Error>> {
    let (store, files) = at.open().await?;
    let report = Reporter::stdout("put", at.json);
    let mut updater = Updater::take_office(store, files, report, at.ttl()).await?;
    updater.put(changes).await?;
    if no_wait {
        updater.leave().await;
    } else {
        updater.finish().await?;
    }
    Ok(())
}

/// The reason why an updater makes no more changes.
enum Ends {
    /// The input has ended.
    Lines,
    /// The updater is not in office any more.
    Office,
}

async fn make_changes(
    updater: &mut Updater,
    lines: &mut Lines<BufReader<Stdin>>,
    report: &Reporter,
) -> Result<Ends, Box<dyn Error>> {
    updater.take_over().await?;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = updater.deposed() => return Ok(Ends::Office),
        };
        let Some(line) = line else {
            return Ok(Ends::Lines);
        };
        match change(&line) {
            Ok(change) => match updater.put(vec![change]).await {
                Ok(_) => {}
                Err(Failed::Store(store::Error::Deposed)) => {
                    report.trouble(format_args!("{line:?} may not have been done: give it again"));
                    return Ok(Ends::Office);
                }
                Err(e) => return Err(e.into()),
            },
            Err(e) => report.trouble(e),
        }
    }
}

async fn updater(at: At, name: String) -> Result<(), Box<dyn Error>> {
    let (store, files) = at.open().await?;
    let report = Reporter::stdout(name, at.json);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut stop = std::pin::pin!(interrupted());
    loop {
        let office = Updater::enter_office(store.clone(), files.clone(), report.clone(), at.ttl());
        let mut updater = tokio::select! {
            updater = office => updater?,
            () = &mut stop => return Ok(()),
        };
        let ends = tokio::select! {
            ends = make_changes(&mut updater, &mut lines, &report) => ends?,
            () = &mut stop => {
                updater.leave().await;
                return Ok(());
            }
        };
        match ends {
            Ends::Office => {}
            Ends::Lines => tokio::select! {
                done = updater.finish() => return Ok(done?),
                // The term ends by itself, and the successor finishes the work.
                () = &mut stop => return Ok(()),
            },
        }
    }
}

async fn compact(at: At, through: Option<Revision>) -> Result<(), Box<dyn Error>> {
    let (store, _) = at.open().await?;
    let through = match through {
        Some(through) => through,
        None => store.snapshot().await?.0,
    };
    Ok(store.compact(through).await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command.unwrap_or(Command::Demo { nodes: 3 }) {
        Command::Demo { nodes } => demo::run(nodes).await,
        Command::Node(args) => node(args).await,
        Command::Put { at, no_wait, changes } => put(at, no_wait, changes).await,
        Command::Updater { at, name } => updater(at, name).await,
        Command::Compact { at, through } => compact(at, through).await,
        Command::Bench(args) => bench::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cluster: {e}");
            ExitCode::FAILURE
        }
    }
}
