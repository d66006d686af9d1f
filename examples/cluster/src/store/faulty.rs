//! A source with faults, for tests.
//!
//! It passes on the deltas of a real source and disturbs the stream, by the number of each delta.
//! Some deltas come twice. Some come late, after their successors and even on another watch. Some
//! never come. A node must serve the same versions in the end.

use super::{Result, TableSource};
use crate::model::{Delta, Revision, Table};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::{Arc, Mutex, PoisonError};

/// The faults. Deltas are counted from the first; a fault affects one in so many, or none if the
/// number is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Sent twice.
    pub twice: u64,
    /// Sent after the next one.
    pub late: u64,
    /// Not sent.
    pub never: u64,
}

impl std::str::FromStr for Faults {
    type Err = String;

    /// Parses a text such as `twice=2,late=3,never=5`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',') {
            let (name, number) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not of the form NAME=N"))?;
            let number = number.parse().map_err(|e| format!("{number:?}: {e}"))?;
            match name {
                "twice" => faults.twice = number,
                "late" => faults.late = number,
                "never" => faults.never = number,
                _ => return Err(format!("{name:?} is not twice, late or never")),
            }
        }
        Ok(faults)
    }
}

#[derive(Default)]
struct Line {
    count: u64,
    held_back: Vec<Delta>,
}

/// A source with faults.
pub struct Faulty<S: ?Sized> {
    source: Arc<S>,
    faults: Faults,
    line: Arc<Mutex<Line>>,
}

impl<S: ?Sized> std::fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl<S: ?Sized> Faulty<S> {
    /// Adds `faults` to `source`.
    pub fn new(source: Arc<S>, faults: Faults) -> Self {
        Self { source, faults, line: Arc::default() }
    }
}

fn one_in(count: u64, n: u64) -> bool {
    n != 0 && count.is_multiple_of(n)
}

#[async_trait]
impl<S: TableSource + ?Sized> TableSource for Faulty<S> {
    async fn snapshot(&self) -> Result<(Revision, Table)> {
        self.source.snapshot().await
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>> {
        let (line, faults) = (Arc::clone(&self.line), self.faults);
        let stream = self.source.watch(after).map(move |delta| {
            let Ok(delta) = delta else {
                return vec![delta];
            };
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            line.count += 1;
            let late = std::mem::take(&mut line.held_back).into_iter().map(Ok);
            let mut sent = Vec::new();
            if one_in(line.count, faults.late) {
                line.held_back.push(delta);
            } else if !one_in(line.count, faults.never) {
                if one_in(line.count, faults.twice) {
                    sent.push(Ok(delta.clone()));
                }
                sent.push(Ok(delta));
            }
            sent.extend(late);
            sent
        });
        Box::pin(stream.flat_map(futures::stream::iter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Draft, Ledger};

    #[tokio::test]
    async fn deltas_come_twice_late_and_never() {
        let memory = Arc::new(Memory::new());
        let term = memory.take_office("test", std::time::Duration::from_secs(60)).await.unwrap();
        let mut replaces = None;
        for n in 1..=8 {
            let file = format!("f{n}");
            let changes = Vec::new();
            let draft = Draft { replaces, file: file.clone(), changes };
            assert_eq!(memory.put(term, &draft).await.unwrap(), n);
            replaces = Some(file);
        }
        let faults = "twice=2,late=3,never=5".parse().unwrap();
        let source = Faulty::new(memory, faults);
        let sent: Vec<_> =
            source.watch(0).take(8).map(|delta| delta.unwrap().revision).collect().await;
        assert_eq!(sent, [1, 2, 2, 4, 4, 3, 7, 6]);
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for bad in ["", "twice", "twice=x", "thrice=3"] {
            assert!(bad.parse::<Faults>().is_err(), "{bad:?}");
        }
    }
}
