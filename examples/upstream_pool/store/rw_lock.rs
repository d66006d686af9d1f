//! The backends under std's `RwLock`. Changes are made in place. A request takes the read lock to
//! choose, and then a reference to its backend, since the lock must not be held while a request is
//! forwarded.

use super::counted::{CLOSING, Reference};
use super::{Store, choose};
use crate::backend::{Backend, BackendCounts};
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) struct RwLockPool {
    backends: RwLock<Vec<Reference>>,
    counts: Arc<BackendCounts>,
    early_close: bool,
}

impl Store for RwLockPool {
    type Held = Reference;

    const NAME: &'static str = "rwlock";
    const CLOSING: &'static str = CLOSING;

    fn new(counts: &Arc<BackendCounts>, early_close: bool) -> Result<Self, String> {
        Ok(Self { backends: RwLock::new(Vec::new()), counts: Arc::clone(counts), early_close })
    }

    fn pick(&self) -> Option<Reference> {
        let backends = self.backends.read().unwrap_or_else(PoisonError::into_inner);
        choose(&backends).cloned()
    }

    fn add(&self, backend: Backend) {
        let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
        backends.push(Reference::new(backend));
    }

    fn remove_oldest(&self) -> bool {
        let gone = {
            let mut backends = self.backends.write().unwrap_or_else(PoisonError::into_inner);
            if backends.is_empty() {
                return false;
            }
            backends.remove(0)
        };
        // The lock is released first: this may be the last reference.
        gone.removed(self.early_close);
        true
    }

    async fn drain(&self) {
        let there = self.backends.read().unwrap_or_else(PoisonError::into_inner).len();
        self.counts.at_most(there).await;
    }
}
