//! The items that a run holds between its operations, with what the oracle knows of each.

use super::super::ledger::{Entry, Section, Value};
use async_rcu::{
    GracePeriod, RcuCell, Retired,
    backpressure::{Permit, Reserve},
    cell::{Reclaim, ReclaimAll, RetireOnDrop, Watcher},
    wait::{Drain, Shutdown, Synchronize},
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The largest number of items of one kind; a run holds up to twice as many futures.
pub(super) const MOST: usize = 8;

/// A cell and its current value.
pub(super) struct Cell {
    pub(super) cell: Arc<RcuCell<Value>>,
    pub(super) domain: usize,
    pub(super) current: Arc<Entry>,
    /// Tells the cell from earlier cells with the same index.
    pub(super) number: u64,
}

/// A value that was taken out of a cell.
pub(super) struct Old {
    pub(super) value: Retired<Value>,
    pub(super) entry: Arc<Entry>,
    pub(super) domain: usize,
    /// The sections that may still see the value.
    pub(super) holders: Vec<Arc<Section>>,
    /// A grace period has certainly elapsed since the value was taken out.
    pub(super) elapsed: bool,
}

/// A value that its last owner retires.
pub(super) struct Late {
    pub(super) value: Arc<RetireOnDrop<Value>>,
    pub(super) domain: usize,
}

/// A watcher of a cell.
pub(super) struct Watching {
    pub(super) watcher: Watcher<Value>,
    pub(super) domain: usize,
    /// The number of the watched cell.
    pub(super) number: u64,
    /// The value that the watcher has to yield next, if there is one.
    pub(super) next: Option<Arc<Entry>>,
    /// The cell was dropped.
    pub(super) gone: bool,
}

/// A cookie, and the sections that may block its grace period.
pub(super) struct Cookie {
    pub(super) domain: usize,
    pub(super) gp: GracePeriod,
    /// Sections that were open when the cookie was taken.
    pub(super) holders: Vec<Arc<Section>>,
    /// Sections that were open when the grace period had certainly started.
    pub(super) before_start: Option<Vec<Arc<Section>>>,
    pub(super) elapsed: bool,
}

/// A future, and what may block it.
pub(super) struct Waiting {
    pub(super) domain: usize,
    pub(super) wait: Wait,
    /// Sections that were open at the first poll. `None` before the first poll.
    pub(super) holders: Option<Vec<Arc<Section>>>,
    /// Callbacks that were queued at the first poll.
    pub(super) queued: Vec<Arc<Entry>>,
}

/// A future of the library; a reclaiming future has the entries of its values.
pub(super) enum Wait {
    Synchronize(Synchronize),
    Drain(Drain),
    Shutdown(Shutdown),
    Reclaim(Reclaim<Value>, Vec<Arc<Entry>>),
    ReclaimAll(ReclaimAll<Value>, Vec<Arc<Entry>>),
    Reserve(Reserve),
}

impl Wait {
    /// Polls the future, and checks its output.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Permit>> {
        match self {
            Wait::Synchronize(wait) => Pin::new(wait).poll(context).map(|()| None),
            Wait::Drain(wait) => Pin::new(wait).poll(context).map(|()| None),
            Wait::Shutdown(wait) => Pin::new(wait).poll(context).map(|()| None),
            Wait::Reclaim(wait, entries) => Pin::new(wait).poll(context).map(|value| {
                assert_eq!(value.id(), entries[0].id(), "the reclaimed value");
                None
            }),
            Wait::ReclaimAll(wait, entries) => Pin::new(wait).poll(context).map(|values| {
                let ids: Vec<u64> = values.iter().map(|value| value.id()).collect();
                let given: Vec<u64> = entries.iter().map(|entry| entry.id()).collect();
                assert_eq!(ids, given, "the reclaimed values, in order");
                None
            }),
            Wait::Reserve(wait) => Pin::new(wait).poll(context).map(Some),
        }
    }

    /// Returns whether the future ends only after callbacks have run.
    pub(super) fn needs_callbacks(&self) -> bool {
        matches!(self, Wait::Drain(_) | Wait::Shutdown(_) | Wait::Reserve(_))
    }

    /// Returns the entries of the values that callbacks free if the future is dropped.
    pub(super) fn entries(&self) -> &[Arc<Entry>] {
        match self {
            Wait::Reclaim(_, entries) | Wait::ReclaimAll(_, entries) => entries,
            _ => &[],
        }
    }
}
