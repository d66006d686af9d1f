//! The backends in an `RcuCell`, in a domain of the pool.
//!
//! A request holds a section while it is forwarded, and borrows its backend from the version that
//! it saw. It counts no reference. The removal of a backend publishes a version without the
//! backend, and queues an async callback that closes the backend. The callback runs when every
//! request that saw the backend has ended. `drain` waits for all these callbacks.
//!
//! A section belongs to the domain, not to a backend. So a close waits for every request that began
//! before the removal, also at other backends.

use super::{Store, choose};
use crate::backend::{Backend, BackendCounts};
use async_rcu::{Rcu, RcuCell, cell::OwnedRcuRef};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

pub(crate) struct RcuPool {
    rcu: Rcu,
    backends: RcuCell<Vec<Arc<Backend>>>,
    /// The lock of the changes to the pool; requests never take it.
    writers: Mutex<()>,
    early_close: bool,
}

impl Store for RcuPool {
    type Held = OwnedRcuRef<Backend>;

    const NAME: &'static str = "rcu";
    const CLOSING: &'static str = "a request holds a section; call_async closes the backend \
        after a grace period; drain waits for all closes";

    fn new(_counts: &Arc<BackendCounts>, early_close: bool) -> Result<Self, String> {
        let rcu = Rcu::builder()
            .name("upstreams")
            .executor(Handle::current())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            backends: RcuCell::new_in(&rcu, Vec::new()),
            rcu,
            writers: Mutex::new(()),
            early_close,
        })
    }

    fn pick(&self) -> Option<OwnedRcuRef<Backend>> {
        let version = self.backends.read_owned();
        OwnedRcuRef::filter_map(version, |backends| choose(backends).map(|b| &**b)).ok()
    }

    fn add(&self, backend: Backend) {
        let _alone = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let backend = Arc::new(backend);
        self.backends.update(|backends| [&backends[..], &[Arc::clone(&backend)]].concat());
    }

    fn remove_oldest(&self) -> bool {
        let _alone = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gone) = self.backends.with(|backends| backends.first().cloned()) else {
            return false;
        };
        self.backends.update(|backends| backends[1..].to_vec());
        gone.mark_removed();
        if self.early_close {
            let gone = Arc::clone(&gone);
            tokio::spawn(async move { gone.close().await });
        }
        self.rcu.call_async(async move { gone.close().await });
        true
    }

    async fn drain(&self) {
        self.rcu.drain().await;
    }
}
