//! A node: a process that holds the table and answers from it.
//!
//! # A session
//! 1. The node registers under a lease. From then on, an updater that changes the table waits for
//!    this node.
//! 2. The node lists the table. The store's answer holds all that was committed before the request,
//!    so it holds all changes that an updater made without seeing this node.
//! 3. The node follows the deltas. Each delta makes the next version, which readers see at once.
//!    The node ignores old deltas. After a gap, or if the store has dropped deltas, the node lists
//!    again.
//! 4. At the same time, after each new version, the node awaits `synchronize()` and publishes that
//!    it uses nothing older. Versions that come during a grace period share the next one.
//! 5. At the same time, the node keeps the lease. When the store says that the lease has ended, the
//!    node drops the table and begins at 1.
//!
//! # Why a cell of an immutable map
//! An `RcuMap` that is changed in place would apply a delta at a lower cost. But a reader could
//! find one key of revision N and the next key of N + 1, and no single version would own the file
//! that the reader uses. A cell gives each reader one whole version. The map shares unchanged
//! entries with the version before, so the next version costs O(log n) per changed key.
//!
//! # Answers
//! The node answers only if the lease under which it read the version still holds after the
//! reading. So a process that is stopped in the middle of a request, for longer than its lease,
//! refuses the request when it continues.

use crate::files::Files;
use crate::lease::Lease;
use crate::model::{Revision, Session, Step, Version};
use crate::report::{Event, Reporter};
use crate::store::{Error, Membership, TableSource};
use async_rcu::{Rcu, RcuCell, cell::OwnedRcuRef};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The pause before the next request to a store that did not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause before the next request to a node that did not answer.
const REFUSED: Duration = Duration::from_millis(5);

/// The reason why a node does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The lease may have ended, so the updater may not wait for this node.
    #[error("this node has no lease, and does not answer until it has one")]
    NoLease,
    /// The node has not listed the table yet.
    #[error("this node has not listed the table yet")]
    NoTable,
}

/// An answer, with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The revision of the table.
    pub revision: Revision,
    /// The value of the answer.
    pub value: T,
}

/// A node. Clones are handles of the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    rcu: Rcu,
    version: RcuCell<Option<Version>>,
    lease: Lease,
    files: Files,
    source: Arc<dyn TableSource>,
    members: Arc<dyn Membership>,
    ttl: Duration,
    report: Reporter,
    answered: AtomicU64,
    refused: AtomicU64,
    violations: AtomicU64,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("lease", &self.inner.lease).finish_non_exhaustive()
    }
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// The version from which the node would answer.
    pub revision: Option<Revision>,
    /// Whether the node answers.
    pub answers: bool,
    /// The number of answers.
    pub answered: u64,
    /// The number of refusals.
    pub refused: u64,
    /// How often a version's file was missing under a lease.
    pub violations: u64,
}

impl Node {
    /// Makes a node with the name of `report`, in a domain of its own: nodes of one process do not
    /// wait for each other's readers.
    pub fn new(
        report: Reporter,
        files: Files,
        source: Arc<dyn TableSource>,
        members: Arc<dyn Membership>,
        ttl: Duration,
    ) -> Result<Self, async_rcu::error::BuildError> {
        let rcu = Rcu::builder().name(report.who()).build()?;
        Ok(Self {
            inner: Arc::new(Inner {
                version: RcuCell::new_in(&rcu, None),
                lease: Lease::new(&rcu),
                rcu,
                files,
                source,
                members,
                ttl,
                report,
                answered: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                violations: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the value of a key.
    pub async fn get(&self, key: &str) -> Result<Answer<Option<String>>, Refusal> {
        self.with(async |version| version.table.get(key).map(str::to_owned)).await
    }

    /// Returns the content of the version's file on the disk.
    pub async fn file(&self) -> Result<Answer<Option<Vec<u8>>>, Refusal> {
        self.read(async |version, files| match &version.table.file {
            Some(file) => files.read(file).await.ok(),
            None => None,
        })
        .await
    }

    /// Holds one version for a while, as a slow request does.
    pub async fn hold(&self, time: Duration) -> Result<Answer<()>, Refusal> {
        self.with(async |_| tokio::time::sleep(time).await).await
    }

    /// Reads one version. The version is in use, and its file exists, until `reading` has ended.
    pub async fn with<T>(
        &self,
        reading: impl AsyncFnOnce(&Version) -> T,
    ) -> Result<Answer<T>, Refusal> {
        self.read(async |version, _| reading(version).await).await
    }

    async fn read<T>(
        &self,
        reading: impl AsyncFnOnce(&Version, &Files) -> T,
    ) -> Result<Answer<T>, Refusal> {
        let inner = &*self.inner;
        let result = inner.read(inner.version.read_owned(), reading).await;
        let count = if result.is_ok() { &inner.answered } else { &inner.refused };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Returns the status.
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let seen = inner.version.read();
        Status {
            revision: seen.as_ref().map(|version| version.revision),
            answers: seen.as_ref().is_some_and(|version| inner.lease.covers(version.session)),
            answered: inner.answered.load(Ordering::Relaxed),
            refused: inner.refused.load(Ordering::Relaxed),
            violations: inner.violations.load(Ordering::Relaxed),
        }
    }

    /// Reads for ever. Holds each version for `hold`, with `pause` between.
    pub async fn read_on(&self, hold: Duration, pause: Duration) {
        loop {
            let read = if hold.is_zero() {
                self.get("").await.map(|_| ())
            } else {
                self.hold(hold).await.map(|_| ())
            };
            // A refusal is counted, and gives nothing to read.
            tokio::time::sleep(if read.is_ok() { pause } else { REFUSED }).await;
        }
    }

    /// Runs until `stop` completes, and then ends the lease: no reader is left when the store
    /// learns of it.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let inner = &*self.inner;
        let session = watch::Sender::new(None);
        tokio::select! {
            () = inner.sessions(&session) => {}
            () = stop => {}
        }
        inner.end();
        inner.rcu.synchronize().await;
        let registered = *session.borrow();
        if let Some(session) = registered {
            // If this request fails, the lease ends by itself.
            if let Err(e) = inner.members.leave(session).await {
                inner.report.trouble(e);
            }
        }
        inner.report.tell(Event::Left);
    }
}

impl Inner {
    async fn read<T>(
        &self,
        seen: OwnedRcuRef<Option<Version>>,
        reading: impl AsyncFnOnce(&Version, &Files) -> T,
    ) -> Result<Answer<T>, Refusal> {
        let version = seen.as_ref().ok_or(Refusal::NoTable)?;
        if !self.lease.covers(version.session) {
            return Err(Refusal::NoLease);
        }
        let value = reading(version, &self.files).await;
        let missing = match &version.table.file {
            Some(file) => !self.files.exists(file).await.unwrap_or(false),
            None => false,
        };
        // The lease is checked last: everything before was read under it.
        if !self.lease.covers(version.session) {
            return Err(Refusal::NoLease);
        }
        if missing {
            self.violations.fetch_add(1, Ordering::Relaxed);
            self.report.tell(Event::Violation {
                revision: version.revision,
                file: version.table.file.clone().unwrap_or_default(),
            });
        }
        Ok(Answer { revision: version.revision, value })
    }

    /// Stops answering, and drops the table.
    fn end(&self) {
        self.lease.end();
        self.version.store(None);
    }

    /// Runs one session after another.
    async fn sessions(&self, current: &watch::Sender<Option<Session>>) {
        loop {
            let sent = crate::clock::now();
            match self.members.register(self.report.who(), self.ttl).await {
                Ok(registration) => {
                    let session = registration.session;
                    current.send_replace(Some(session));
                    self.lease.hold(session, sent, registration.ttl);
                    self.report.tell(Event::Registered { session });
                    let (applied, newest) = watch::channel(0);
                    let why = tokio::select! {
                        why = self.keep(session, registration.ttl) => why,
                        why = self.follow(session, &applied) => why,
                        why = self.publish(session, newest) => why,
                        () = self.tell_when_mute() => unreachable!("this future never completes"),
                    };
                    self.end();
                    current.send_replace(None);
                    if !matches!(why, Error::LeaseLost) {
                        // The updater need not wait for the rest of the lease.
                        let _ = self.members.leave(session).await;
                    }
                    self.report.tell(Event::Lost { session, why: why.to_string() });
                }
                Err(e) => self.report.trouble(e),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Keeps the lease. Returns when it is lost.
    async fn keep(&self, session: Session, ttl: Duration) -> Error {
        let mut troubled = false;
        loop {
            // If one keep-alive fails, there is time for several more before the node has to be
            // mute.
            tokio::time::sleep(if troubled { ttl / 20 } else { ttl / 4 }).await;
            let sent = crate::clock::now();
            let asked = tokio::time::timeout(ttl / 4, self.members.keep_alive(session));
            let e = match asked.await {
                Ok(Ok(())) => {
                    self.lease.hold(session, sent, ttl);
                    troubled = false;
                    continue;
                }
                Ok(Err(e @ Error::LeaseLost)) => return e,
                Ok(Err(e)) => e,
                Err(_) => Error::Unavailable("it took too long".into()),
            };
            if !troubled {
                self.report.trouble(format_args!("keep-alive failed: {e}"));
            }
            troubled = true;
        }
    }

    /// Reports when the node becomes mute. The node is mute without this report too.
    async fn tell_when_mute(&self) {
        loop {
            let since = self.lease.run_out().await;
            self.report.tell(Event::Muted { since_ns: since.as_nanos() as u64 });
            self.lease.holds().await;
            self.report.tell(Event::Unmuted);
        }
    }

    fn serve(&self, version: Version, applied: &watch::Sender<Revision>) {
        let revision = version.revision;
        self.version.store(Some(version));
        self.report.tell(Event::Serving { revision });
        applied.send_replace(revision);
    }

    /// Lists and follows. Returns if the store contradicts itself.
    async fn follow(&self, session: Session, applied: &watch::Sender<Revision>) -> Error {
        let mut why = "begins".to_owned();
        loop {
            let (revision, table) = match self.source.snapshot().await {
                Ok(listed) => listed,
                Err(e @ (Error::Unavailable(_) | Error::Conflict)) => {
                    self.report.trouble(format_args!("cannot list the table: {e}"));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(e) => return e,
            };
            let before = *applied.borrow();
            if revision < before {
                return Error::WentBack { before, now: revision };
            }
            self.report.tell(Event::Listed { revision, why });
            let mut version = Version { revision, session, table };
            self.serve(version.clone(), applied);
            why = match self.take_deltas(&mut version, applied).await {
                Ok(why) => why,
                Err(e) => return e,
            };
        }
    }

    /// Applies deltas as they come. Returns the reason why the table has to be listed again.
    async fn take_deltas(
        &self,
        version: &mut Version,
        applied: &watch::Sender<Revision>,
    ) -> Result<String, Error> {
        loop {
            let mut deltas = self.source.watch(version.revision);
            let e = loop {
                match deltas.next().await {
                    Some(Ok(delta)) => match version.step(&delta) {
                        Step::Next(next) => {
                            *version = next;
                            self.serve(version.clone(), applied);
                        }
                        Step::Old => self.report.tell(Event::Ignored { revision: delta.revision }),
                        Step::Gap => {
                            let (at, next) = (version.revision, delta.revision);
                            return Ok(format!("gap: {at} is not followed by {next}"));
                        }
                    },
                    Some(Err(e)) => break e,
                    None => break Error::Unavailable("the stream of deltas has ended".into()),
                }
            };
            match e {
                Error::Compacted { .. } => return Ok(e.to_string()),
                Error::Unavailable(_) => {
                    // All deltas so far are applied: the watch goes on after the last one.
                    self.report.trouble(format_args!("the watch has ended: {e}"));
                    tokio::time::sleep(PAUSE).await;
                }
                e => return Err(e),
            }
        }
    }

    /// Waits, after each new version, until no reader is in an older one, and publishes that.
    async fn publish(&self, session: Session, mut newest: watch::Receiver<Revision>) -> Error {
        let mut used = 0;
        loop {
            if newest.changed().await.is_err() {
                // The other end is in `sessions`, which then drops this future.
                std::future::pending::<()>().await;
            }
            let next = *newest.borrow_and_update();
            self.rcu.synchronize().await;
            // Another listing may give the same revision again.
            while used < next {
                match self.members.publish(session, next).await {
                    Ok(()) => {
                        used = next;
                        self.report.tell(Event::Used { revision: used });
                    }
                    Err(Error::Unavailable(e)) => {
                        self.report.trouble(format_args!("cannot publish: {e}"));
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(e) => return e,
                }
            }
        }
    }
}
