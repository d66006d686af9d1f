//! The backends in an `RcuCell`, in a domain of the pool's own.
//!
//! A request holds a section across all of its forwarding, and borrows its backend from the version that it saw: it counts no
//! reference. Whoever removes a backend publishes a version without it, and says in the same place how it is closed: by an
//! async callback, which runs when every request that saw the backend is over. `drain` waits for all of them.
//!
//! A section is the domain's, not the backend's: closing waits for every request that began before the removal, also for those
//! at other backends.

use super::{Store, choose};
use crate::backend::{Backend, Books};
use async_rcu::{OwnedRcuRef, Rcu, RcuCell};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

pub(crate) struct RcuPool {
    rcu: Rcu,
    backends: RcuCell<Vec<Arc<Backend>>>,
    /// Of those who change the pool; requests never see it.
    writers: Mutex<()>,
    early_close: bool,
}

impl Store for RcuPool {
    type Held = OwnedRcuRef<Backend>;

    const NAME: &'static str = "rcu";
    const CLOSING: &'static str = "a request holds a section; call_async closes after a grace period; drain waits for all closings";

    fn new(_books: &Arc<Books>, early_close: bool) -> Result<Self, String> {
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
        self.backends
            .update(|backends| [&backends[..], &[Arc::clone(&backend)]].concat());
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
