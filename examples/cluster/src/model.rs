//! The table, its versions, and the rule by which a node applies, ignores or refuses a delta.

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

/// The store's number of a commit. It grows with each change. Numbers may be missing, because a
/// store also counts other writes (in etcd every publication of a node).
pub type Revision = i64;

/// The number of a registration of a process. It is unique for ever: a process that registers again
/// gets another one.
pub type Session = i64;

/// A key and its new value; `None` removes the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key of the entry.
    pub key: String,
    /// The new value.
    pub value: Option<String>,
}

/// The changes of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The revision of this commit.
    pub revision: Revision,
    /// The revision of the commit before. A node that has not reached it has missed a delta.
    pub previous: Revision,
    /// The file of this version.
    pub file: String,
    /// The changes.
    pub changes: Vec<Change>,
}

/// All entries at one revision. A table is immutable. [`with`](Self::with) shares the unchanged
/// entries, so the next version costs O(log n) per change, not a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    entries: RedBlackTreeMapSync<String, String>,
    /// The file of this version; `None` before the first change.
    pub file: Option<String>,
}

impl Table {
    /// Makes a table of these entries and this file.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>, file: Option<String>) -> Self {
        Self { entries: entries.into_iter().collect(), file }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Returns whether the table has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns all entries, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Returns the next version.
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
        Self { entries, file: Some(file.to_owned()) }
    }
}

/// The version that a node serves.
#[derive(Clone, Debug)]
pub struct Version {
    /// A revision at which the table was current.
    pub revision: Revision,
    /// The registration under which the table was read. The table may be used as long as that lease
    /// holds.
    pub session: Session,
    /// The entries.
    pub table: Table,
}

/// The relation of a delta to a node's version.
#[derive(Debug)]
pub enum Step {
    /// The delta makes the next version.
    Next(Version),
    /// The node has the delta already: it was sent twice or late, and is ignored.
    Old,
    /// The node has missed a delta, and has to list the table again.
    Gap,
}

impl Version {
    /// Returns the relation of `delta` to this version.
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
            changes: vec![Change { key: key.into(), value: value.map(Into::into) }],
        }
    }

    fn at(revision: Revision) -> Version {
        Version { revision, session: 1, table: Table::new([("a".into(), "1".into())], None) }
    }

    #[test]
    fn the_next_delta_makes_the_next_version_and_leaves_the_old_one() {
        let old = at(5);
        let Step::Next(new) = old.step(&delta(9, 3, "b", Some("2"))) else {
            panic!("3 <= 5 < 9: no delta is missing");
        };
        assert_eq!(new.revision, 9);
        assert_eq!(new.table.file.as_deref(), Some("f9"));
        assert_eq!((new.table.get("a"), new.table.get("b")), (Some("1"), Some("2")));
        assert_eq!(old.table.get("b"), None);
        let Step::Next(newer) = new.step(&delta(10, 9, "a", None)) else {
            panic!("9 follows 9");
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
