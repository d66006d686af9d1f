//! `--watch`: a reload when a table file changes.
//!
//! The watch is on directories, not on files: on the directory of each file, of the file that a
//! link leads to, and of each link on the way. So the watch notices a file that is replaced by a
//! rename, and a symbolic link that is switched. After any change there, and a quiet moment, the
//! watch examines the files, and reads them if they look different.
//!
//! Replace a file by a rename: a file that is written in place may be read half written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::console::{complain, say};
use crate::routes::Routes;

/// The quiet time before the files are examined.
const QUIET: Duration = Duration::from_millis(250);
/// The longest time until the files are examined in any case.
const LATEST: Duration = Duration::from_secs(3);
/// The largest number of links that are followed: a link that leads into itself makes ever longer
/// paths.
const MOST_PATHS: usize = 100;

pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Watch {
    /// Begins to watch. [`run`](Self::run) then handles the changes.
    pub(crate) fn new(files: &[PathBuf]) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean lost events, and so counts as a change.
            if event.map_or(true, |event| is_change(event.kind)) {
                tell.notify_one();
            }
        })?;
        let mut watch = Self { watcher, directories: BTreeSet::new(), changed };
        for directory in directories(files) {
            watch.watcher.watch(&directory, RecursiveMode::NonRecursive)?;
            watch.directories.insert(directory);
        }
        Ok(watch)
    }

    pub(crate) async fn run(mut self, routes: Arc<Routes>) {
        loop {
            // The links are followed before the files are examined: a later change makes another
            // event.
            self.follow(routes.source().files());
            match routes.reload_if_changed().await {
                Ok(None) => {}
                Ok(Some(reloaded)) => {
                    let summary = &reloaded.summary;
                    say(&format!(
                        "a file changed: table {} is in use: {summary}",
                        reloaded.version
                    ));
                }
                Err(error) => {
                    complain(&format!("a file changed, but the table in use stays: {error}"))
                }
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
            // The directory may have been deleted, and its watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        // All directories are watched again: another directory may have replaced a watched one.
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

/// Returns the directories in which a change can make one of `files` another file: that of each
/// file, and those of each link on the way to the file. Links in the root directory are assumed not
/// to change.
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
            // The path has ended, and joining an empty rest would append a slash.
            if let Some(rest) = path.strip_prefix(part).ok().filter(|rest| *rest != Path::new("")) {
                next.push(rest);
            }
            paths.push(next);
        }
    }
    directories
}

#[cfg(test)]
mod tests;
