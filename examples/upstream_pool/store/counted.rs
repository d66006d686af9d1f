//! Closing by reference count, for the stores that know no grace periods.
//!
//! Each request takes a reference to its backend: the count is written by all processors that forward to it. The last reference
//! may go anywhere, in a request or where the backend was removed; `Drop` cannot wait, so it spawns a task that closes, for which
//! it keeps a handle to the runtime; and that all are closed has to be counted beside it, as a spawned task tells nobody.

use crate::backend::Backend;
use std::ops::Deref;
use std::sync::Arc;
use tokio::runtime::Handle;

pub(super) const CLOSING: &str = "a request holds a reference; the last one's Drop spawns a task that closes; a count tells when all are closed";

/// A backend that closes when its last reference goes.
struct Counted {
    backend: Backend,
    runtime: Handle,
}

/// A reference to one: the store's, and that of each request at it.
#[derive(Clone)]
pub(crate) struct Reference(Arc<Counted>);

impl Reference {
    pub(super) fn new(backend: Backend) -> Self {
        Self(Arc::new(Counted {
            backend,
            runtime: Handle::current(),
        }))
    }

    /// A store has just taken it out.
    pub(super) fn removed(self, early_close: bool) {
        self.mark_removed();
        if early_close {
            let closing = self.begin_close();
            self.0.runtime.spawn(async move {
                if let Some(closing) = closing {
                    closing.await;
                }
            });
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(closing) = self.backend.begin_close() {
            self.runtime.spawn(closing);
        }
    }
}

impl Deref for Reference {
    type Target = Backend;
    fn deref(&self) -> &Backend {
        &self.0.backend
    }
}
