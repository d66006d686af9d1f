//! The table in use, where it comes from, and how another one takes its place.
//!
//! Requests read the table through an `RcuCell`: they never wait, neither for each other nor for a reload. A reload
//! parses on a blocking thread, swaps, and is done; the old table is freed after a grace period, when the last request
//! that could still see it has been answered. Only reloads wait for one another.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_rcu::{Rcu, RcuCell, Retired};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use crate::lookups::Lookups;
use crate::parse::{self, LoadError};
use crate::stamp::Stamp;
use crate::table::{Summary, Table, TableBuilder};

const BUILTIN: &str = include_str!("builtin.csv");

/// Where tables are read from, at the start and at each reload.
#[derive(Debug)]
pub(crate) enum Source {
    Builtin,
    Files(Vec<PathBuf>),
}

impl Source {
    pub(crate) fn files(&self) -> &[PathBuf] {
        match self {
            Self::Builtin => &[],
            Self::Files(files) => files,
        }
    }

    fn load(&self, version: u64) -> Result<Table, LoadError> {
        let mut table = TableBuilder::new(version);
        match self {
            Self::Builtin => parse::read("built-in table", BUILTIN.as_bytes(), &mut table)?,
            Self::Files(files) => {
                for path in files {
                    let name = path.display().to_string();
                    let file = File::open(path).map_err(|error| {
                        LoadError::in_file(&name, format!("cannot open: {error}"))
                    })?;
                    parse::read(&name, BufReader::with_capacity(1 << 16, file), &mut table)?;
                }
            }
        }
        Ok(table.build())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("built in"),
            Self::Files(files) => {
                for (index, file) in files.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", file.display())?;
                }
                Ok(())
            }
        }
    }
}

/// A table as it is in the cell: what it holds, since when, and counted until its memory has been given back.
pub(crate) struct Version {
    // Dropped in this order: the count falls when the table is gone.
    table: Table,
    since: Instant,
    _unfreed: Arc<()>,
}

impl Version {
    /// When it was put into the cell.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

impl Deref for Version {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

/// The table in use. Shared by all requests.
pub(crate) struct Routes {
    cell: RcuCell<Version>,
    lookups: Lookups,
    /// One reference here, and one in each version that has not been freed.
    unfreed: Arc<()>,
    began: Instant,
    source: Source,
    /// Held by the reload under way. What it guards: how the files looked when they were last read, whether they were
    /// taken or not.
    reloading: Arc<Mutex<Stamp>>,
}

/// A reload that took place.
pub(crate) struct Reloaded {
    pub(crate) version: u64,
    pub(crate) summary: Summary,
    /// The table that was in use before. Dropping this leaves it to the RCU; waiting for it gives it back.
    pub(crate) old: Retired<Version>,
}

/// A reload that did not: the table in use stays.
#[derive(Debug)]
pub(crate) enum ReloadError {
    Refused(LoadError),
    /// The thread that read the table panicked, or the runtime is shutting down.
    Failed(tokio::task::JoinError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Failed(why) => write!(f, "the reload failed: {why}"),
        }
    }
}

impl Routes {
    /// Loads the first table. Blocks.
    pub(crate) fn load(rcu: &Rcu, source: Source) -> Result<Arc<Self>, LoadError> {
        let stamp = Stamp::of(source.files());
        let table = source.load(1)?;
        let unfreed = Arc::new(());
        Ok(Arc::new(Self {
            cell: RcuCell::new_in(rcu, in_use(table, &unfreed)),
            lookups: Lookups::new(),
            unfreed,
            began: Instant::now(),
            source,
            reloading: Arc::new(Mutex::new(stamp)),
        }))
    }

    pub(crate) fn table(&self) -> &RcuCell<Version> {
        &self.cell
    }

    /// How many addresses have been looked up.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// When the first table was put in use.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// How many versions that are no longer in use have not been freed yet.
    pub(crate) fn old_versions(&self) -> usize {
        // Less our own reference, and that of the version in use.
        Arc::strong_count(&self.unfreed).saturating_sub(2)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Reads the source again and puts the new table in place of the old one.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let mut stamp = Arc::clone(&self.reloading).lock_owned().await;
        let routes = Arc::clone(self);
        // The lock goes along to the blocking thread: should the request that asked for this be given up, the reload
        // still comes to its end, and the next one waits for that.
        spawn_blocking(move || {
            *stamp = Stamp::of(routes.source.files());
            routes.replace()
        })
        .await
        .map_err(ReloadError::Failed)?
        .map_err(ReloadError::Refused)
    }

    /// The same, if a file looks different from when it was last read.
    pub(crate) async fn reload_if_changed(
        self: &Arc<Self>,
    ) -> Result<Option<Reloaded>, ReloadError> {
        let mut stamp = Arc::clone(&self.reloading).lock_owned().await;
        let routes = Arc::clone(self);
        spawn_blocking(move || {
            // Looked at before reading: what is written during the read makes another difference.
            let now = Stamp::of(routes.source.files());
            if *stamp == now {
                return Ok(None);
            }
            *stamp = now;
            routes.replace().map(Some)
        })
        .await
        .map_err(ReloadError::Failed)?
        .map_err(ReloadError::Refused)
    }

    /// Returns when no reload is under way, and lets no other one begin as long as the value it returns lives.
    pub(crate) async fn no_more_reloads(&self) -> OwnedMutexGuard<Stamp> {
        Arc::clone(&self.reloading).lock_owned().await
    }

    /// Only under the lock: the version is counted on from the table in use.
    fn replace(&self) -> Result<Reloaded, LoadError> {
        let version = self.cell.with(|table| table.version()) + 1;
        let table = self.source.load(version)?;
        let summary = table.summary().clone();
        let old = self.cell.swap(in_use(table, &self.unfreed));
        Ok(Reloaded {
            version,
            summary,
            old,
        })
    }
}

fn in_use(table: Table, unfreed: &Arc<()>) -> Version {
    Version {
        table,
        since: Instant::now(),
        _unfreed: Arc::clone(unfreed),
    }
}
