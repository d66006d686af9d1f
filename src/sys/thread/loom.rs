//! loom's, and counted: a model that leaves threads behind waits for their end, as statics go with its main thread.

use crate::sys::event::Event;
use crate::sys::prim::{AtomicUsize, Ordering, statics};
use std::io;
use std::sync::Arc;

pub(super) use loom::thread::JoinHandle;
pub(crate) use loom::thread::yield_now;

struct All {
    living: AtomicUsize,
    ended: Event,
}

statics! {
    /// Shared, as the last thread still wakes the waiter when that may go on.
    static ALL: Arc<All> = Arc::new(All {
        living: AtomicUsize::new(0),
        ended: Event::new(),
    });
}

/// Threads have no names.
pub(super) struct Builder;

impl Builder {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn name(self, _name: String) -> Self {
        self
    }

    /// Counting orders nothing but a thread's end before the model's.
    pub(super) fn spawn(self, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let all = Arc::clone(&ALL);
        all.living.fetch_add(1, Ordering::Relaxed);
        loom::thread::Builder::new().spawn(move || {
            f();
            if all.living.fetch_sub(1, Ordering::Release) == 1 {
                all.ended.set();
            }
        })
    }
}

/// The end of a model: waits until every thread that was started by the crate itself has ended.
pub(crate) fn wait_for_all() {
    loop {
        ALL.ended.reset();
        // No plain load, which might be late.
        if ALL.living.fetch_add(0, Ordering::Acquire) == 0 {
            return;
        }
        ALL.ended.wait(None);
    }
}
