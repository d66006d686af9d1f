//! The backends in an `ArcSwap`. A request calls `load` to choose, which mostly counts nothing, and
//! then takes a reference to its backend: the authors of `ArcSwap` advise against holding the
//! result of `load` across awaits.

use super::counted::{CLOSING, Reference};
use super::{Store, choose};
use crate::backend::{Backend, BackendCounts};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct ArcSwapPool {
    backends: ArcSwap<Vec<Reference>>,
    writers: Mutex<()>,
    counts: Arc<BackendCounts>,
    early_close: bool,
}

impl Store for ArcSwapPool {
    type Held = Reference;

    const NAME: &'static str = "arc-swap";
    const CLOSING: &'static str = CLOSING;

    fn new(counts: &Arc<BackendCounts>, early_close: bool) -> Result<Self, String> {
        Ok(Self {
            backends: ArcSwap::from_pointee(Vec::new()),
            writers: Mutex::new(()),
            counts: Arc::clone(counts),
            early_close,
        })
    }

    fn pick(&self) -> Option<Reference> {
        choose(&self.backends.load()).cloned()
    }

    fn add(&self, backend: Backend) {
        let _alone = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut backends = Vec::clone(&self.backends.load());
        backends.push(Reference::new(backend));
        self.backends.store(Arc::new(backends));
    }

    fn remove_oldest(&self) -> bool {
        let _alone = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut backends = Vec::clone(&self.backends.load());
        if backends.is_empty() {
            return false;
        }
        let gone = backends.remove(0);
        self.backends.store(Arc::new(backends));
        gone.removed(self.early_close);
        true
    }

    async fn drain(&self) {
        self.counts.at_most(self.backends.load().len()).await;
    }
}
