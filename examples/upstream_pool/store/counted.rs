//! The close by reference count, for the stores without grace periods.
//!
//! Each request takes a reference to its backend, and all processors that forward to the backend
//! write its count. The last reference may be dropped anywhere, in a request or where the backend
//! was removed. `Drop` cannot wait, so it spawns a task that closes the backend, and keeps a handle
//! to the runtime for that. No thread waits for a spawned task, so a separate count shows when all
//! backends are closed.

use crate::backend::Backend;
use std::ops::Deref;
use std::sync::Arc;
use tokio::runtime::Handle;

pub(super) const CLOSING: &str = "a request holds a reference; the Drop of the last reference \
    spawns a task that closes the backend; a count tells when all are closed";

/// A backend that closes when its last reference is dropped.
struct Counted {
    backend: Backend,
    runtime: Handle,
}

/// A reference to a backend. The store has one, and each request that uses the backend.
#[derive(Clone)]
pub(crate) struct Reference(Arc<Counted>);

impl Reference {
    pub(super) fn new(backend: Backend) -> Self {
        Self(Arc::new(Counted { backend, runtime: Handle::current() }))
    }

    /// Notes that a store has just removed the backend.
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
