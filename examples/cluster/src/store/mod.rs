//! The contract of a store, in three parts, and the stores.
//!
//! - [`TableSource`]: the table and its changes. A node needs no more to serve the table.
//! - [`Membership`]: leases, and the publications of the live nodes.
//! - [`Ledger`]: the updater's office, its changes, and the list of retired files.
//!
//! The store does all consensus: each of its answers must be linearizable, that is, show all that
//! was committed before the request.

#[cfg(feature = "etcd")]
pub mod etcd;
pub mod faulty;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;

use crate::model::{Change, Delta, Revision, Session, Table};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;

/// The error of a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store has dropped deltas after this revision.
    #[error("compacted: the store has dropped changes after {after}")]
    Compacted {
        /// The revision after which deltas were requested.
        after: Revision,
    },
    /// The lease has ended for ever.
    #[error("the lease has ended")]
    LeaseLost,
    /// Another updater is in office.
    #[error("{holder} is in office")]
    Occupied {
        /// The name of that updater.
        holder: String,
    },
    /// The term has ended for ever.
    #[error("not in office any more")]
    Deposed,
    /// The table is not the version that the change was made for.
    #[error("another updater has changed the table")]
    Conflict,
    /// The store did not answer. The request may have been done or not, and should be tried again.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The store has gone back: it was restored from a copy, or it is another store.
    #[error("the store has gone back from revision {before} to {now}: it was restored or replaced")]
    WentBack {
        /// The revision that was seen before.
        before: Revision,
        /// The revision of the store now.
        now: Revision,
    },
    /// The data in the store does not come from this program.
    #[error("the store has data that this program did not write: {0}")]
    Corrupt(String),
    /// The store cannot be used with these options.
    #[error("{0}")]
    Usage(String),
}

/// The result of a store's operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The table and its changes.
#[async_trait]
pub trait TableSource: Send + Sync + 'static {
    /// Returns the current table, and a revision at which it is current.
    async fn snapshot(&self) -> Result<(Revision, Table)>;

    /// Streams all commits after this revision, in order: the past and the future ones. The stream
    /// ends with the first error. [`Error::Compacted`] means that the deltas are dropped. After
    /// another error, the caller may continue from the last delta.
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>>;
}

/// A registration.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The number of the registration.
    pub session: Session,
    /// The time of the lease without a keep-alive: the requested time or more.
    pub ttl: Duration,
}

/// A live node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The number of the registration.
    pub session: Session,
    /// The name of the process.
    pub name: String,
    /// The node uses nothing older than this. 0 before its first publication.
    pub used: Revision,
}

/// Nodes and their leases.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// Adds a node under a new lease.
    async fn register(&self, name: &str, ttl: Duration) -> Result<Registration>;

    /// Prolongs the lease. Returns [`Error::LeaseLost`] if the lease has ended, and at every later
    /// call.
    async fn keep_alive(&self, session: Session) -> Result<()>;

    /// Publishes that the node uses nothing older. Returns [`Error::LeaseLost`] as above.
    async fn publish(&self, session: Session, used: Revision) -> Result<()>;

    /// Ends the lease at once.
    async fn leave(&self, session: Session) -> Result<()>;

    /// Streams the live nodes: the current nodes at the first poll, and again after each change. A
    /// node that is missing has lost its lease, and will learn this from the store. The stream ends
    /// with the first error; the caller may open it again.
    fn live(&self) -> BoxStream<'static, Result<Vec<Member>>>;
}

/// The number of a term of office, unique for ever.
pub type Term = i64;

/// A change of the table.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file of the version that the change was made for. If another file is current, the change
    /// is refused.
    pub replaces: Option<String>,
    /// The file of the new version, which exists.
    pub file: String,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A file that is not current any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its name.
    pub file: String,
    /// The first revision that does not need the file.
    pub since: Revision,
}

/// The updater's part of the store.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Takes the office for `ttl`, or returns its holder as an error.
    async fn take_office(&self, name: &str, ttl: Duration) -> Result<Term>;

    /// Prolongs the term.
    async fn stay(&self, term: Term) -> Result<()>;

    /// Ends the term.
    async fn resign(&self, term: Term) -> Result<()>;

    /// Changes the table and puts the old file on the list of retired files. The store does both or
    /// neither, and only while the updater is in office.
    async fn put(&self, term: Term, draft: &Draft) -> Result<Revision>;

    /// Returns the list of retired files.
    async fn retired(&self) -> Result<Vec<Retired>>;

    /// Takes a file off that list.
    async fn forget(&self, term: Term, file: &str) -> Result<()>;

    /// Drops the deltas up to this revision.
    async fn compact(&self, through: Revision) -> Result<()>;

    /// Returns whether the log of deltas belongs to this program alone, so that the updater may
    /// drop deltas that no node needs. In etcd the log belongs to all its users, and has a policy
    /// of its own.
    fn owns_log(&self) -> bool;
}

/// A whole store.
pub trait Store: TableSource + Membership + Ledger {}
impl<S: TableSource + Membership + Ledger> Store for S {}

/// Opens the store of this URL: `etcd://HOST:PORT[,HOST:PORT..]` or `postgres://..`. A store can
/// hold several tables, under different prefixes. A request fails after `patience`.
pub async fn open(url: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    let known = prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !known || !prefix.starts_with(|c: char| c.is_ascii_lowercase()) || prefix.len() > 40 {
        return Err(Error::Usage(format!(
            "--prefix {prefix:?}: use a to z, 0 to 9 and _, beginning with a letter, at most 40 \
             characters"
        )));
    }
    if let Some(hosts) = url.strip_prefix("etcd://") {
        return open_etcd(hosts, prefix, patience).await;
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return open_postgres(url, prefix, patience).await;
    }
    Err(Error::Usage(format!(
        "--store {url:?}: use etcd://HOST:PORT or postgres://USER@HOST/DATABASE"
    )))
}

#[cfg(feature = "etcd")]
async fn open_etcd(hosts: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(etcd::Etcd::open(hosts, prefix, patience).await?))
}

#[cfg(not(feature = "etcd"))]
async fn open_etcd(_: &str, _: &str, _: Duration) -> Result<Arc<dyn Store>> {
    Err(Error::Usage("this build has no etcd: build with --features etcd".into()))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(postgres::Postgres::open(url, prefix, patience).await?))
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_: &str, _: &str, _: Duration) -> Result<Arc<dyn Store>> {
    Err(Error::Usage("this build has no Postgres: build with --features postgres".into()))
}
