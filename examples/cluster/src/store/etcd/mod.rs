//! The store in etcd.
//!
//! | key, below the prefix | value | lease |
//! |---|---|---|
//! | `t/head` | the file of the current version, and the revision before it | |
//! | `t/e/KEY` | an entry's value | |
//! | `retired/FILE` | empty; its revision is that of the commit that replaced the file | |
//! | `node/SESSION` | the node's name, and what it uses | the node's; its number is the session |
//! | `office` | the name of the updater in office | the updater's; the key's first revision is the term |
//!
//! A change is one transaction, so its keys have one revision, and etcd sends the events of one
//! revision in one message. The change is refused unless `office` is still the key of this term,
//! and `head` is still the version that was read. Reads are etcd's default reads, which are
//! linearizable.
//!
//! After a request that was not answered in time, the next request uses a new connection: the old
//! one may lead to a host that cannot be reached any more.

mod ledger;
mod nodes;
mod table;

use super::{Error, Result};
use crate::model::{Revision, Session};
use etcd_client::{Client, ConnectOptions, WatchOptions, WatchResponse, WatchStream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time between checks of a silent connection. etcd closes connections that are checked more
/// often than every five seconds.
const PING: Duration = Duration::from_secs(6);

#[derive(Serialize, Deserialize)]
struct Head {
    file: String,
    previous: Revision,
}

/// The result of the etcd library.
type EtcdResult<T> = std::result::Result<T, etcd_client::Error>;

struct Shared {
    endpoints: Vec<String>,
    patience: Duration,
    prefix: String,
    client: Mutex<Option<Client>>,
    /// The names of nodes, for publications. Another process registered a node whose name is not
    /// here.
    names: Mutex<BTreeMap<Session, String>>,
}

/// A client of etcd.
#[derive(Clone)]
pub struct Etcd {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("endpoints", &self.shared.endpoints).finish_non_exhaustive()
    }
}

fn unavailable(e: etcd_client::Error) -> Error {
    match e {
        etcd_client::Error::GRpcStatus(status) => Error::Unavailable(status.message().to_owned()),
        e => Error::Unavailable(e.to_string()),
    }
}

/// Returns whether etcd says that a lease has ended.
fn lease_gone(e: &etcd_client::Error) -> bool {
    matches!(e, etcd_client::Error::GRpcStatus(status) if status.message().contains("requested \
                                                                                     lease not \
                                                                                     found"))
}

fn corrupt(what: &str, e: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("{what}: {e}"))
}

fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| corrupt("etcd", e))
}

impl Etcd {
    /// Makes a client of `hosts`, `HOST:PORT[,HOST:PORT..]`. It connects at the first request.
    pub async fn open(hosts: &str, prefix: &str, patience: Duration) -> Result<Self> {
        let etcd = Self {
            shared: Arc::new(Shared {
                endpoints: hosts.split(',').map(|host| format!("http://{host}")).collect(),
                patience,
                prefix: format!("{prefix}/"),
                client: Mutex::default(),
                names: Mutex::default(),
            }),
        };
        // A request that no server can answer fails at once.
        etcd.client().await.map_err(|e| Error::Usage(e.to_string()))?;
        Ok(etcd)
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.shared.prefix)
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<Session, String>> {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Client>> {
        self.shared.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn client(&self) -> Result<Client> {
        let known = self.kept().clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let options = ConnectOptions::new()
            .with_connect_timeout(self.shared.patience)
            .with_keep_alive(PING, self.shared.patience)
            // A member that has lost its leader reports an error, instead of keeping watches
            // silent.
            .with_require_leader(true);
        let client =
            Client::connect(&self.shared.endpoints, Some(options)).await.map_err(unavailable)?;
        *self.kept() = Some(client.clone());
        Ok(client)
    }

    /// Sends a request, which fails after the store's patience.
    async fn ask<T>(&self, ask: impl AsyncFnOnce(&mut Client) -> EtcdResult<T>) -> Result<T> {
        self.ask_raw(ask).await?.map_err(unavailable)
    }

    async fn ask_raw<T>(
        &self,
        ask: impl AsyncFnOnce(&mut Client) -> EtcdResult<T>,
    ) -> Result<EtcdResult<T>> {
        let mut client = self.client().await?;
        match tokio::time::timeout(self.shared.patience, ask(&mut client)).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                *self.kept() = None;
                Err(Error::Unavailable("no answer in time".into()))
            }
        }
    }

    /// Watches the commits after a revision, or from now on.
    async fn watch_prefix(&self, prefix: String, after: Option<Revision>) -> Result<WatchStream> {
        self.ask(async |client| {
            let start = after.map_or(0, |after| after + 1);
            let options = WatchOptions::new().with_prefix().with_start_revision(start);
            client.watch(prefix, Some(options)).await
        })
        .await
    }

    /// Prolongs a lease. Returns whether the lease existed.
    async fn prolong(&self, lease: i64) -> Result<bool> {
        let asked = self.ask_raw(async |client| client.lease_keep_alive(lease).await).await?;
        match asked {
            Ok(_) => Ok(true),
            Err(e) if lease_gone(&e) => Ok(false),
            // The library's own error is a text, so the store decides what it means.
            Err(etcd_client::Error::LeaseKeepAliveError(_)) => {
                let left = self
                    .ask(async |client| client.lease_time_to_live(lease, None).await)
                    .await?
                    .ttl();
                if left > 0 {
                    Err(Error::Unavailable("keep-alive failed".into()))
                } else {
                    Ok(false)
                }
            }
            Err(e) => Err(unavailable(e)),
        }
    }

    /// Makes a lease, and returns it with its time, which etcd counts in seconds.
    async fn grant(&self, ttl: Duration) -> Result<(i64, Duration)> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1);
        let granted = self.ask(async |client| client.lease_grant(seconds, None).await).await?;
        Ok((granted.id(), Duration::from_secs(granted.ttl().unsigned_abs())))
    }

    async fn revoke(&self, lease: i64) -> Result<()> {
        match self.ask_raw(async |client| client.lease_revoke(lease).await).await? {
            Ok(_) => Ok(()),
            Err(e) if lease_gone(&e) => Ok(()),
            Err(e) => Err(unavailable(e)),
        }
    }
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> Revision {
    header.map_or(0, |header| header.revision())
}

/// Returns the next message of a watch.
async fn next(watch: &mut WatchStream, after: Revision) -> Result<WatchResponse> {
    match watch.message().await.map_err(unavailable)? {
        Some(message) if message.compact_revision() > 0 => Err(Error::Compacted { after }),
        Some(message) if message.canceled() => {
            Err(Error::Unavailable(format!("watch cancelled: {}", message.cancel_reason())))
        }
        Some(message) => Ok(message),
        None => Err(Error::Unavailable("the connection has ended".into())),
    }
}
