//! The events of nodes and updaters. People read them as text; the tests and the benchmark read
//! them as JSON from the standard output of the processes.

use crate::clock;
use crate::model::{Revision, Session};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are what their names say
pub enum Event {
    /// A node's HTTP server listens.
    Listening { address: String },
    /// A node is in the store's list of live nodes, under a lease.
    Registered { session: Session },
    /// A node has read the whole table.
    Listed { revision: Revision, why: String },
    /// A node's answers come from this revision from now on.
    Serving { revision: Revision },
    /// A node has published that it uses nothing older than this.
    Used { revision: Revision },
    /// A node got a delta twice or late.
    Ignored { revision: Revision },
    /// A node does not answer: by its own clock its lease may have ended at this time.
    Muted { since_ns: u64 },
    /// A node answers again: its lease had not ended.
    Unmuted,
    /// A node's session is over.
    Lost { session: Session, why: String },
    /// A node has ended its lease.
    Left,
    /// A violation: a version was in use under a lease, and its file did not exist.
    Violation { revision: Revision, file: String },
    /// An operation failed.
    Trouble { what: String },
    /// An updater waits for another one to leave office.
    Waits { holder: String },
    /// An updater is in office.
    Office { term: i64 },
    /// An updater has found files that its predecessor did not delete.
    Inherited { files: usize, revision: Revision },
    /// The updater deleted a file that no version named.
    Orphan { file: String },
    /// The table was changed.
    Put { revision: Revision, file: String },
    /// An updater waits for these nodes.
    Waiting { revision: Revision, nodes: Vec<String> },
    /// A node's lease has ended, so the updater does not wait for it any more.
    Gone { node: String, session: Session },
    /// No process uses anything older than this revision.
    Quiet { revision: Revision },
    /// The updater deleted a file that no process uses.
    Deleted { file: String },
    /// An updater found that it is not in office any more.
    Deposed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { address } => write!(f, "answers on http://{address}"),
            Self::Registered { session } => write!(f, "registered, session {session:x}"),
            Self::Listed { revision, why } => write!(f, "listed the table at {revision}: {why}"),
            Self::Serving { revision } => write!(f, "serves {revision}"),
            Self::Used { revision } => write!(f, "uses nothing older than {revision}"),
            Self::Ignored { revision } => write!(f, "ignores {revision}, which it has already"),
            Self::Muted { .. } => write!(f, "is mute: its lease may have ended"),
            Self::Unmuted => write!(f, "answers again: its lease had not ended"),
            Self::Lost { session, why } => write!(f, "session {session:x} is over: {why}"),
            Self::Left => write!(f, "has left"),
            Self::Violation { revision, file } => {
                write!(f, "VIOLATION: uses {revision}, but {file} does not exist")
            }
            Self::Trouble { what } => write!(f, "trouble: {what}"),
            Self::Waits { holder } => write!(f, "waits until {holder} leaves office"),
            Self::Office { term } => write!(f, "is in office, term {term:x}"),
            Self::Inherited { files, revision } => write!(
                f,
                "inherited {files} files, to be deleted when no process uses anything older than \
                 {revision}"
            ),
            Self::Orphan { file } => write!(f, "deleted {file}, which no version named"),
            Self::Put { revision, file } => {
                write!(f, "changed the table: revision {revision}, {file}")
            }
            Self::Waiting { revision, nodes } => {
                write!(
                    f,
                    "waits for nodes that may use something older than {revision}: {}",
                    nodes.join(", ")
                )
            }
            Self::Gone { node, session } => {
                write!(f, "does not wait any more for {node}, whose lease {session:x} has ended")
            }
            Self::Quiet { revision } => write!(f, "no process uses anything older than {revision}"),
            Self::Deleted { file } => write!(f, "deleted {file}"),
            Self::Deposed => write!(f, "is not in office any more"),
        }
    }
}

/// An event, with its source and its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The time on [`clock::now`], in nanoseconds.
    pub at_ns: u64,
    /// The name of the process or node.
    pub who: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// A reporter of the events of one process or node.
#[derive(Clone)]
pub struct Reporter {
    who: String,
    sink: Arc<dyn Fn(Report) + Send + Sync>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Reporter {
    /// Makes a reporter that passes each report to `sink`.
    pub fn new(who: impl Into<String>, sink: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self { who: who.into(), sink: Arc::new(sink) }
    }

    /// Makes a reporter that prints lines on standard output: JSON, or text.
    pub fn stdout(who: impl Into<String>, json: bool) -> Self {
        Self::new(who, move |report| {
            use std::io::Write;
            let line = if json {
                serde_json::to_string(&report).expect("strings and numbers can be written as JSON")
            } else {
                format!("{:>10}  {}", report.who, report.event)
            };
            // A closed output does not stop the node.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        })
    }

    /// Makes a reporter of another name with the same sink.
    pub fn named(&self, who: impl Into<String>) -> Self {
        Self { who: who.into(), sink: Arc::clone(&self.sink) }
    }

    /// Returns the name.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Reports an event.
    pub fn tell(&self, event: Event) {
        (self.sink)(Report { at_ns: clock::now().as_nanos() as u64, who: self.who.clone(), event });
    }

    /// Reports a failed operation.
    pub fn trouble(&self, what: impl fmt::Display) {
        self.tell(Event::Trouble { what: what.to_string() });
    }
}
