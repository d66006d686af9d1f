//! Elsewhere: a lock and a condition variable.

use crate::sys::prim::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(in crate::sys) struct Park {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Park {
    pub(in crate::sys) const fn new() -> Self {
        Self {
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if word.load(Ordering::Relaxed) != value {
            return;
        }
        match timeout {
            None => drop(self.changed.wait(guard)),
            Some(d) => drop(self.changed.wait_timeout(guard, d)),
        }
    }

    pub(in crate::sys) fn wake(&self, _word: &AtomicU32) {
        // The lock closes the gap between the sleeper's look at the word and its sleep.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
}
