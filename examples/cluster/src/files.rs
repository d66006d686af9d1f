//! A file for each version: the whole table as JSON, written before the version is, and deleted when no process uses it.
//!
//! It stands for whatever belongs to a version and lies outside of the processes: an index, a segment, a mapped table. The
//! folder is shared by all of them; here they are processes of one machine.
//!
//! A name is used once: term and number of the updater that wrote it. So deleting one twice, or by an updater that is not
//! in office any more, does no harm: once nobody uses a file, nobody ever will.

use crate::model::Table;
use std::io;
use std::path::{Path, PathBuf};

const START: &str = "table-";
const END: &str = ".json";

/// The folder.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// Opens the folder, or makes it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The name of the `number`th file of a term.
    pub fn name(term: i64, number: u64) -> String {
        format!("{START}{term:x}-{number}{END}")
    }

    /// Where a file is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Writes a version's file. It is whole and on the disk when this returns.
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

    /// What is in it.
    pub async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.path(file)).await
    }

    /// Whether it is there.
    pub async fn exists(&self, file: &str) -> io::Result<bool> {
        tokio::fs::try_exists(self.path(file)).await
    }

    /// Deletes it; false where it is gone already, by a predecessor who died before it could say so.
    pub async fn delete(&self, file: &str) -> io::Result<bool> {
        match tokio::fs::remove_file(self.path(file)).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// All that are there.
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
