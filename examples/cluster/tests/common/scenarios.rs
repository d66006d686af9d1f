//! Scenarios of failures, with real processes and a real store. Each store with a server runs all
//! of them.

use super::network::Namespace;
use super::servers::Server;
use super::{Process, program};
use cluster::report::Event;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A lease that outlasts every test.
const LONG: u64 = 600_000;
/// A lease so short that a test can wait for its end.
const SHORT: u64 = 4_000;

struct World<S> {
    server: S,
    dir: TempDir,
}

impl<S: Server> World<S> {
    fn new() -> Option<Self> {
        Some(Self { server: S::start()?, dir: tempfile::tempdir().expect("a folder") })
    }

    fn args(&self, command: &mut Command, host: &str, ttl_ms: u64) {
        command.args([
            "--json",
            "--store",
            &self.server.url(host),
            "--ttl-ms",
            &ttl_ms.to_string(),
            "--dir",
        ]);
        command.arg(self.dir.path());
    }

    fn node_by(
        &self,
        mut command: Command,
        host: &str,
        name: &str,
        ttl_ms: u64,
        more: &[&str],
    ) -> Process {
        // A reader is in a version nearly all the time.
        command.args(["node", "--name", name, "--hold-ms", "10"]).args(more);
        self.args(&mut command, host, ttl_ms);
        let mut node = Process::start(name, command);
        if let Event::Listening { address } =
            node.hear("where", |e| matches!(e, Event::Listening { .. })).event
        {
            node.address = Some(address);
        }
        node.serves(0);
        node
    }

    fn node(&self, name: &str, ttl_ms: u64) -> Process {
        self.node_by(program(), "127.0.0.1", name, ttl_ms, &[])
    }

    fn updater(&self, name: &str) -> Process {
        let mut command = program();
        command.args(["updater", "--name", name]);
        self.args(&mut command, "127.0.0.1", SHORT);
        Process::start(name, command)
    }

    fn compact(&self) {
        let mut command = program();
        command.arg("compact");
        self.args(&mut command, "127.0.0.1", SHORT);
        assert!(command.status().expect("the program starts").success());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn in_office(event: &Event) -> bool {
    matches!(event, Event::Office { .. })
}

fn gone(event: &Event, who: &str) -> bool {
    matches!(event, Event::Gone { node, .. } if node == who)
}

/// One node is killed: the updater waits until its lease ends. Another node leaves: the updater
/// does not wait for it.
pub(crate) fn a_killed_node_does_not_block<S: Server>() {
    let Some(world) = World::<S>::new() else {
        return;
    };
    let mut a = world.node("a", LONG);
    let mut b = world.node("b", SHORT);
    let mut c = world.node("c", LONG);
    let mut updater = world.updater("updater");
    updater.line("x=1");
    let (_, first) = updater.has_put();
    updater.line("x=2");
    let (revision, second) = updater.has_put();
    updater.has_deleted(&first);
    // The file is deleted after all three nodes have published; their own reports are still to be
    // read.
    for node in [&mut a, &mut b, &mut c] {
        node.uses(revision);
        assert_eq!(node.get("/get/x"), (200, Some(revision), "2".into()));
    }
    assert_eq!(a.get("/table").2, r#"{"x":"2"}"#);
    assert_eq!(a.get("/get/y").0, 404);
    assert!(c.end().success());
    b.kill();
    updater.line("x=3");
    let (revision, _) = updater.has_put();
    updater.hear("the nodes that it waits for", |e| {
        assert!(!gone(e, "c"), "c has left, but the updater waited for it");
        gone(e, "b")
    });
    updater.has_deleted(&second);
    a.serves(revision);
    assert_eq!(a.get("/get/x"), (200, Some(revision), "3".into()));
    assert!(updater.exit().success());
    assert!(a.end().success());
}

/// The store is killed and started again, and all processes go on.
pub(crate) fn the_store_is_restarted<S: Server>() {
    let Some(mut world) = World::<S>::new() else {
        return;
    };
    let mut nodes = [world.node("a", 5_000), world.node("b", 5_000)];
    let mut updater = world.updater("updater");
    updater.line("x=1");
    let (_, first) = updater.has_put();
    world.server.restart();
    updater.line("x=2");
    // The updater may lose its office meanwhile; then it reports that the line was not done.
    let mut put = None;
    while put.is_none() {
        let report = updater.hear("put or trouble", |e| {
            in_office(e)
                || matches!(e, Event::Put { .. })
                || matches!(e, Event::Trouble { what } if what.contains("give it again"))
        });
        match report.event {
            Event::Put { revision, .. } => put = Some(revision),
            Event::Trouble { .. } => updater.line("x=2"),
            _ => {}
        }
    }
    let revision = put.expect("the line is done");
    updater.has_deleted(&first);
    for node in &mut nodes {
        node.uses(revision);
        let (status, at, value) = node.get("/get/x");
        assert_eq!((status, at >= Some(revision), value.as_str()), (200, true, "2"));
    }
    assert!(updater.exit().success());
}

/// A node sleeps for longer than its lease, and the deltas that it missed are dropped. It reports
/// that its session is over, registers again and lists.
pub(crate) fn a_node_sleeps_past_its_lease_and_a_compaction<S: Server>() {
    let Some(world) = World::<S>::new() else {
        return;
    };
    let mut a = world.node("a", LONG);
    let mut b = world.node("b", SHORT);
    let mut updater = world.updater("updater");
    updater.line("x=1");
    let (revision, first) = updater.has_put();
    a.uses(revision);
    b.uses(revision);
    b.stop();
    let mut last = (0, String::new());
    for line in ["x=2", "x=3", "y=4"] {
        updater.line(line);
        last = updater.has_put();
    }
    updater.hear("the end of b's lease", |e| gone(e, "b"));
    updater.has_deleted(&first);
    world.compact();
    b.go_on();
    b.hear("the end of its session", |e| matches!(e, Event::Lost { .. }));
    b.hear("a listing", |e| matches!(e, Event::Listed { revision, .. } if *revision >= last.0));
    b.uses(last.0);
    assert_eq!(b.get("/get/x").2, "3");
    assert_eq!(b.get("/get/y").2, "4");
    assert!(b.end().success(), "no file that b used was missing");
    assert!(updater.exit().success());
    assert!(world.file(&last.1).exists());
}

/// A node sleeps under a lease that outlasts the sleep. Its session goes on, no file is deleted
/// meanwhile, and the deltas after its revision are dropped.
pub(crate) fn a_node_under_its_lease_sleeps_past_a_compaction<S: Server>() {
    let Some(mut world) = World::<S>::new() else {
        return;
    };
    let mut b = world.node("b", LONG);
    let mut updater = world.updater("first");
    updater.line("x=1");
    let (revision, first) = updater.has_put();
    b.uses(revision);
    assert!(updater.exit().success());
    b.stop();
    // The connection ends, so that its deltas do not wait there for the node.
    world.server.restart();
    let mut updater = world.updater("second");
    updater.line("x=2");
    updater.has_put();
    updater.hear(
        "the nodes that it waits for",
        |e| matches!(e, Event::Waiting { nodes, .. } if nodes == &["b"]),
    );
    updater.line("x=3");
    updater.has_put();
    updater.line("y=4");
    let (last, _) = updater.has_put();
    world.compact();
    assert!(world.file(&first).exists(), "b may use the file");
    b.go_on();
    b.hear("a listing", |e| matches!(e, Event::Listed { why, .. } if why.contains("compacted")));
    b.uses(last);
    let lost = b.heard.iter().any(|report| matches!(report.event, Event::Lost { .. }));
    assert!(!lost, "the lease outlasts the sleep");
    assert_eq!(b.get("/get/x").2, "3");
    assert_eq!(b.get("/get/y").2, "4");
    updater.has_deleted(&first);
    assert!(updater.exit().success());
}

/// Deltas come twice, late, and never. The node still serves the right table at each revision.
pub(crate) fn deltas_come_twice_late_and_never<S: Server>() {
    let Some(world) = World::<S>::new() else {
        return;
    };
    let faults = ["--faults", "twice=2,late=3,never=5"];
    let mut node = world.node_by(program(), "127.0.0.1", "disturbed", LONG, &faults);
    let mut updater = world.updater("updater");
    let mut values = BTreeMap::new();
    for n in 0..40 {
        updater.line(&format!("x={n}"));
        values.insert(updater.has_put().0, n.to_string());
    }
    // The next delta shows that a delta was never sent; after the last delta there is no next one.
    let (&settled, _) = values.iter().nth(34).expect("forty changes were made");
    node.serves(settled);
    let (status, revision, value) = node.get("/get/x");
    assert_eq!(status, 200);
    let revision = revision.expect("a revision");
    let at = values.range(..=revision).next_back().expect("the revision is past the first");
    assert_eq!(*at.1, value, "at {revision}");
    let heard = |wanted: fn(&Event) -> bool| node.heard.iter().any(|report| wanted(&report.event));
    assert!(heard(|e| matches!(e, Event::Ignored { .. })), "no delta came twice or late");
    assert!(
        heard(|e| matches!(e, Event::Listed { why, .. } if why.contains("gap"))),
        "no delta was missing"
    );
    assert!(node.end().success());
    assert!(updater.exit().success());
}

/// An updater dies while it waits. The successor waits for the same node, deletes the same files,
/// and deletes the file of a change that was never made.
pub(crate) fn an_updater_dies_and_is_succeeded<S: Server>() {
    let Some(world) = World::<S>::new() else {
        return;
    };
    let mut a = world.node("a", LONG);
    let mut one = world.updater("one");
    one.line("x=1");
    let (revision, first) = one.has_put();
    a.uses(revision);
    a.stop();
    one.line("x=2");
    let (_, second) = one.has_put();
    one.hear(
        "the nodes that it waits for",
        |e| matches!(e, Event::Waiting { nodes, .. } if nodes == &["a"]),
    );
    one.kill();
    let orphan = "table-0-0.json";
    std::fs::write(world.file(orphan), "{}").expect("a file");
    let mut two = world.updater("two");
    two.hear(
        "the wait for the office",
        |e| matches!(e, Event::Waits { holder } if holder == "one"),
    );
    two.hear("in office", in_office);
    two.hear("orphan", |e| matches!(e, Event::Orphan { file } if file == orphan));
    two.hear("inherited", |e| matches!(e, Event::Inherited { files: 1, .. }));
    two.hear(
        "the nodes that it waits for",
        |e| matches!(e, Event::Waiting { nodes, .. } if nodes == &["a"]),
    );
    two.line("x=3");
    let (revision, third) = two.has_put();
    assert!(world.file(&first).exists() && world.file(&second).exists(), "a may use the files");
    assert!(!world.file(orphan).exists());
    a.go_on();
    two.has_deleted(&first);
    two.has_deleted(&second);
    a.uses(revision);
    assert!(!world.file(&first).exists() && !world.file(&second).exists());
    assert!(two.exit().success());
    assert!(world.file(&third).exists());
    assert!(a.end().success());
}

/// An updater that sleeps through its term wakes up after its succession: it cannot change the
/// table any more.
pub(crate) fn an_updater_that_slept_through_its_term_changes_nothing<S: Server>() {
    let Some(world) = World::<S>::new() else {
        return;
    };
    let mut one = world.updater("one");
    one.line("x=1");
    one.has_put();
    one.stop();
    let mut two = world.updater("two");
    two.hear("in office", in_office);
    two.line("x=2");
    let (revision, _) = two.has_put();
    one.line("x=3");
    one.go_on();
    one.hear("a wait for the office", |e| {
        assert!(!matches!(e, Event::Put { .. }), "the term was over");
        matches!(e, Event::Waits { holder } if holder == "two")
    });
    let mut node = world.node("a", LONG);
    node.uses(revision);
    assert_eq!(node.get("/get/x").2, "2");
    assert!(two.exit().success());
    one.hear("in office again", in_office);
    assert!(one.end().success(), "an interrupted updater leaves office");
    let mut three = world.updater("three");
    three.hear("in office", |e| {
        assert!(!matches!(e, Event::Waits { .. }), "one has left the office");
        in_office(e)
    });
}

/// A node is cut off from the store. It is mute before the store ends its lease; then the updater
/// goes on without the node. After the cable is mended, the node registers again and lists.
pub(crate) fn a_node_is_cut_off<S: Server>(number: u8) {
    let Some(namespace) = Namespace::new(number) else {
        return;
    };
    let Some(world) = World::<S>::new() else {
        return;
    };
    let mut a = world.node("a", LONG);
    let inside = namespace.command(env!("CARGO_BIN_EXE_cluster"));
    let mut b = world.node_by(inside, &namespace.host, "b", SHORT, &[]);
    let mut updater = world.updater("updater");
    updater.line("x=1");
    let (revision, first) = updater.has_put();
    a.uses(revision);
    b.uses(revision);
    let address = b.address.clone().expect("the node has reported its address");
    assert!(namespace.get(&address, "/get/x").starts_with("HTTP/1.0 200"));

    namespace.cable("down");
    updater.line("x=2");
    let (revision, _) = updater.has_put();
    a.uses(revision);
    // The node is mute before the store ends its lease. Until then it may miss a keep-alive or two,
    // not more.
    let mut muted = 0;
    b.hear("mute", |e| match e {
        Event::Muted { since_ns } => {
            muted = *since_ns;
            true
        }
        _ => false,
    });
    assert!(namespace.get(&address, "/get/x").starts_with("HTTP/1.0 503"));
    let ended = updater.hear("the end of b's lease", |e| gone(e, "b"));
    assert!(muted < ended.at_ns, "b answered after the updater stopped waiting for it");
    updater.has_deleted(&first);
    assert!(namespace.get(&address, "/get/x").starts_with("HTTP/1.0 503"));

    namespace.cable("up");
    b.hear("the end of its session", |e| matches!(e, Event::Lost { .. }));
    b.hear("a listing", |e| matches!(e, Event::Listed { .. }));
    b.uses(revision);
    let reply = namespace.get(&address, "/get/x");
    assert!(reply.starts_with("HTTP/1.0 200") && reply.trim_end().ends_with('2'), "{reply}");
    assert!(b.end().success(), "no file that b used was missing");
    assert!(updater.exit().success());
}
