//! The nodes: keys below `node/`, each under its node's lease.

use super::{Etcd, corrupt, lease_gone, next, revision_of, text, unavailable};
use crate::model::{Revision, Session};
use crate::store::{Error, Member, Membership, Registration, Result};
use async_trait::async_trait;
use etcd_client::{Event, EventType, GetOptions, KeyValue, PutOptions};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct NodeRecord {
    name: String,
    used: Revision,
}

fn member(kv: &KeyValue) -> Result<Member> {
    let NodeRecord { name, used } =
        serde_json::from_slice(kv.value()).map_err(|e| corrupt("node", e))?;
    Ok(Member { session: kv.lease(), name, used })
}

impl Etcd {
    async fn members(&self) -> Result<(Revision, BTreeMap<Session, Member>)> {
        let key = self.key("node/");
        let found = self
            .ask(async |client| client.get(key, Some(GetOptions::new().with_prefix())).await)
            .await?;
        let members: Result<_> =
            found.kvs().iter().map(|kv| Ok((kv.lease(), member(kv)?))).collect();
        Ok((revision_of(found.header()), members?))
    }
}

#[async_trait]
impl Membership for Etcd {
    async fn register(&self, name: &str, ttl: Duration) -> Result<Registration> {
        let (session, ttl) = self.grant(ttl).await?;
        self.names().insert(session, name.to_owned());
        self.publish(session, 0).await?;
        Ok(Registration { session, ttl })
    }

    async fn keep_alive(&self, session: Session) -> Result<()> {
        if self.prolong(session).await? { Ok(()) } else { Err(Error::LeaseLost) }
    }

    async fn publish(&self, session: Session, used: Revision) -> Result<()> {
        let name = self.names().get(&session).cloned().ok_or(Error::LeaseLost)?;
        let key = self.key(&format!("node/{session:x}"));
        let value =
            serde_json::to_vec(&NodeRecord { name, used }).map_err(|e| corrupt("node", e))?;
        let options = PutOptions::new().with_lease(session);
        match self.ask_raw(async |client| client.put(key, value, Some(options)).await).await? {
            Ok(_) => Ok(()),
            Err(e) if lease_gone(&e) => Err(Error::LeaseLost),
            Err(e) => Err(unavailable(e)),
        }
    }

    async fn leave(&self, session: Session) -> Result<()> {
        self.names().remove(&session);
        self.revoke(session).await
    }

    fn live(&self) -> BoxStream<'static, Result<Vec<Member>>> {
        let etcd = self.clone();
        Box::pin(async_stream::try_stream! {
            // The watch begins now, before the list; events that the list shows already are
            // ignored. A watch from the list's revision on would work too, but etcd serves watches
            // that begin in the past only ten times a second.
            let mut watch = etcd.watch_prefix(etcd.key("node/"), None).await?;
            while !next(&mut watch, 0).await?.created() {}
            let (listed, mut members) = etcd.members().await?;
            yield members.values().cloned().collect();
            loop {
                let message = next(&mut watch, listed).await?;
                let new = |event: &&Event| event.kv().is_some_and(|kv| kv.mod_revision() > listed);
                let mut changed = false;
                for event in message.events().iter().filter(new) {
                    changed = true;
                    let Some(kv) = event.kv() else { continue };
                    match event.event_type() {
                        EventType::Put => {
                            members.insert(kv.lease(), member(kv)?);
                        }
                        // A deleted key has no lease any more, but its name is the session.
                        EventType::Delete => {
                            let key = text(kv.key())?;
                            let name = key.rsplit('/').next();
                            let session = name.and_then(|s| i64::from_str_radix(s, 16).ok());
                            members.remove(&session.unwrap_or(0));
                        }
                    }
                }
                if changed {
                    yield members.values().cloned().collect();
                }
            }
        })
    }
}
