//! How files look from outside, to notice that they have changed without reading them.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The looks of some files, in their order. A file that cannot be looked at is `None`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<FileStamp>>);

#[derive(Debug, PartialEq, Eq)]
struct FileStamp {
    /// Where the path leads: a symbolic link that was switched shows here.
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

/// Which file it is, and when its inode changed: tells a replacement of the same size and age, as archives unpack them.
#[cfg(unix)]
type Identity = (u64, u64, i64, i64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (
        metadata.dev(),
        metadata.ino(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {}
