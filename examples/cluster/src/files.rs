//! The file of each version: the whole table as JSON. It is written before the version is
//! committed, and deleted when no process uses the version.
//!
//! It stands for any data of a version outside the processes: an index, a segment, a mapped table.
//! All nodes and updaters share the folder; here they are processes of one machine.
//!
//! A name is used once: it has the term and the number of the updater that wrote the file. So a
//! second delete, or one by a deposed updater, does no harm: a file that no process uses is never
//! used again.

use crate::model::Table;
use std::io;
use std::path::{Path, PathBuf};

const START: &str = "table-";
const END: &str = ".json";

/// The folder of the files.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// Opens the folder, or makes it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Returns the name of file `number` of a term.
    pub fn name(term: i64, number: u64) -> String {
        format!("{START}{term:x}-{number}{END}")
    }

    /// Returns the path of a file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Writes a version's file. The file is whole and on the disk when this returns.
    pub async fn write(&self, file: &str, table: &Table) -> io::Result<()> {
        let entries: std::collections::BTreeMap<&str, &str> = table.iter().collect();
        let text = serde_json::to_vec(&entries)?;
        let path = self.path(file);
        tokio::task::spawn_blocking(move || {
            use std::io::Write;
            let mut file = std::fs::File::create_new(path)?;
            file.write_all(&text)?;
            file.sync_all()
        })
        .await?
    }

    /// Returns the content of a file.
    pub async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.path(file)).await
    }

    /// Returns whether a file exists.
    pub async fn exists(&self, file: &str) -> io::Result<bool> {
        tokio::fs::try_exists(self.path(file)).await
    }

    /// Deletes a file. Returns `false` if it did not exist: a predecessor died between deleting it
    /// and saying so.
    pub async fn delete(&self, file: &str) -> io::Result<bool> {
        match tokio::fs::remove_file(self.path(file)).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Returns the names of all files.
    pub async fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut dir = tokio::fs::read_dir(&self.dir).await?;
        while let Some(entry) = dir.next_entry().await? {
            if let Ok(name) = entry.file_name().into_string()
                && name.starts_with(START)
                && name.ends_with(END)
            {
                found.push(name);
            }
        }
        found.sort();
        Ok(found)
    }
}
