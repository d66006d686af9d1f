//! What a batch or an async callback is doing, for stall reports.
//!
//! # States
//! A batch is `IDLE` (the executor has it, or it is between two time slices), then `LOCKING` (it
//! waits for the global lock), then `RUNNING`, then `IDLE` again. The thread that polls the batch
//! changes the state. An async callback stays `ASYNC`. `since` is the time at which the state
//! began, or, while callbacks run, at which the present callback began.

use crate::sys::clock::Instant;
use crate::sys::prim::{AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::sys::thread::{self, Thread};
use std::time::Duration;

pub(crate) const IDLE: u8 = 0;
pub(crate) const LOCKING: u8 = 1;
pub(crate) const RUNNING: u8 = 2;
pub(crate) const ASYNC: u8 = 3;

/// The number of an async callback's ticket (0 for a batch), and a unique number.
pub(crate) type ProgressKey = (u64, u64);

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) key: ProgressKey,
    /// Times are nanoseconds after this.
    start: Instant,
    state: AtomicU8,
    since: AtomicU64,
    thread: Mutex<Option<Thread>>,
    /// The `since` that was last reported, and how often. Only for the grace-period thread.
    pub(crate) reported: AtomicU64,
    pub(crate) reports: AtomicU32,
}

pub(crate) fn nanos(start: Instant, at: Instant) -> u64 {
    saturated(at.saturating_duration_since(start))
}

pub(crate) fn saturated(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Progress {
    pub(crate) fn new(key: ProgressKey, state: u8, start: Instant) -> Self {
        Self {
            key,
            start,
            state: AtomicU8::new(state),
            since: AtomicU64::new(nanos(start, Instant::now())),
            thread: Mutex::new(None),
            reported: AtomicU64::new(u64::MAX),
            reports: AtomicU32::new(0),
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.state() == ASYNC
    }

    pub(crate) fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Returns the thread that runs the batch, or ran it last.
    pub(crate) fn thread(&self) -> Option<Thread> {
        self.thread.lock().clone()
    }

    fn enter(&self, state: u8, at: Instant) {
        self.next_callback(at);
        // Release: a thread that sees the state sees when it began.
        self.state.store(state, Ordering::Release);
    }

    pub(crate) fn waits_for_lock(&self) {
        if self.state.load(Ordering::Relaxed) != LOCKING {
            self.enter(LOCKING, Instant::now());
        }
    }

    pub(crate) fn runs(&self, at: Instant) {
        let last = self.thread.lock().replace(thread::current());
        drop(last);
        self.enter(RUNNING, at);
    }

    #[inline]
    pub(crate) fn next_callback(&self, at: Instant) {
        self.since.store(nanos(self.start, at), Ordering::Relaxed);
    }

    pub(crate) fn pauses(&self, at: Instant) {
        self.enter(IDLE, at);
    }
}
