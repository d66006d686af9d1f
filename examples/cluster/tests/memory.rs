//! Tests of the protocol with the store in this process. Each test causes an event and waits for
//! its consequence.

use cluster::files::Files;
use cluster::model::{Change, Delta, Revision, Table};
use cluster::node::{Node, Refusal};
use cluster::report::{Event, Report, Reporter};
use cluster::store::faulty::{Faults, Faulty};
use cluster::store::memory::Memory;
use cluster::store::{Draft, Error, Ledger, Membership, Result as Stored, TableSource};
use cluster::updater::{Failed, Updater};
use futures::stream::BoxStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The time after which an expected event counts as lost. A passing test never waits for it.
const HANG_GUARD: Duration = Duration::from_secs(60);
/// A lease that outlasts every test.
const LONG: Duration = Duration::from_secs(600);
/// A lease so short that a test can wait for its end.
const SHORT: Duration = Duration::from_millis(1500);

/// The time for which a reader stays in a version. It is long enough for an updater that does not
/// wait to delete the file meanwhile.
const HOLD: Duration = Duration::from_millis(10);

struct Ears(mpsc::UnboundedReceiver<Report>);

impl Ears {
    async fn hear(&mut self, what: &str, mut wanted: impl FnMut(&Report) -> bool) -> Report {
        let heard = async {
            loop {
                let report = self.0.recv().await.expect("a reporter exists");
                assert!(
                    !matches!(report.event, Event::Violation { .. }),
                    "{}: {}",
                    report.who,
                    report.event
                );
                if wanted(&report) {
                    return report;
                }
            }
        };
        tokio::time::timeout(HANG_GUARD, heard)
            .await
            .unwrap_or_else(|_| panic!("not reported: {what}"))
    }

    /// Waits until a node that is cut off is mute, and returns since when. (On a busy machine the
    /// node may have been mute before.)
    async fn mute(&mut self, node: &Node) -> u64 {
        let muted = |r: &Report| matches!(r.event, Event::Muted { .. }) && !node.status().answers;
        match self.hear("mute", muted).await.event {
            Event::Muted { since_ns } => since_ns,
            _ => unreachable!("`hear` returns a wanted event"),
        }
    }

    async fn used(&mut self, who: &str, least: Revision) {
        let used = |r: &Report| {
            r.who == who && matches!(r.event, Event::Used { revision } if revision >= least)
        };
        self.hear("used", used).await;
    }

    async fn deleted(&mut self, wanted: &str) {
        self.hear("deleted", |r| matches!(&r.event, Event::Deleted { file } if file == wanted))
            .await;
    }
}

struct World {
    store: Memory,
    dir: TempDir,
    told: mpsc::UnboundedSender<Report>,
    ears: Ears,
}

struct Running {
    node: Node,
    store: Arc<Memory>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    fn new() -> Self {
        let (told, ears) = mpsc::unbounded_channel();
        Self {
            store: Memory::new(),
            dir: tempfile::tempdir().expect("a folder"),
            told,
            ears: Ears(ears),
        }
    }

    fn files(&self) -> Files {
        Files::open(self.dir.path()).expect("a folder")
    }

    fn report(&self, who: &str) -> Reporter {
        let told = self.told.clone();
        Reporter::new(who, move |report| {
            let _ = told.send(report);
        })
    }

    /// Makes a node with a reader that is in a version nearly all the time.
    fn node_on(
        &self,
        name: &str,
        ttl: Duration,
        source: Arc<dyn TableSource>,
        store: Arc<Memory>,
    ) -> Running {
        let members: Arc<dyn Membership> = store.clone();
        let node =
            Node::new(self.report(name), self.files(), source, members, ttl).expect("a domain");
        let running = node.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = running.run(std::future::pending()) => {}
                () = running.read_on(HOLD, Duration::from_millis(1)) => {}
            }
        });
        Running { node, store, task }
    }

    fn node(&self, name: &str, ttl: Duration) -> Running {
        let store = Arc::new(self.store.client());
        self.node_on(name, ttl, store.clone(), store)
    }

    async fn updater(&self, name: &str, ttl: Duration) -> Updater {
        let store = Arc::new(self.store.client());
        Updater::take_office(store, self.files(), self.report(name), ttl).await.expect("in office")
    }
}

/// Returns the value of x from a node. On a busy machine the node may have no lease for a while.
async fn x(node: &Node) -> Option<String> {
    let asked = async {
        loop {
            match node.get("x").await {
                Ok(answer) => return answer.value,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(HANG_GUARD, asked).await.expect("the node answers")
}

fn set(key: &str, value: impl ToString) -> Vec<Change> {
    vec![Change { key: key.into(), value: Some(value.to_string()) }]
}

fn file(updater: &Updater) -> String {
    updater.table().file.clone().expect("the table was changed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_there_as_long_as_a_reader_is_in_its_version() {
    let mut world = World::new();
    let a = world.node("a", LONG);
    let _b = world.node("b", LONG);
    let mut updater = world.updater("updater", LONG).await;
    let revision = updater.put(set("x", 1)).await.unwrap();
    let first = file(&updater);
    world.ears.used("a", revision).await;
    let (entered, is_in) = tokio::sync::oneshot::channel();
    let (let_go, told) = tokio::sync::oneshot::channel::<()>();
    let reader = tokio::spawn({
        let node = a.node.clone();
        async move {
            node.with(async |version| {
                entered.send(version.revision).expect("the test waits");
                told.await.expect("the test tells");
            })
            .await
        }
    });
    assert_eq!(is_in.await, Ok(revision));
    let next = updater.put(set("x", 2)).await.unwrap();
    // The other node is past the old version, and this one serves the next version, but the file
    // still exists.
    world.ears.used("b", next).await;
    assert_eq!(x(&a.node).await.as_deref(), Some("2"));
    // An updater that does not wait would delete the file meanwhile: several more changes reach the
    // other node.
    for n in 3..8 {
        let next = updater.put(set("x", n)).await.unwrap();
        world.ears.used("b", next).await;
    }
    assert!(world.files().exists(&first).await.unwrap());
    let_go.send(()).expect("the reader waits");
    assert_eq!(reader.await.unwrap().unwrap().revision, revision);
    world.ears.deleted(&first).await;
    assert!(!world.files().exists(&first).await.unwrap());
    updater.finish().await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_mute_before_its_lease_ends_and_lists_when_it_is_back() {
    let mut world = World::new();
    let a = world.node("a", SHORT);
    let mut updater = world.updater("updater", LONG).await;
    let revision = updater.put(set("x", 1)).await.unwrap();
    let first = file(&updater);
    world.ears.used("a", revision).await;
    a.store.cut();
    let revision = updater.put(set("x", 2)).await.unwrap();
    let muted = world.ears.mute(&a.node).await;
    assert_eq!(a.node.get("x").await, Err(Refusal::NoLease));
    let gone = world.ears.hear("gone", |r| matches!(r.event, Event::Gone { .. })).await;
    assert!(muted < gone.at_ns);
    world.ears.deleted(&first).await;
    a.store.mend();
    world.ears.hear("lost", |r| matches!(r.event, Event::Lost { .. })).await;
    world.ears.used("a", revision).await;
    assert_eq!(x(&a.node).await.as_deref(), Some("2"));
    assert_eq!(a.node.status().violations, 0);
}

#[tokio::test]
async fn what_was_read_under_a_lost_lease_is_not_answered_under_the_next() {
    let mut world = World::new();
    let a = world.node("a", SHORT);
    let mut updater = world.updater("updater", LONG).await;
    let revision = updater.put(set("x", 1)).await.unwrap();
    world.ears.used("a", revision).await;
    let (entered, is_in) = tokio::sync::oneshot::channel();
    let (let_go, told) = tokio::sync::oneshot::channel::<()>();
    let reader = tokio::spawn({
        let node = a.node.clone();
        async move {
            node.with(async |_| {
                entered.send(()).expect("the test waits");
                told.await.expect("the test tells");
            })
            .await
        }
    });
    is_in.await.unwrap();
    a.store.cut();
    world.ears.mute(&a.node).await;
    updater.put(set("x", 2)).await.unwrap();
    world.ears.hear("gone", |r| matches!(r.event, Event::Gone { .. })).await;
    a.store.mend();
    // The node answers again from the new version. The reader is still in the old version, whose
    // file is deleted.
    world.ears.hear("registered", |r| matches!(r.event, Event::Registered { .. })).await;
    world.ears.hear("serving", |r| r.who == "a" && matches!(r.event, Event::Serving { .. })).await;
    assert_eq!(x(&a.node).await.as_deref(), Some("2"));
    let_go.send(()).expect("the reader waits");
    assert_eq!(reader.await.unwrap().unwrap_err(), Refusal::NoLease);
    assert_eq!(a.node.status().violations, 0);
}

#[tokio::test]
async fn nobody_waits_for_a_node_that_registers_after_the_change() {
    let mut world = World::new();
    let store = world.store.client();
    let _before = store.register("before", LONG).await.unwrap();
    let mut updater = world.updater("updater", LONG).await;
    updater.put(set("x", 1)).await.unwrap();
    let first = file(&updater);
    updater.put(set("x", 2)).await.unwrap();
    let waiting = world.ears.hear("waiting", |r| matches!(r.event, Event::Waiting { .. })).await;
    let Event::Waiting { nodes, revision } = waiting.event else { unreachable!() };
    assert_eq!((nodes, revision), (vec!["before".to_owned()], 2));
    // The member never publishes. It will list revision 2 or newer, so older files may be deleted.
    let _after = store.register("after", LONG).await.unwrap();
    store.publish(_before.session, 2).await.unwrap();
    world.ears.deleted(&first).await;
}

/// A source that runs something else once, before it answers.
struct Interrupted {
    store: Memory,
    at_snapshot: Mutex<Vec<Draft>>,
    term: i64,
}

#[async_trait::async_trait]
impl TableSource for Interrupted {
    async fn snapshot(&self) -> Stored<(Revision, Table)> {
        let answer = self.store.snapshot().await;
        let drafts = std::mem::take(&mut *self.at_snapshot.lock().unwrap());
        for draft in drafts {
            self.store.put(self.term, &draft).await.unwrap();
        }
        answer
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Stored<Delta>> {
        self.store.watch(after)
    }
}

#[tokio::test]
async fn what_is_committed_between_listing_and_watching_is_not_missed() {
    let mut world = World::new();
    let store = world.store.client();
    let term = store.take_office("test", LONG).await.unwrap();
    for name in ["f1", "f2"] {
        std::fs::write(world.dir.path().join(name), "{}").unwrap();
    }
    let first = Draft { replaces: None, file: "f1".into(), changes: set("x", 1) };
    let second = Draft { replaces: Some("f1".into()), file: "f2".into(), changes: set("y", 2) };
    let source = Interrupted { store, at_snapshot: Mutex::new(vec![first, second]), term };
    let a = world.node_on("a", LONG, Arc::new(source), Arc::new(world.store.client()));
    world.ears.used("a", 2).await;
    assert_eq!(x(&a.node).await.as_deref(), Some("1"));
    assert_eq!(a.node.get("y").await.unwrap().value.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_successor_deletes_what_is_retired_or_was_never_named_and_nothing_else() {
    let mut world = World::new();
    let _stays = world.store.register("never says anything", LONG).await.unwrap();
    let mut one = world.updater("one", SHORT).await;
    one.put(set("x", 1)).await.unwrap();
    let first = file(&one);
    one.put(set("x", 2)).await.unwrap();
    let second = file(&one);
    world.ears.hear("waiting", |r| matches!(r.event, Event::Waiting { .. })).await;
    drop(one);
    // The state after a predecessor that died between deleting this file and saying so, and after
    // writing the other one.
    std::fs::remove_file(world.dir.path().join(&first)).unwrap();
    let orphan = Files::name(77, 7);
    std::fs::write(world.dir.path().join(&orphan), "{}").unwrap();
    std::fs::write(world.dir.path().join("somebody's"), "").unwrap();
    let two = world.updater("two", SHORT).await;
    world
        .ears
        .hear("orphan", |r| matches!(&r.event, Event::Orphan { file } if *file == orphan))
        .await;
    assert_eq!(two.table().get("x"), Some("2"));
    world.store.leave(_stays.session).await.unwrap();
    two.finish().await.unwrap();
    assert_eq!(world.store.retired().await.unwrap(), []);
    assert_eq!(world.files().list().await.unwrap(), [second]);
    assert!(world.dir.path().join("somebody's").exists());
}

#[tokio::test]
async fn who_is_deposed_changes_nothing() {
    let world = World::new();
    let cable = Arc::new(world.store.client());
    let mut one = Updater::take_office(cable.clone(), world.files(), world.report("one"), SHORT)
        .await
        .unwrap();
    one.put(set("x", 1)).await.unwrap();
    cable.cut();
    let mut two = world.updater("two", SHORT).await;
    cable.mend();
    let refused = one.put(set("x", 3)).await;
    assert!(matches!(refused, Err(Failed::Store(Error::Deposed))), "{refused:?}");
    two.put(set("y", 2)).await.unwrap();
    let (_, table) = world.store.snapshot().await.unwrap();
    assert_eq!((table.get("x"), table.get("y")), (Some("1"), Some("2")));
}

/// Cuts and mends the cables of nodes, disturbs their deltas, reads everywhere, and kills the
/// updater now and then. No version in use under a lease may miss its file, and in the end only one
/// file is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_no_file_in_use_is_missing() {
    let mut world = World::new();
    let faults = Faults { twice: 3, late: 4, never: 7 };
    let mut nodes: Vec<Running> = (0..3)
        .map(|n| {
            let store = Arc::new(world.store.client());
            let source = Arc::new(Faulty::new(store.clone(), faults));
            world.node_on(&format!("node-{n}"), SHORT, source, store)
        })
        .collect();
    // The sequence is fixed, so that a failure can be reproduced.
    let mut seed = 1_u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut updater = world.updater("updater", SHORT).await;
    for n in 0..150 {
        match updater.put(set(&format!("k{}", n % 7), n)).await {
            Ok(_) => {}
            Err(Failed::Store(Error::Deposed)) => updater = world.updater("updater", SHORT).await,
            Err(e) => panic!("{e}"),
        }
        let node = &nodes[random(3) as usize];
        match random(12) {
            0 => node.store.cut(),
            1..=3 => node.store.mend(),
            4 => {
                drop(updater);
                updater = world.updater("updater", SHORT).await;
            }
            5 => {
                nodes.remove(0);
                nodes.push(world.node(&format!("late-{n}"), SHORT));
            }
            _ => tokio::time::sleep(Duration::from_millis(random(20))).await,
        }
        while let Ok(report) = world.ears.0.try_recv() {
            assert!(
                !matches!(report.event, Event::Violation { .. }),
                "{}: {}",
                report.who,
                report.event
            );
        }
    }
    // The last deltas may never be sent. So these nodes end, and the updater does not wait for
    // them.
    let current = file(&updater);
    for node in &nodes {
        assert_eq!(node.node.status().violations, 0);
    }
    drop(nodes);
    updater.finish().await.unwrap();
    assert_eq!(world.files().list().await.unwrap(), [current]);
}
