//! What is asked of a store, in three parts, and the stores that do it.
//!
//! - [`TableSource`]: the table as it is, and what changes. A node needs no more to serve it.
//! - [`Membership`]: leases, and what each live node has published under its own.
//! - [`Ledger`]: the updater's office, its changes, and the list of files that are to be deleted.
//!
//! All consensus is the store's: each of its answers is to be linearizable, that is, to show all that was committed before
//! the question was asked.

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

/// What a store says when it does not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Deltas after this revision are not kept any more.
    #[error("compacted: what came after {after} is not kept any more")]
    Compacted {
        /// From where they were asked for.
        after: Revision,
    },
    /// The lease has ended. It stays so.
    #[error("the lease has ended")]
    LeaseLost,
    /// Somebody else is in office.
    #[error("{holder} is in office")]
    Occupied {
        /// Who.
        holder: String,
    },
    /// The term is over. It stays so.
    #[error("not in office any more")]
    Deposed,
    /// The table is not the one that the change was made for.
    #[error("the table was changed by somebody else")]
    Conflict,
    /// Not now; what was asked for may have been done or not. To be tried again.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The store is behind what it has said before: it was restored from a copy, or is another one.
    #[error("the store is at {now}, and was at {before} before")]
    WentBack {
        /// What was seen.
        before: Revision,
        /// What is there.
        now: Revision,
    },
    /// What lies there was not written by this program.
    #[error("not understood: {0}")]
    Corrupt(String),
    /// A store that cannot be used at all.
    #[error("{0}")]
    Usage(String),
}

/// For results of stores.
pub type Result<T> = std::result::Result<T, Error>;

/// The table and its changes.
#[async_trait]
pub trait TableSource: Send + Sync + 'static {
    /// The table as it is now, and a revision at which it is so.
    async fn snapshot(&self) -> Result<(Revision, Table)>;

    /// All commits after this revision, in order: those that were, and those that will be. Ends with the first error.
    /// [`Error::Compacted`] where they are not kept; any other may be tried again from what has arrived.
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>>;
}

/// What registering gives.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// Its name.
    pub session: Session,
    /// How long the lease lasts without being prolonged: what was asked for, or more.
    pub ttl: Duration,
}

/// A live node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Of this registration.
    pub session: Session,
    /// What the process is called.
    pub name: String,
    /// It uses nothing older than this. 0: it has said nothing yet.
    pub used: Revision,
}

/// Nodes and their leases.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// Adds a node under a new lease.
    async fn register(&self, name: &str, ttl: Duration) -> Result<Registration>;

    /// Prolongs the lease. [`Error::LeaseLost`] where it has ended, and from then on always.
    async fn keep_alive(&self, session: Session) -> Result<()>;

    /// Says that the node uses nothing older. [`Error::LeaseLost`] as above.
    async fn publish(&self, session: Session, used: Revision) -> Result<()>;

    /// Ends the lease at once.
    async fn leave(&self, session: Session) -> Result<()>;

    /// The live nodes: first as they are once this is polled, then after each change. A node that is missing has lost its
    /// lease, and will hear so. Ends with the first error, to be asked anew.
    fn live(&self) -> BoxStream<'static, Result<Vec<Member>>>;
}

/// A term of office: its number, unique for ever.
pub type Term = i64;

/// A change of the table.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The file of the version that it was made for: if another is current, it is refused.
    pub replaces: Option<String>,
    /// The file of the version that it makes. It exists.
    pub file: String,
    /// What changes.
    pub changes: Vec<Change>,
}

/// A file that is current no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its name.
    pub file: String,
    /// The first revision that does not need it.
    pub since: Revision,
}

/// The updater's side.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Takes the office for `ttl`, or says who has it.
    async fn take_office(&self, name: &str, ttl: Duration) -> Result<Term>;

    /// Prolongs the term.
    async fn stay(&self, term: Term) -> Result<()>;

    /// Ends it.
    async fn resign(&self, term: Term) -> Result<()>;

    /// Changes the table and puts the file that was current on the list of retired ones: both or neither, and only in
    /// office.
    async fn put(&self, term: Term, draft: &Draft) -> Result<Revision>;

    /// The list of retired files.
    async fn retired(&self) -> Result<Vec<Retired>>;

    /// Takes a file off that list.
    async fn forget(&self, term: Term, file: &str) -> Result<()>;

    /// Drops the deltas up to this revision.
    async fn compact(&self, through: Revision) -> Result<()>;

    /// Whether the log of deltas is this program's alone, so that the updater may drop what no node needs. In etcd it
    /// belongs to all who use that etcd, and has a policy of its own.
    fn owns_log(&self) -> bool;
}

/// All of it.
pub trait Store: TableSource + Membership + Ledger {}
impl<S: TableSource + Membership + Ledger> Store for S {}

/// Opens the store of this URL: `etcd://HOST:PORT[,HOST:PORT..]` or `postgres://..`. Several tables can lie in one store,
/// under different prefixes. A question is given up after `patience`.
pub async fn open(url: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    let known = prefix
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !known || !prefix.starts_with(|c: char| c.is_ascii_lowercase()) || prefix.len() > 40 {
        return Err(Error::Usage(format!(
            "--prefix {prefix:?}: a to z, 0 to 9 and _, a letter first, at most 40 of them"
        )));
    }
    if let Some(hosts) = url.strip_prefix("etcd://") {
        return open_etcd(hosts, prefix, patience).await;
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return open_postgres(url, prefix, patience).await;
    }
    Err(Error::Usage(format!(
        "--store {url:?}: etcd://HOST:PORT or postgres://USER@HOST/DATABASE"
    )))
}

#[cfg(feature = "etcd")]
async fn open_etcd(hosts: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(etcd::Etcd::open(hosts, prefix, patience).await?))
}

#[cfg(not(feature = "etcd"))]
async fn open_etcd(_: &str, _: &str, _: Duration) -> Result<Arc<dyn Store>> {
    Err(Error::Usage("built without etcd: --features etcd".into()))
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, prefix: &str, patience: Duration) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(
        postgres::Postgres::open(url, prefix, patience).await?,
    ))
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_: &str, _: &str, _: Duration) -> Result<Arc<dyn Store>> {
    Err(Error::Usage(
        "built without postgres: --features postgres".into(),
    ))
}
