//! The store in this process, for tests and for the demonstration without a server.
//!
//! One lock covers everything, so every answer is linearizable. Leases end by this process's clock.
//! Each client has a cable of its own, which can be [cut](Memory::cut).

use super::{
    Draft, Error, Ledger, Member, Membership, Registration, Result, Retired, TableSource, Term,
};
use crate::clock;
use crate::model::{Delta, Revision, Session, Table};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

struct NodeRecord {
    name: String,
    used: Revision,
    ttl: Duration,
    until: Duration,
}

struct Office {
    term: Term,
    holder: String,
    ttl: Duration,
    until: Duration,
}

#[derive(Default)]
struct State {
    revision: Revision,
    table: Table,
    log: VecDeque<Delta>,
    compacted: Revision,
    retired: Vec<Retired>,
    nodes: BTreeMap<Session, NodeRecord>,
    office: Option<Office>,
    /// The number of the newest session or term.
    number: i64,
}

impl State {
    /// Removes the leases that have ended. Every operation on nodes or the office calls it first,
    /// so an ended lease never comes back.
    fn reap(&mut self) {
        let now = clock::now();
        self.nodes.retain(|_, node| now < node.until);
        if self.office.as_ref().is_some_and(|office| office.until <= now) {
            self.office = None;
        }
    }

    fn node(&mut self, session: Session) -> Result<&mut NodeRecord> {
        self.reap();
        self.nodes.get_mut(&session).ok_or(Error::LeaseLost)
    }

    fn in_office(&mut self, term: Term) -> Result<&mut Office> {
        self.reap();
        match &mut self.office {
            Some(office) if office.term == term => Ok(office),
            _ => Err(Error::Deposed),
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals a change.
    changed: watch::Sender<()>,
}

/// A client of the store in this process.
pub struct Memory {
    shared: Arc<Shared>,
    cut: watch::Sender<bool>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("cut", &*self.cut.borrow()).finish_non_exhaustive()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Makes an empty store, and returns its first client.
    pub fn new() -> Self {
        Self { shared: Arc::default(), cut: watch::Sender::new(false) }
    }

    /// Returns another client of the same store.
    pub fn client(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), cut: watch::Sender::new(false) }
    }

    /// Cuts the client off from the store. The client gets no message, not even about the cut.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Connects the client again.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        if *self.cut.borrow() {
            return Err(Error::Unavailable("the cable is cut".into()));
        }
        // No operation panics half way, so a poisoned state is whole.
        Ok(self.shared.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, f: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
        let result = f(&mut *self.state()?)?;
        self.shared.changed.send_replace(());
        Ok(result)
    }

    fn after(&self, at: Revision) -> Result<Vec<Delta>> {
        let state = self.state()?;
        if state.compacted > at {
            return Err(Error::Compacted { after: at });
        }
        let new = state.log.iter().filter(|delta| delta.revision > at);
        Ok(new.cloned().collect())
    }

    /// Returns the live nodes, and the time when the first of their leases ends unless it is
    /// prolonged.
    fn members(&self) -> Result<(Vec<Member>, Option<Duration>)> {
        let mut state = self.state()?;
        state.reap();
        let members = state.nodes.iter().map(|(&session, node)| Member {
            session,
            name: node.name.clone(),
            used: node.used,
        });
        Ok((members.collect(), state.nodes.values().map(|node| node.until).min()))
    }

    /// Returns another handle of this client, with the same cable.
    fn same(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), cut: self.cut.clone() }
    }

    /// Waits until the cable is whole.
    async fn connected(&self) {
        // The sender is in `self`, so it exists.
        let _ = self.cut.subscribe().wait_for(|cut| !cut).await;
    }
}

#[async_trait]
impl TableSource for Memory {
    async fn snapshot(&self) -> Result<(Revision, Table)> {
        let state = self.state()?;
        Ok((state.revision, state.table.clone()))
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<Delta>> {
        let client = self.same();
        let mut changed = client.shared.changed.subscribe();
        Box::pin(async_stream::try_stream! {
            let mut at = after;
            loop {
                client.connected().await;
                changed.mark_unchanged();
                for delta in client.after(at)? {
                    at = delta.revision;
                    yield delta;
                }
                // The sender is in `client`.
                let _ = changed.changed().await;
            }
        })
    }
}

#[async_trait]
impl Membership for Memory {
    async fn register(&self, name: &str, ttl: Duration) -> Result<Registration> {
        self.change(|state| {
            state.number += 1;
            let node =
                NodeRecord { name: name.to_owned(), used: 0, ttl, until: clock::now() + ttl };
            state.nodes.insert(state.number, node);
            Ok(Registration { session: state.number, ttl })
        })
    }

    async fn keep_alive(&self, session: Session) -> Result<()> {
        let mut state = self.state()?;
        let node = state.node(session)?;
        node.until = clock::now() + node.ttl;
        Ok(())
    }

    async fn publish(&self, session: Session, used: Revision) -> Result<()> {
        self.change(|state| {
            state.node(session)?.used = used;
            Ok(())
        })
    }

    async fn leave(&self, session: Session) -> Result<()> {
        self.change(|state| {
            state.nodes.remove(&session);
            Ok(())
        })
    }

    fn live(&self) -> BoxStream<'static, Result<Vec<Member>>> {
        let client = self.same();
        let mut changed = client.shared.changed.subscribe();
        Box::pin(async_stream::try_stream! {
            let mut last = None;
            loop {
                client.connected().await;
                changed.mark_unchanged();
                let (members, next_end) = client.members()?;
                if last.as_ref() != Some(&members) {
                    last = Some(members.clone());
                    yield members;
                }
                // The end of a lease signals no change, so the stream wakes up when the next lease
                // may end.
                let end = async {
                    match next_end {
                        Some(end) => tokio::time::sleep(end.saturating_sub(clock::now())).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = changed.changed() => {}
                    () = end => {}
                }
            }
        })
    }
}

#[async_trait]
impl Ledger for Memory {
    async fn take_office(&self, name: &str, ttl: Duration) -> Result<Term> {
        self.change(|state| {
            state.reap();
            if let Some(office) = &state.office {
                return Err(Error::Occupied { holder: office.holder.clone() });
            }
            state.number += 1;
            state.office = Some(Office {
                term: state.number,
                holder: name.to_owned(),
                ttl,
                until: clock::now() + ttl,
            });
            Ok(state.number)
        })
    }

    async fn stay(&self, term: Term) -> Result<()> {
        let mut state = self.state()?;
        let office = state.in_office(term)?;
        office.until = clock::now() + office.ttl;
        Ok(())
    }

    async fn resign(&self, term: Term) -> Result<()> {
        self.change(|state| {
            if state.in_office(term).is_ok() {
                state.office = None;
            }
            Ok(())
        })
    }

    async fn put(&self, term: Term, draft: &Draft) -> Result<Revision> {
        self.change(|state| {
            state.in_office(term)?;
            if state.table.file != draft.replaces {
                return Err(Error::Conflict);
            }
            let previous = state.revision;
            state.revision += 1;
            state.table = state.table.with(&draft.changes, &draft.file);
            if let Some(file) = &draft.replaces {
                state.retired.push(Retired { file: file.clone(), since: state.revision });
            }
            state.log.push_back(Delta {
                revision: state.revision,
                previous,
                file: draft.file.clone(),
                changes: draft.changes.clone(),
            });
            Ok(state.revision)
        })
    }

    async fn retired(&self) -> Result<Vec<Retired>> {
        Ok(self.state()?.retired.clone())
    }

    async fn forget(&self, term: Term, file: &str) -> Result<()> {
        self.change(|state| {
            state.in_office(term)?;
            state.retired.retain(|retired| retired.file != file);
            Ok(())
        })
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.change(|state| {
            let through = through.min(state.revision);
            state.log.retain(|delta| delta.revision > through);
            state.compacted = state.compacted.max(through);
            Ok(())
        })
    }

    fn owns_log(&self) -> bool {
        true
    }
}
