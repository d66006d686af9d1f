//! `--watch`: a reload when a table file changes.
//!
//! What is watched is directories, not files: that of each file, of what it links to, and those in which a link on the
//! way stands. So a file that is replaced by renaming another one over it is noticed, and so is a symbolic link that is
//! switched. Any change there, once things have been quiet for a moment, leads to a look at the files themselves, and
//! only where they look different are they read.
//!
//! Replace a file by renaming: one that is written in place may be read half written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::report::{complain, say};
use crate::routes::Routes;

/// So long nothing may happen before the files are looked at...
const QUIET: Duration = Duration::from_millis(250);
/// ... but so late they are in any case.
const LATEST: Duration = Duration::from_secs(3);
/// A link that leads into itself gives ever longer paths: no more than so many are followed.
const MOST_PATHS: usize = 100;

pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Watch {
    /// Begins to watch. [`run`](Self::run) then acts on what happens.
    pub(crate) fn new(files: &[PathBuf]) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost: that counts as a change.
            if event.map_or(true, |event| is_change(event.kind)) {
                tell.notify_one();
            }
        })?;
        let mut watch = Self {
            watcher,
            directories: BTreeSet::new(),
            changed,
        };
        for directory in directories(files) {
            watch
                .watcher
                .watch(&directory, RecursiveMode::NonRecursive)?;
            watch.directories.insert(directory);
        }
        Ok(watch)
    }

    pub(crate) async fn run(mut self, routes: Arc<Routes>) {
        loop {
            // First follow the links, then look at the files: what changes after this is told.
            self.follow(routes.source().files());
            match routes.reload_if_changed().await {
                Ok(None) => {}
                Ok(Some(reloaded)) => {
                    let summary = &reloaded.summary;
                    say(&format!(
                        "a file changed: table {}: {summary}",
                        reloaded.version
                    ));
                }
                Err(error) => complain(&format!(
                    "a file changed, and the table in use stays: {error}"
                )),
            }
            self.changed.notified().await;
            let latest = Instant::now() + LATEST;
            while Instant::now() < latest && timeout(QUIET, self.changed.notified()).await.is_ok() {
            }
        }
    }

    fn follow(&mut self, files: &[PathBuf]) {
        let wanted = directories(files);
        for gone in self.directories.difference(&wanted) {
            // It may have been deleted, and its watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        // All of them, also those known: another directory may have taken the place of one that was watched.
        for directory in &wanted {
            if let Err(error) = self.watcher.watch(directory, RecursiveMode::NonRecursive) {
                complain(&format!("cannot watch {}: {error}", directory.display()));
            }
        }
        self.directories = wanted;
    }
}

fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// The directories in which something has to change for one of `files` to become another: that of each file, and those
/// in which a link on the way to it stands. Links in the root directory are taken to stay what they are.
fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut paths: Vec<PathBuf> = files.to_vec();
    while let Some(path) = paths.pop() {
        if seen.len() == MOST_PATHS {
            break;
        }
        let Ok(path) = std::path::absolute(path) else {
            continue;
        };
        if !seen.insert(path.clone()) {
            continue;
        }
        directories.extend(path.parent().map(Path::to_owned));
        for part in path.ancestors() {
            let (Ok(target), Some(directory)) = (fs::read_link(part), part.parent()) else {
                continue;
            };
            if directory.parent().is_some() {
                directories.insert(directory.to_owned());
            }
            let mut next = directory.join(target);
            // Nothing is left of the file itself, and joining nothing would append a slash.
            if let Some(rest) = path
                .strip_prefix(part)
                .ok()
                .filter(|rest| *rest != Path::new(""))
            {
                next.push(rest);
            }
            paths.push(next);
        }
    }
    directories
}

#[cfg(test)]
mod tests;
