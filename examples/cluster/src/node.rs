//! A process that holds the table and answers from it.
//!
//! # Session by session
//! 1. Register under a lease. From here on an updater that changes the table waits for this node.
//! 2. List the table. The store's answer holds all that was committed before the question, so all changes that an updater
//!    made without seeing this node are in it.
//! 3. Follow the deltas; each makes the next version, which readers see at once. Old ones are ignored. A gap, or deltas
//!    that the store does not keep any more: list again.
//! 4. Beside that: whenever a version was put in place, `synchronize().await`, and publish that nothing older is in use.
//!    Versions that come while a grace period is under way share the next one.
//! 5. Beside that: keep the lease. When the store says that it has ended, drop the table and begin at 1.
//!
//! # Why a cell of an immutable map
//! An `RcuMap` changed in place would take a delta for less, but a reader could find one key of revision N and the next of
//! N + 1, and there would be no one version whose file it may use. A cell gives each reader one version, whole; the map shares
//! what did not change with its predecessor, so the next one costs O(log n) per changed key.
//!
//! # Answers
//! An answer is given only if the lease under which its version was read covers the end of the reading too. A process that
//! was stopped in the middle, for longer than its lease, so refuses when it goes on.

use crate::files::Files;
use crate::lease::Lease;
use crate::model::{Revision, Session, Step, Version};
use crate::report::{Event, Reporter};
use crate::store::{Error, Membership, TableSource};
use async_rcu::{OwnedRcuRef, Rcu, RcuCell};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long to leave a store alone that did not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// How long to leave a node alone that did not answer.
const REFUSED: Duration = Duration::from_millis(5);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The lease may have ended, so nobody may be waiting for this node.
    #[error("this node has no lease, and does not answer until it has one")]
    NoLease,
    /// Not listed yet.
    #[error("this node has not listed the table yet")]
    NoTable,
}

/// An answer, and the revision that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// Of the table.
    pub revision: Revision,
    /// What was asked for.
    pub value: T,
}

/// A node. Clones are the same one.
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
        f.debug_struct("Node")
            .field("lease", &self.inner.lease)
            .finish_non_exhaustive()
    }
}

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// The version that it would answer from.
    pub revision: Option<Revision>,
    /// Whether it would.
    pub answers: bool,
    /// How many answers it gave.
    pub answered: u64,
    /// How many it refused.
    pub refused: u64,
    /// How often it found a version's file missing under a lease.
    pub violations: u64,
}

impl Node {
    /// A node that is named and heard by `report`, in a domain of its own: nodes of one process do not wait for each other's
    /// readers.
    pub fn new(
        report: Reporter,
        files: Files,
        source: Arc<dyn TableSource>,
        members: Arc<dyn Membership>,
        ttl: Duration,
    ) -> Result<Self, async_rcu::BuildError> {
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

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Answer<Option<String>>, Refusal> {
        self.with(async |version| version.table.get(key).map(str::to_owned))
            .await
    }

    /// The file of the version, as it lies on the disk.
    pub async fn file(&self) -> Result<Answer<Option<Vec<u8>>>, Refusal> {
        self.read(async |version, files| match &version.table.file {
            Some(file) => files.read(file).await.ok(),
            None => None,
        })
        .await
    }

    /// Keeps one version in use for a while, as a slow request does.
    pub async fn hold(&self, time: Duration) -> Result<Answer<()>, Refusal> {
        self.with(async |_| tokio::time::sleep(time).await).await
    }

    /// Reads one version, at whatever pace: it is in use, and its file is there, until `reading` has ended.
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
        let count = if result.is_ok() {
            &inner.answered
        } else {
            &inner.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let seen = inner.version.read();
        Status {
            revision: seen.as_ref().map(|version| version.revision),
            answers: seen
                .as_ref()
                .is_some_and(|version| inner.lease.covers(version.session)),
            answered: inner.answered.load(Ordering::Relaxed),
            refused: inner.refused.load(Ordering::Relaxed),
            violations: inner.violations.load(Ordering::Relaxed),
        }
    }

    /// Reads without end, holding each version for `hold`, with `pause` between.
    pub async fn read_on(&self, hold: Duration, pause: Duration) {
        loop {
            let read = if hold.is_zero() {
                self.get("").await.map(|_| ())
            } else {
                self.hold(hold).await.map(|_| ())
            };
            // A refusal is counted; there is nothing to read then.
            tokio::time::sleep(if read.is_ok() { pause } else { REFUSED }).await;
        }
    }

    /// Runs until `stop` ends, then lets go of the lease in good order: no reader is left when the store hears of it.
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
            // If this does not get through, the lease ends by itself.
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
        // Looked at last: what was read before this was read under the lease.
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
        Ok(Answer {
            revision: version.revision,
            value,
        })
    }

    /// No answers from here on, and nothing to answer from.
    fn end(&self) {
        self.lease.end();
        self.version.store(None);
    }

    /// Session after session.
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
                        () = self.tell_when_mute() => unreachable!("it has no end"),
                    };
                    self.end();
                    current.send_replace(None);
                    if !matches!(why, Error::LeaseLost) {
                        // Nobody needs to wait for the rest of it.
                        let _ = self.members.leave(session).await;
                    }
                    self.report.tell(Event::Lost {
                        session,
                        why: why.to_string(),
                    });
                }
                Err(e) => self.report.trouble(e),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Keeps the lease; ends when it is lost.
    async fn keep(&self, session: Session, ttl: Duration) -> Error {
        let mut troubled = false;
        loop {
            // Where one fails there is time for several more before the node has to be mute.
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
                Err(_) => Error::Unavailable("it takes too long".into()),
            };
            if !troubled {
                self.report.trouble(format_args!("keep-alive: {e}"));
            }
            troubled = true;
        }
    }

    /// Tells it; that it *is* mute needs nobody to tell it.
    async fn tell_when_mute(&self) {
        loop {
            let since = self.lease.run_out().await;
            self.report.tell(Event::Muted {
                since_ns: since.as_nanos() as u64,
            });
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

    /// Lists and follows; ends where the store makes no sense any more.
    async fn follow(&self, session: Session, applied: &watch::Sender<Revision>) -> Error {
        let mut why = "begins".to_owned();
        loop {
            let (revision, table) = match self.source.snapshot().await {
                Ok(listed) => listed,
                Err(e @ (Error::Unavailable(_) | Error::Conflict)) => {
                    self.report.trouble(format_args!("listing: {e}"));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(e) => return e,
            };
            let before = *applied.borrow();
            if revision < before {
                return Error::WentBack {
                    before,
                    now: revision,
                };
            }
            self.report.tell(Event::Listed { revision, why });
            let mut version = Version {
                revision,
                session,
                table,
            };
            self.serve(version.clone(), applied);
            why = match self.take_deltas(&mut version, applied).await {
                Ok(why) => why,
                Err(e) => return e,
            };
        }
    }

    /// Takes deltas as they come; ends with the reason why the table has to be listed again.
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
                        Step::Old => self.report.tell(Event::Ignored {
                            revision: delta.revision,
                        }),
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
                    // What has arrived is good: go on after it.
                    self.report.trouble(format_args!("watching: {e}"));
                    tokio::time::sleep(PAUSE).await;
                }
                e => return Err(e),
            }
        }
    }

    /// After each version that was put in place: waits until no reader is in an older one, and publishes that.
    async fn publish(&self, session: Session, mut newest: watch::Receiver<Revision>) -> Error {
        let mut used = 0;
        loop {
            if newest.changed().await.is_err() {
                // The other end is in `sessions`, which then drops this future.
                std::future::pending::<()>().await;
            }
            let next = *newest.borrow_and_update();
            self.rcu.synchronize().await;
            // Listing again may give the same revision again.
            while used < next {
                match self.members.publish(session, next).await {
                    Ok(()) => {
                        used = next;
                        self.report.tell(Event::Used { revision: used });
                    }
                    Err(Error::Unavailable(e)) => {
                        self.report.trouble(format_args!("publishing: {e}"));
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(e) => return e,
                }
            }
        }
    }
}
