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
    /// All in this process, without a server; what is done where no command is given.
    Demo {
        /// How many nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// A process that holds the table and answers from it over HTTP, until it is interrupted.
    Node(NodeArgs),
    /// Changes the table once, waits until no process uses the version before, and deletes that one's file.
    Put {
        #[command(flatten)]
        at: At,
        /// Does not wait: what is left is done by the next updater.
        #[arg(long)]
        no_wait: bool,
        /// KEY=VALUE to set, KEY to remove.
        #[arg(required = true, value_parser = change)]
        changes: Vec<Change>,
    },
    /// Stays in office and makes a change of each line that it is given: KEY=VALUE to set, KEY to remove.
    Updater {
        #[command(flatten)]
        at: At,
        /// Told what it is called.
        #[arg(long, default_value = "updater")]
        name: String,
    },
    /// Drops the store's record of changes up to a revision: who needs them has to list the table again.
    Compact {
        #[command(flatten)]
        at: At,
        /// The last one that is dropped; without it, the newest there is.
        #[arg(long)]
        through: Option<Revision>,
    },
    /// Measures: from a change to all nodes serving it, and to the end of the grace period.
    Bench(bench::Args),
}

/// Which store, and where the files are.
#[derive(Args)]
struct At {
    /// etcd://HOST:PORT[,HOST:PORT..], or postgres://USER@HOST:PORT/DATABASE.
    #[arg(long)]
    store: String,
    /// Which of the tables in this store: a to z, 0 to 9, _.
    #[arg(long, default_value = "cluster")]
    prefix: String,
    /// The folder with a file for each version.
    #[arg(long)]
    dir: PathBuf,
    /// How long a lease lasts, in milliseconds; etcd rounds up to seconds, and to its own least.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(200..=600_000))]
    ttl_ms: u64,
    /// Tells what happens as lines of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct NodeArgs {
    #[command(flatten)]
    at: At,
    /// What it is called.
    #[arg(long)]
    name: String,
    /// Where it answers; port 0: any, which is told.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Readers within the process that never stop, to miss files that are deleted too early.
    #[arg(long, default_value_t = 1)]
    readers: usize,
    /// How long one of them holds a version, in milliseconds.
    #[arg(long, default_value_t = 0)]
    hold_ms: u64,
    /// Disturbs what the store sends, for tests: twice=2,late=3,never=5 (one in so many).
    #[arg(long)]
    faults: Option<Faults>,
}

fn change(text: &str) -> Result<Change, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() {
        return Err(format!("{text:?}: KEY=VALUE to set, KEY to remove"));
    }
    Ok(Change {
        key: key.to_owned(),
        value,
    })
}

impl At {
    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    async fn open(&self) -> Result<(Arc<dyn Store>, Files), Box<dyn Error>> {
        // An answer that comes after a third of the lease is of no use to who has to keep one.
        let patience = (self.ttl() / 3).max(Duration::from_millis(500));
        let store = store::open(&self.store, &self.prefix, patience).await?;
        let files =
            Files::open(&self.dir).map_err(|e| format!("--dir {}: {e}", self.dir.display()))?;
        Ok((store, files))
    }
}

/// Ends when the process is asked to end.
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
    report.tell(Event::Listening {
        address: listener.local_addr()?.to_string(),
    });
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

/// Why an updater makes no more changes.
enum Ends {
    /// There are no more lines.
    Lines,
    /// It is not in office any more.
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
                    report.trouble(format_args!(
                        "{line:?} may not have been done: give it again"
                    ));
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
                // The office ends by itself, and the successor finishes.
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
        Command::Put {
            at,
            no_wait,
            changes,
        } => put(at, no_wait, changes).await,
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
