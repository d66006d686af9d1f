//! The updater: it changes the table, and deletes the files that no process uses any more.
//!
//! # A change
//! 1. The updater writes the file of the next version.
//! 2. It commits the change as revision N: the entries, the name of the new file, and the old file
//!    on the list of retired files. The commit is all or nothing. It succeeds only while the
//!    updater is in office, and only if the table is still the version that the change was made
//!    for.
//! 3. It asks for the live nodes. This is after the commit, so a node that is not among them lists
//!    the table later, and gets N or newer. The updater waits until each live node has published
//!    that it uses nothing older than N, or its lease has ended.
//! 4. Now *no process uses anything older than N*. The updater deletes the retired files that N and
//!    earlier commits replaced, and takes them off the list.
//!
//! Steps 3 and 4 are a task of their own, and changes go on meanwhile. The task waits once for all
//! changes that were committed while it waited, as callbacks share a grace period.
//!
//! # The death of an updater
//! The office is a lease. The successor finds the list of retired files and begins at step 3. A
//! file that is neither current nor on the list comes from an updater that died between steps 1 and
//! 2. No other updater can commit it any more, so the successor deletes it. A file on the list that
//! does not exist was deleted by an updater that died in step 4.

use crate::files::Files;
use crate::model::{Change, Revision, Session, Table};
use crate::report::{Event, Reporter};
use crate::store::{Draft, Error, Member, Retired, Store, Term};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const PAUSE: Duration = Duration::from_millis(100);

/// The reason why an updater ends.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The store reported an error.
    #[error(transparent)]
    Store(#[from] Error),
    /// A file could not be written.
    #[error("files: {0}")]
    Files(#[from] io::Error),
}

/// An updater in office.
#[derive(Debug)]
pub struct Updater {
    shared: Arc<Shared>,
    table: Table,
    written: u64,
    retired: Option<mpsc::UnboundedSender<Retired>>,
    /// The task that stays in office.
    keeper: JoinHandle<()>,
    /// The task that waits and deletes. It ends when `retired` is closed and all is done.
    reaper: JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn Store>,
    files: Files,
    report: Reporter,
    term: Term,
    /// Becomes `true` once.
    deposed: watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("term", &self.term).finish_non_exhaustive()
    }
}

/// Repeats a request until the store answers. The store may execute the request twice, so the
/// second execution must do no harm.
async fn insist<T, F: Future<Output = Result<T, Error>>>(
    report: &Reporter,
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    loop {
        match ask().await {
            Err(e @ Error::Unavailable(_)) => {
                report.trouble(e);
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

impl Updater {
    /// Waits for the office, takes it, and [takes over](Self::take_over) the work that the
    /// predecessor left.
    pub async fn take_office(
        store: Arc<dyn Store>,
        files: Files,
        report: Reporter,
        ttl: Duration,
    ) -> Result<Self, Failed> {
        let mut updater = Self::enter_office(store, files, report, ttl).await?;
        updater.take_over().await?;
        Ok(updater)
    }

    /// Waits for the office and takes it. The updater cannot change the table before
    /// [`take_over`](Self::take_over).
    pub async fn enter_office(
        store: Arc<dyn Store>,
        files: Files,
        report: Reporter,
        ttl: Duration,
    ) -> Result<Self, Failed> {
        let mut waits_for = None;
        let term = loop {
            match store.take_office(report.who(), ttl).await {
                Ok(term) => break term,
                Err(Error::Occupied { holder }) => {
                    if waits_for.as_ref() != Some(&holder) {
                        report.tell(Event::Waits { holder: holder.clone() });
                        waits_for = Some(holder);
                    }
                    // Ten polls in the time of a lease are enough: another updater leaves, or its
                    // lease ends.
                    tokio::time::sleep(ttl / 10).await;
                }
                Err(e @ Error::Unavailable(_)) => {
                    report.trouble(e);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) => return Err(e.into()),
            }
        };
        report.tell(Event::Office { term });
        let shared =
            Arc::new(Shared { store, files, report, term, deposed: watch::Sender::new(false) });
        let keeper = tokio::spawn(Arc::clone(&shared).keep(ttl));
        let (retired, to_reap) = mpsc::unbounded_channel();
        let reaper = tokio::spawn(Arc::clone(&shared).reap(to_reap));
        Ok(Self {
            shared,
            table: Table::default(),
            written: 0,
            retired: Some(retired),
            keeper,
            reaper,
        })
    }

    /// Reads the table and the list of retired files, and deletes the files that no version names.
    pub async fn take_over(&mut self) -> Result<(), Failed> {
        let Shared { store, files, report, .. } = &*self.shared;
        // The order matters: a file that was current in the listing can have become a retired file
        // since, but only through this updater.
        self.table = insist(report, || store.snapshot()).await?.1;
        let retired = insist(report, || store.retired()).await?;
        for file in files.list().await? {
            let named =
                self.table.file.as_ref() == Some(&file) || retired.iter().any(|r| r.file == file);
            if !named && files.delete(&file).await? {
                report.tell(Event::Orphan { file });
            }
        }
        if let Some(revision) = retired.iter().map(|retired| retired.since).max() {
            report.tell(Event::Inherited { files: retired.len(), revision });
        }
        for retired in retired {
            self.to_reaper(retired);
        }
        Ok(())
    }

    fn to_reaper(&self, retired: Retired) {
        if let Some(to) = &self.retired {
            // If the reaper has ended, this updater is deposed, and the successor finds the file on
            // the list.
            let _ = to.send(retired);
        }
    }

    /// Returns the table after the last change.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Waits until the office is lost.
    pub async fn deposed(&self) {
        // The sender is in `self`.
        let _ = self.shared.deposed.subscribe().wait_for(|deposed| *deposed).await;
    }

    /// Changes the table. The old file is deleted later.
    pub async fn put(&mut self, changes: Vec<Change>) -> Result<Revision, Failed> {
        let Shared { store, files, report, term, .. } = &*self.shared;
        self.written += 1;
        let file = Files::name(*term, self.written);
        let table = self.table.with(&changes, &file);
        files.write(&file, &table).await?;
        let draft = Draft { replaces: self.table.file.clone(), file: file.clone(), changes };
        let mut unsure = false;
        let revision = loop {
            let e = match store.put(*term, &draft).await {
                Ok(revision) => break revision,
                Err(e @ (Error::Unavailable(_) | Error::Conflict | Error::Deposed)) => e,
                Err(e) => return Err(e.into()),
            };
            unsure |= matches!(e, Error::Unavailable(_));
            if unsure {
                // The change may have been committed all the same: then the file is current.
                let (revision, now) = insist(report, || store.snapshot()).await?;
                if now.file.as_ref() == Some(&file) {
                    break revision;
                }
            }
            // The change was not committed. If it is still on its way, only one of the two commits
            // can find the file that it replaces.
            if !matches!(e, Error::Unavailable(_)) {
                return Err(e.into());
            }
            report.trouble(e);
        };
        report.tell(Event::Put { revision, file });
        self.table = table;
        if let Some(file) = draft.replaces {
            self.to_reaper(Retired { file, since: revision });
        }
        Ok(revision)
    }

    /// Waits until no process uses anything older than `revision`, which was committed.
    pub async fn grace_period(&self, revision: Revision) -> Result<(), Error> {
        self.shared.grace_period(revision).await
    }

    /// Waits until all retired files are deleted, and leaves office.
    pub async fn finish(mut self) -> Result<(), Failed> {
        self.retired = None;
        let mut deposed = self.shared.deposed.subscribe();
        tokio::select! {
            done = &mut self.reaper => done.map_err(io::Error::other)?,
            _ = deposed.wait_for(|deposed| *deposed) => return Err(Error::Deposed.into()),
        }
        self.leave().await;
        Ok(())
    }

    /// Leaves office at once. The files to delete stay on the list.
    pub async fn leave(self) {
        self.keeper.abort();
        self.reaper.abort();
        let Shared { store, report, term, .. } = &*self.shared;
        // If this request fails, the term ends by itself.
        if let Err(e) = store.resign(*term).await {
            report.trouble(e);
        }
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        self.keeper.abort();
        self.reaper.abort();
    }
}

impl Shared {
    async fn keep(self: Arc<Self>, ttl: Duration) {
        loop {
            tokio::time::sleep(ttl / 4).await;
            match self.store.stay(self.term).await {
                Ok(()) => {}
                Err(Error::Deposed) => break,
                Err(e) => self.report.trouble(format_args!("cannot prolong the term: {e}")),
            }
        }
        self.report.tell(Event::Deposed);
        self.deposed.send_replace(true);
    }

    async fn reap(self: Arc<Self>, mut from: mpsc::UnboundedReceiver<Retired>) {
        let mut batch = Vec::new();
        while from.recv_many(&mut batch, usize::MAX).await > 0 {
            if let Err(e) = self.reap_batch(std::mem::take(&mut batch)).await {
                // The remaining files are on the list.
                self.report.trouble(format_args!("cannot delete files: {e}"));
                return;
            }
        }
    }

    async fn reap_batch(&self, batch: Vec<Retired>) -> Result<(), Failed> {
        let Some(newest) = batch.iter().map(|retired| retired.since).max() else {
            return Ok(());
        };
        self.grace_period(newest).await?;
        for Retired { file, .. } in batch {
            self.files.delete(&file).await?;
            self.report.tell(Event::Deleted { file: file.clone() });
            insist(&self.report, || self.store.forget(self.term, &file)).await?;
        }
        if self.store.owns_log() {
            // All nodes are at `newest`, or list the table before they go on.
            insist(&self.report, || self.store.compact(newest)).await?;
        }
        Ok(())
    }

    async fn grace_period(&self, revision: Revision) -> Result<(), Error> {
        // The nodes that the updater waits for; unknown until the first answer of the store.
        let mut waits: Option<BTreeMap<Session, String>> = None;
        loop {
            let mut lists = self.store.live();
            let e = loop {
                match lists.next().await {
                    Some(Ok(members)) => {
                        let left = self.still(revision, waits.take(), &members);
                        if left.is_empty() {
                            self.report.tell(Event::Quiet { revision });
                            return Ok(());
                        }
                        waits = Some(left);
                    }
                    Some(Err(e)) => break e,
                    None => break Error::Unavailable("the stream of nodes has ended".into()),
                }
            };
            match e {
                Error::Unavailable(_) | Error::Compacted { .. } => {
                    self.report.trouble(format_args!("the wait for nodes is interrupted: {e}"));
                    tokio::time::sleep(PAUSE).await;
                }
                e => return Err(e),
            }
        }
    }

    /// Returns the nodes that are live and may use something older: among those waited for, or at
    /// first among all nodes.
    fn still(
        &self,
        revision: Revision,
        waits: Option<BTreeMap<Session, String>>,
        members: &[Member],
    ) -> BTreeMap<Session, String> {
        let behind = |m: &&Member| m.used < revision;
        let Some(mut waits) = waits else {
            let first: BTreeMap<_, _> =
                members.iter().filter(behind).map(|m| (m.session, m.name.clone())).collect();
            if !first.is_empty() {
                let nodes = first.values().cloned().collect();
                self.report.tell(Event::Waiting { revision, nodes });
            }
            return first;
        };
        waits.retain(|&session, name| match members.iter().find(|m| m.session == session) {
            Some(member) => behind(&member),
            None => {
                self.report.tell(Event::Gone { node: name.clone(), session });
                false
            }
        });
        waits
    }
}
