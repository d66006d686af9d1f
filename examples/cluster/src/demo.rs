//! The demonstration in one process, with the store in it. Nodes are tasks, each with a domain of
//! its own.
//!
//! It shows a change, a slow reader, a node that dies, a node that is cut off and comes back, and
//! an updater that dies and has a successor. It fails if a version's file was missing under a
//! lease, or if a file is left over.

use crate::files::Files;
use crate::model::Change;
use crate::node::{Answer, Node, Refusal};
use crate::report::{Event, Report, Reporter};
use crate::store::memory::Memory;
use crate::updater::Updater;
use futures::FutureExt;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// The time of a lease: long enough for a slow machine, short enough for a spectator.
const TTL: Duration = Duration::from_millis(1500);

struct Running {
    node: Node,
    store: Arc<Memory>,
    task: JoinHandle<()>,
}

fn start(
    name: &str,
    store: &Memory,
    files: &Files,
    report: &Reporter,
) -> Result<Running, Box<dyn Error>> {
    let store = Arc::new(store.client());
    let node = Node::new(report.named(name), files.clone(), store.clone(), store.clone(), TTL)?;
    let running = node.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = running.run(std::future::pending()) => {}
            // A reader that is always in a version notices a file that is deleted too early.
            () = running.read_on(Duration::ZERO, Duration::from_millis(1)) => {}
        }
    });
    Ok(Running { node, store, task })
}

/// The reports, to be awaited.
struct Ears(broadcast::Receiver<Report>);

impl Ears {
    async fn hear(
        &mut self,
        mut wanted: impl FnMut(&Report) -> bool,
    ) -> Result<Report, Box<dyn Error>> {
        loop {
            let report = self.0.recv().await?;
            if wanted(&report) {
                return Ok(report);
            }
        }
    }
}

/// Starts a slow reader, which has begun when this returns.
fn slow_reader(node: &Node, time: Duration) -> JoinHandle<Result<Answer<()>, Refusal>> {
    let node = node.clone();
    let mut slow = Box::pin(async move { node.hold(time).await });
    if let Some(result) = (&mut slow).now_or_never() {
        return tokio::spawn(std::future::ready(result));
    }
    tokio::spawn(slow)
}

fn say(what: &str) {
    println!("\n-- {what}");
}

fn change(key: &str, value: &str) -> Vec<Change> {
    vec![Change { key: key.into(), value: Some(value.into()) }]
}

/// Runs the demonstration.
pub async fn run(nodes: usize) -> Result<(), Box<dyn Error>> {
    if nodes < 2 {
        return Err("--nodes: the demonstration needs at least two nodes, since one dies".into());
    }
    let dir = tempfile::tempdir()?;
    let files = Files::open(dir.path())?;
    let (told, _) = broadcast::channel(100_000);
    let printer = Reporter::stdout("", false);
    let report = {
        let told = told.clone();
        Reporter::new("demo", move |report: Report| {
            printer.named(report.who.clone()).tell(report.event.clone());
            // An error means that no task waits for a report now.
            let _ = told.send(report);
        })
    };
    let ears = || Ears(told.subscribe());
    let store = Memory::new();

    say("the nodes start");
    let mut hear = ears();
    let mut running = Vec::new();
    for n in 0..nodes {
        running.push(start(&format!("node-{n}"), &store, &files, &report)?);
    }
    for _ in 0..nodes {
        hear.hear(|r| matches!(r.event, Event::Serving { .. })).await?;
    }

    say("an updater takes office, makes the first version and then the next, which replaces its \
         file");
    let mut updater = Updater::take_office(
        Arc::new(store.client()),
        files.clone(),
        report.named("updater-0"),
        TTL,
    )
    .await?;
    updater.put(change("colour", "red")).await?;
    let mut hear = ears();
    updater.put(change("colour", "green")).await?;
    hear.hear(|r| matches!(r.event, Event::Deleted { .. })).await?;

    say("a slow reader in node-0: all serve the next version at once, but the old file waits for \
         it");
    let slow = slow_reader(&running[0].node, Duration::from_millis(700));
    let mut hear = ears();
    updater.put(change("colour", "blue")).await?;
    hear.hear(|r| matches!(r.event, Event::Deleted { .. })).await?;
    let held = slow.await??;
    println!("            (the slow reader stayed at {} all the time)", held.revision);

    say("node-1 dies: its lease has to end, then the updater stops waiting for it");
    let dead = running.remove(1);
    dead.task.abort();
    let _ = dead.task.await;
    let mut hear = ears();
    updater.put(change("colour", "white")).await?;
    hear.hear(|r| matches!(r.event, Event::Deleted { .. })).await?;

    say(
        "node-0 is cut off: it stops answering before its lease ends; then it registers and lists \
         again",
    );
    running[0].store.cut();
    let mut hear = ears();
    let revision = updater.put(change("colour", "black")).await?;
    hear.hear(|r| matches!(r.event, Event::Muted { .. })).await?;
    println!(
        "            (a request now gets: {})",
        running[0].node.get("colour").await.unwrap_err()
    );
    hear.hear(|r| matches!(r.event, Event::Deleted { .. })).await?;
    let mut hear = ears();
    running[0].store.mend();
    hear.hear(|r| {
        r.who == "node-0" && matches!(r.event, Event::Used { revision: used } if used >= revision)
    })
    .await?;

    say("the updater dies while it waits for a slow reader; its successor finishes the work");
    let slow = slow_reader(&running[0].node, Duration::from_millis(300));
    updater.put(change("colour", "grey")).await?;
    drop(updater);
    let updater = Updater::take_office(
        Arc::new(store.client()),
        files.clone(),
        report.named("updater-1"),
        TTL,
    )
    .await?;
    slow.await??;
    let current = updater.table().file.clone();
    updater.finish().await?;

    let left = files.list().await?;
    if Some(&left[..]) != current.as_ref().map(std::slice::from_ref) {
        return Err(format!("files are left over: {left:?}, current is {current:?}").into());
    }
    let mut answered = 0;
    for running in &running {
        let status = running.node.status();
        if status.violations > 0 {
            return Err("a version's file was missing under a lease".into());
        }
        answered += status.answered;
        running.task.abort();
    }
    println!(
        "\n{answered} answers, each from a version whose file was there; \
         one file is left, that of the current version."
    );
    Ok(())
}
