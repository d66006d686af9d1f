//! What happens, told as it happens: to people, to the tests and to the bench, which read it as JSON from the processes'
//! standard output.

use crate::clock;
use crate::model::{Revision, Session};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields are what their names say
pub enum Event {
    /// A node's HTTP server is there.
    Listening { address: String },
    /// A node is in the store's list of live ones, under a lease.
    Registered { session: Session },
    /// A node has read the whole table.
    Listed { revision: Revision, why: String },
    /// A node's answers come from this revision from now on.
    Serving { revision: Revision },
    /// A node has published that nothing in it uses anything older.
    Used { revision: Revision },
    /// A node was sent something twice, or late.
    Ignored { revision: Revision },
    /// A node does not answer: by its own clock its lease may have ended, since then.
    Muted { since_ns: u64 },
    /// A keep-alive got through after all.
    Unmuted,
    /// A node's session is over.
    Lost { session: Session, why: String },
    /// A node has let go of its lease in good order.
    Left,
    /// What must not happen: a version was in use under a lease, and its file was not there.
    Violation { revision: Revision, file: String },
    /// Something did not work and will be tried again.
    Trouble { what: String },
    /// An updater waits for the one in office.
    Waits { holder: String },
    /// An updater is in office.
    Office { term: i64 },
    /// An updater has found work that its predecessor left.
    Inherited { files: usize, revision: Revision },
    /// A file was deleted that no version ever named.
    Orphan { file: String },
    /// The table was changed.
    Put { revision: Revision, file: String },
    /// An updater waits for these nodes.
    Waiting {
        revision: Revision,
        nodes: Vec<String>,
    },
    /// A node's lease has ended, so nobody waits for it.
    Gone { node: String, session: Session },
    /// No process uses anything older than this revision.
    Quiet { revision: Revision },
    /// A file that no process uses.
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
            Self::Ignored { revision } => write!(f, "ignores {revision}, which it has"),
            Self::Muted { .. } => write!(f, "is mute: its lease may have ended"),
            Self::Unmuted => write!(f, "answers again: its lease had not ended"),
            Self::Lost { session, why } => write!(f, "session {session:x} is over: {why}"),
            Self::Left => write!(f, "has left"),
            Self::Violation { revision, file } => {
                write!(f, "VIOLATION: uses {revision}, and {file} is not there")
            }
            Self::Trouble { what } => write!(f, "trouble: {what}"),
            Self::Waits { holder } => write!(f, "waits for the office, which {holder} holds"),
            Self::Office { term } => write!(f, "in office, term {term:x}"),
            Self::Inherited { files, revision } => write!(
                f,
                "inherited {files} files to delete, once nothing is older than {revision}"
            ),
            Self::Orphan { file } => write!(f, "deleted {file}, which no version named"),
            Self::Put { revision, file } => write!(f, "changed the table: {revision}, {file}"),
            Self::Waiting { revision, nodes } => {
                write!(
                    f,
                    "waits: older than {revision} may be {}",
                    nodes.join(", ")
                )
            }
            Self::Gone { node, session } => {
                write!(
                    f,
                    "waits no more for {node}, whose lease {session:x} has ended"
                )
            }
            Self::Quiet { revision } => write!(f, "no process uses anything older than {revision}"),
            Self::Deleted { file } => write!(f, "deleted {file}"),
            Self::Deposed => write!(f, "is not in office any more"),
        }
    }
}

/// An event, who told it, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// On [`clock::now`], in nanoseconds.
    pub at_ns: u64,
    /// The process, or the node.
    pub who: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Takes events of one process or node.
#[derive(Clone)]
pub struct Reporter {
    who: String,
    sink: Arc<dyn Fn(Report) + Send + Sync>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Gives each report to `sink`.
    pub fn new(who: impl Into<String>, sink: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self {
            who: who.into(),
            sink: Arc::new(sink),
        }
    }

    /// Lines on standard output: JSON, or for people.
    pub fn stdout(who: impl Into<String>, json: bool) -> Self {
        Self::new(who, move |report| {
            use std::io::Write;
            let line = if json {
                serde_json::to_string(&report).expect("strings and numbers can be written as JSON")
            } else {
                format!("{:>10}  {}", report.who, report.event)
            };
            // Who closes our output does not want to hear more; that is no reason to stop serving.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        })
    }

    /// The same sink, for somebody else.
    pub fn named(&self, who: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            sink: Arc::clone(&self.sink),
        }
    }

    /// Who reports.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Tells.
    pub fn tell(&self, event: Event) {
        (self.sink)(Report {
            at_ns: clock::now().as_nanos() as u64,
            who: self.who.clone(),
            event,
        });
    }

    /// Tells that something will be tried again.
    pub fn trouble(&self, what: impl fmt::Display) {
        self.tell(Event::Trouble {
            what: what.to_string(),
        });
    }
}
