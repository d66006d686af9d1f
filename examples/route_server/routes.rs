//! The table in use, its source, and its replacement.
//!
//! Requests read the table through an `RcuCell`. They never wait for each other or for a reload. A
//! reload parses on a blocking thread and swaps. The old table is freed after a grace period, when
//! the last request that could see it has been answered. Only reloads wait for one another.

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

/// The source of tables, at the start and at each reload.
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

/// A table in the cell, with the time when it was put in use. The table is counted until its memory
/// has been freed.
pub(crate) struct Version {
    // Fields are dropped in this order: the count falls after the table is freed.
    table: Table,
    since: Instant,
    _unfreed: Arc<()>,
}

impl Version {
    /// The time when the table was put into the cell.
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

/// The table in use, which all requests share.
pub(crate) struct Routes {
    cell: RcuCell<Version>,
    lookups: Lookups,
    /// A counter of versions: one reference is here, and one in each version that is not freed yet.
    unfreed: Arc<()>,
    began: Instant,
    source: Source,
    /// The lock of the reload under way. It guards the stamp of the files when they were last read,
    /// whether or not that table was valid.
    reloading: Arc<Mutex<Stamp>>,
}

/// A successful reload.
pub(crate) struct Reloaded {
    pub(crate) version: u64,
    pub(crate) summary: Summary,
    /// The table that was in use before. Dropping this value leaves the table to the domain;
    /// waiting for it gives the table back.
    pub(crate) old: Retired<Version>,
}

/// A failed reload: the table in use stays.
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

    /// Returns how many addresses have been looked up.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// Returns the time when the first table was put in use.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Returns how many versions are no longer in use and not freed yet.
    pub(crate) fn old_versions(&self) -> usize {
        // Two references do not count: that of this value, and that of the version in use.
        Arc::strong_count(&self.unfreed).saturating_sub(2)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Reads the source again and replaces the table in use.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let mut stamp = Arc::clone(&self.reloading).lock_owned().await;
        let routes = Arc::clone(self);
        // The blocking thread holds the lock. So a reload ends even if its request is dropped, and
        // the next reload waits for that end.
        spawn_blocking(move || {
            *stamp = Stamp::of(routes.source.files());
            routes.replace()
        })
        .await
        .map_err(ReloadError::Failed)?
        .map_err(ReloadError::Refused)
    }

    /// Reloads if a file looks different from when it was last read.
    pub(crate) async fn reload_if_changed(
        self: &Arc<Self>,
    ) -> Result<Option<Reloaded>, ReloadError> {
        let mut stamp = Arc::clone(&self.reloading).lock_owned().await;
        let routes = Arc::clone(self);
        spawn_blocking(move || {
            // The stamp is taken before the file is read: a write during the read changes the stamp
            // again.
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

    /// Waits until no reload is under way. No other reload begins while the returned value lives.
    pub(crate) async fn no_more_reloads(&self) -> OwnedMutexGuard<Stamp> {
        Arc::clone(&self.reloading).lock_owned().await
    }

    /// Publishes a table. The caller holds the lock: the new version number follows that of the
    /// table in use.
    fn replace(&self) -> Result<Reloaded, LoadError> {
        let version = self.cell.with(|table| table.version()) + 1;
        let table = self.source.load(version)?;
        let summary = table.summary().clone();
        let old = self.cell.swap(in_use(table, &self.unfreed));
        Ok(Reloaded { version, summary, old })
    }
}

fn in_use(table: Table, unfreed: &Arc<()>) -> Version {
    Version { table, since: Instant::now(), _unfreed: Arc::clone(unfreed) }
}
