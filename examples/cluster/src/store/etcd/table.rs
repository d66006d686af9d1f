//! The table: keys below `t/`.

use super::{Etcd, Head, corrupt, next, revision_of, text};
use crate::model::{Change, Delta, Revision, Table};
use crate::store::{Result, TableSource};
use async_trait::async_trait;
use etcd_client::{Event, EventType, GetOptions, KeyValue};
use futures::stream::BoxStream;

/// Returns the deltas in the events of one message.
fn deltas(events: &[Event], head_key: &str, entry_prefix: &str) -> Result<Vec<Delta>> {
    let revision = |event: &Event| event.kv().map_or(0, KeyValue::mod_revision);
    let mut deltas = Vec::new();
    for events in events.chunk_by(|a, b| revision(a) == revision(b)) {
        let mut head = None;
        let mut changes = Vec::new();
        for event in events {
            let Some(kv) = event.kv() else { continue };
            let key = text(kv.key())?;
            if key == head_key {
                head = Some(
                    serde_json::from_slice::<Head>(kv.value()).map_err(|e| corrupt("head", e))?,
                );
            } else if let Some(key) = key.strip_prefix(entry_prefix) {
                let value = match event.event_type() {
                    EventType::Put => Some(text(kv.value())?),
                    EventType::Delete => None,
                };
                changes.push(Change { key: key.to_owned(), value });
            }
        }
        let revision = events.first().map_or(0, revision);
        let Some(Head { file, previous }) = head else {
            return Err(corrupt(
                "table",
                format_args!("revision {revision} does not come from an updater"),
            ));
        };
        deltas.push(Delta { revision, previous, file, changes });
    }
    Ok(deltas)
}

#[async_trait]
impl TableSource for Etcd {
    async fn snapshot(&self) -> Result<(Revision, Table)> {
        let (all, head_key, entries) = (self.key("t/"), self.key("t/head"), self.key("t/e/"));
        let found = self
            .ask(async |client| client.get(all, Some(GetOptions::new().with_prefix())).await)
            .await?;
        let mut table = Vec::new();
        let mut file = None;
        for kv in found.kvs() {
            let key = text(kv.key())?;
            if key == head_key {
                let head: Head =
                    serde_json::from_slice(kv.value()).map_err(|e| corrupt("head", e))?;
                file = Some(head.file);
            } else if let Some(key) = key.strip_prefix(&entries) {
                table.push((key.to_owned(), text(kv.value())?));
            }
        }
        Ok((revision_of(found.header()), Table::new(table, file)))
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>> {
        let etcd = self.clone();
        Box::pin(async_stream::try_stream! {
            let (head_key, entries) = (etcd.key("t/head"), etcd.key("t/e/"));
            let mut watch = etcd.watch_prefix(etcd.key("t/"), Some(after)).await?;
            loop {
                let message = next(&mut watch, after).await?;
                for delta in deltas(message.events(), &head_key, &entries)? {
                    yield delta;
                }
            }
        })
    }
}
