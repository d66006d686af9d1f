//! The table, its versions, and the rule by which a delta is taken, ignored or refused.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

/// When a change was committed, as the store counts. Grows with each change; numbers may be left out, because a store also
/// counts what is not of the table (in etcd every publication of a node).
pub type Revision = i64;

/// One registration of one process. Unique for ever: a process that registers again has another.
pub type Session = i64;

/// A key and what it is from now on; `None`: it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which entry.
    pub key: String,
    /// Its new value.
    pub value: Option<String>,
}

/// What one commit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Of this commit.
    pub revision: Revision,
    /// Of the commit before it. Who has not got as far as that has missed something.
    pub previous: Revision,
    /// The file of this version.
    pub file: String,
    /// What changed.
    pub changes: Vec<Change>,
}

/// All entries at one revision. Immutable: [`with`](Self::with) shares what did not change, so the next version costs
/// O(log n) per change, not a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    entries: RedBlackTreeMapSync<String, String>,
    /// The file of this version; none before the first change.
    pub file: Option<String>,
}

impl Table {
    /// A table of these entries and this file.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>, file: Option<String>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
            file,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The next version.
    #[must_use]
    pub fn with(&self, changes: &[Change], file: &str) -> Self {
        let mut entries = self.entries.clone();
        for change in changes {
            match &change.value {
                Some(value) => entries.insert_mut(change.key.clone(), value.clone()),
                None => {
                    entries.remove_mut(&change.key);
                }
            }
        }
        Self {
            entries,
            file: Some(file.to_owned()),
        }
    }
}

/// What a node serves.
#[derive(Clone, Debug)]
pub struct Version {
    /// The table is the one that was current at this revision.
    pub revision: Revision,
    /// Under which registration it was read: it may be used as long as that one's lease holds.
    pub session: Session,
    /// The entries.
    pub table: Table,
}

/// What a delta is to a node that is at some version.
#[derive(Debug)]
pub enum Step {
    /// The next one.
    Next(Version),
    /// Seen already: sent twice, or late. To be ignored.
    Old,
    /// Something between was missed. The table has to be listed anew.
    Gap,
}

impl Version {
    /// What `delta` is to this version.
    pub fn step(&self, delta: &Delta) -> Step {
        if delta.revision <= self.revision {
            Step::Old
        } else if delta.previous > self.revision {
            Step::Gap
        } else {
            Step::Next(Self {
                revision: delta.revision,
                session: self.session,
                table: self.table.with(&delta.changes, &delta.file),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(revision: Revision, previous: Revision, key: &str, value: Option<&str>) -> Delta {
        Delta {
            revision,
            previous,
            file: format!("f{revision}"),
            changes: vec![Change {
                key: key.into(),
                value: value.map(Into::into),
            }],
        }
    }

    fn at(revision: Revision) -> Version {
        Version {
            revision,
            session: 1,
            table: Table::new([("a".into(), "1".into())], None),
        }
    }

    #[test]
    fn the_next_delta_makes_the_next_version_and_leaves_the_old_one() {
        let old = at(5);
        let Step::Next(new) = old.step(&delta(9, 3, "b", Some("2"))) else {
            panic!("3 <= 5 < 9: nothing is missing");
        };
        assert_eq!(new.revision, 9);
        assert_eq!(new.table.file.as_deref(), Some("f9"));
        assert_eq!(
            (new.table.get("a"), new.table.get("b")),
            (Some("1"), Some("2"))
        );
        assert_eq!(old.table.get("b"), None);
        let Step::Next(newer) = new.step(&delta(10, 9, "a", None)) else {
            panic!("9 follows upon 9");
        };
        assert_eq!((newer.table.get("a"), newer.table.len()), (None, 1));
    }

    #[test]
    fn duplicated_and_late_deltas_are_old() {
        assert!(matches!(at(5).step(&delta(5, 3, "a", None)), Step::Old));
        assert!(matches!(at(5).step(&delta(3, 1, "a", None)), Step::Old));
    }

    #[test]
    fn a_delta_that_follows_on_something_unseen_is_a_gap() {
        assert!(matches!(at(5).step(&delta(9, 6, "a", None)), Step::Gap));
    }
}
