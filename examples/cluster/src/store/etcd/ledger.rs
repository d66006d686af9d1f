//! The office, the changes, and the retired files.

use super::{Etcd, Head, corrupt, revision_of, text, unavailable};
use crate::model::Revision;
use crate::store::{Draft, Error, Ledger, Result, Retired, Term};
use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp};
use std::collections::BTreeMap;
use std::time::Duration;

#[async_trait]
impl Ledger for Etcd {
    async fn take_office(&self, name: &str, ttl: Duration) -> Result<Term> {
        let key = self.key("office");
        // The office is read first, so that a waiting updater does not make a lease each time.
        let found = self.ask(async |client| client.get(key.clone(), None).await).await?;
        if let Some(kv) = found.kvs().first() {
            return Err(Error::Occupied { holder: text(kv.value())? });
        }
        let (lease, _) = self.grant(ttl).await?;
        let txn = Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.clone(), name, Some(PutOptions::new().with_lease(lease)))])
            .or_else([TxnOp::get(key, None)]);
        let answer = self.ask(async |client| client.txn(txn).await).await?;
        if answer.succeeded() {
            return Ok(revision_of(answer.header()));
        }
        self.revoke(lease).await?;
        Err(Error::Occupied { holder: "another".into() })
    }

    async fn stay(&self, term: Term) -> Result<()> {
        let lease = self.lease_of(term).await?;
        if self.prolong(lease).await? { Ok(()) } else { Err(Error::Deposed) }
    }

    async fn resign(&self, term: Term) -> Result<()> {
        match self.lease_of(term).await {
            Ok(lease) => self.revoke(lease).await,
            Err(Error::Deposed) => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn put(&self, term: Term, draft: &Draft) -> Result<Revision> {
        let (head_key, office) = (self.key("t/head"), self.key("office"));
        let found = self.ask(async |client| client.get(head_key.clone(), None).await).await?;
        let previous = found.kvs().first().map_or(0, KeyValue::mod_revision);
        let current = match found.kvs().first() {
            Some(kv) => Some(
                serde_json::from_slice::<Head>(kv.value()).map_err(|e| corrupt("head", e))?.file,
            ),
            None => None,
        };
        if current != draft.replaces {
            // Most likely a successor has changed the table.
            self.lease_of(term).await?;
            return Err(Error::Conflict);
        }
        let head = Head { file: draft.file.clone(), previous };
        let head = serde_json::to_vec(&head).map_err(|e| corrupt("head", e))?;
        // etcd refuses a transaction that writes a key twice, so only the last change of a key is
        // sent.
        let changes: BTreeMap<_, _> = draft.changes.iter().map(|c| (&c.key, &c.value)).collect();
        let mut operations = vec![TxnOp::put(head_key.clone(), head, None)];
        operations.extend(changes.into_iter().map(|(key, value)| {
            let key = self.key(&format!("t/e/{key}"));
            match value {
                Some(value) => TxnOp::put(key, value.as_str(), None),
                None => TxnOp::delete(key, None),
            }
        }));
        if let Some(file) = &draft.replaces {
            operations.push(TxnOp::put(self.key(&format!("retired/{file}")), "", None));
        }
        let txn = Txn::new()
            .when([
                Compare::create_revision(office, CompareOp::Equal, term),
                Compare::mod_revision(head_key, CompareOp::Equal, previous),
            ])
            .and_then(operations);
        let answer = self.ask(async |client| client.txn(txn).await).await?;
        if answer.succeeded() {
            return Ok(revision_of(answer.header()));
        }
        self.lease_of(term).await?;
        Err(Error::Conflict)
    }

    async fn retired(&self) -> Result<Vec<Retired>> {
        let prefix = self.key("retired/");
        let options = GetOptions::new().with_prefix();
        let found =
            self.ask(async |client| client.get(prefix.clone(), Some(options)).await).await?;
        let retired = found.kvs().iter().map(|kv| {
            let key = text(kv.key())?;
            let file = key.strip_prefix(&prefix).unwrap_or_default().to_owned();
            Ok(Retired { file, since: kv.mod_revision() })
        });
        retired.collect()
    }

    async fn forget(&self, term: Term, file: &str) -> Result<()> {
        let txn = Txn::new()
            .when([Compare::create_revision(self.key("office"), CompareOp::Equal, term)])
            .and_then([TxnOp::delete(self.key(&format!("retired/{file}")), None)]);
        let answer = self.ask(async |client| client.txn(txn).await).await?;
        if answer.succeeded() { Ok(()) } else { Err(Error::Deposed) }
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        match self.ask_raw(async |client| client.compact(through, None).await).await? {
            Ok(_) => Ok(()),
            Err(etcd_client::Error::GRpcStatus(status))
                if status.message().contains("has been compacted") =>
            {
                Ok(())
            }
            Err(e) => Err(unavailable(e)),
        }
    }

    fn owns_log(&self) -> bool {
        false
    }
}

impl Etcd {
    /// Returns the lease of a term that has not ended.
    async fn lease_of(&self, term: Term) -> Result<i64> {
        let key = self.key("office");
        let found = self.ask(async |client| client.get(key, None).await).await?;
        match found.kvs().first() {
            Some(kv) if kv.create_revision() == term => Ok(kv.lease()),
            _ => Err(Error::Deposed),
        }
    }
}
