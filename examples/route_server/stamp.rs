//! The stamps of files, which show that a file has changed without reading the file.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The stamps of some files, in their order. A file that cannot be examined is `None`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<FileStamp>>);

#[derive(Debug, PartialEq, Eq)]
struct FileStamp {
    /// The resolved path, which shows that a symbolic link was switched.
    target: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    identity: Identity,
}

impl Stamp {
    pub(crate) fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| look_at(file)).collect())
    }
}

fn look_at(path: &Path) -> Option<FileStamp> {
    let target = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&target).ok()?;
    Some(FileStamp {
        target,
        size: metadata.len(),
        modified: metadata.modified().ok(),
        identity: identity(&metadata),
    })
}

/// The inode, and the time of its last change. They show a replacement of the same size and age, as
/// unpacked archives make.
#[cfg(unix)]
type Identity = (u64, u64, i64, i64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}
