//! tokio's runtime: as an executor, and as the home of async callbacks.

use super::batch::{Batch, OnRuntime};
use super::executor::Executor;
use tokio::runtime::Handle;

/// Batches run as tasks of the runtime. Those that it drops, because it was shut down, go to the domain's worker thread.
impl Executor for Handle {
    fn execute(&self, batch: Batch) {
        drop(self.spawn(batch));
    }
}

/// A runtime that was current at some call.
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    pub(super) fn spawn(self, task: OnRuntime) {
        drop(self.0.spawn(task));
    }
}
