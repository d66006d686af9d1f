//! Under loom: its lock and condition variable, without time.

use crate::sys::prim::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Debug)]
pub(in crate::sys) struct Park {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Park {
    pub(in crate::sys) fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
        assert!(timeout.is_none(), "models have no clock");
        let guard = self.lock.lock().unwrap();
        if word.load(Ordering::Relaxed) == value {
            drop(self.changed.wait(guard));
        }
    }

    pub(in crate::sys) fn wake(&self, _word: &AtomicU32) {
        drop(self.lock.lock().unwrap());
        self.changed.notify_one();
    }
}
