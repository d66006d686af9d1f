//! Calling wakers: outside of locks, in chunks, and with their panics contained.
//!
//! In the child of a fork, wakers that other threads left behind are neither called nor dropped.
//! They are foreign code, and might wait for ever for a lock that such a thread holds there.

use super::gate::ThreadNumber;
use super::unwind::quietly;
use std::task::Waker;

crate::sys::prim::model_const! {
    /// The most wakers taken out under one lock. It bounds the time that the lock is held.
    const CHUNK: usize = 64, loom 1;
}

/// A waker that waits in a list to be called.
#[derive(Debug)]
pub(crate) struct Parked {
    /// `None` only during the drop.
    waker: Option<Waker>,
    by: ThreadNumber,
}

impl Parked {
    /// Clones the waker, which is foreign code. The waker counts as the current thread's.
    pub(crate) fn of(waker: &Waker) -> Self {
        Self { waker: Some(waker.clone()), by: ThreadNumber::current() }
    }

    fn wake(mut self) {
        if !self.by.was_left_behind() {
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if self.by.was_left_behind() {
            std::mem::forget(self.waker.take());
        }
    }
}

/// Wakers that a thread took out under a lock, and calls after it has released the lock.
#[derive(Debug, Default)]
pub(crate) struct WakeList(Vec<Parked>);

impl WakeList {
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= CHUNK
    }

    pub(crate) fn push(&mut self, waker: Parked) {
        self.0.push(waker);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn append(&mut self, mut others: WakeList) {
        self.0.append(&mut others.0);
    }

    /// Calls all the wakers, even if one panics. The panic hook has already reported the panic.
    pub(crate) fn wake_all(&mut self) {
        for waker in self.0.drain(..) {
            let _ = quietly(move || waker.wake());
        }
    }

    /// Drops all the wakers, even if the drop of one panics.
    pub(crate) fn drop_all(&mut self) {
        for waker in self.0.drain(..) {
            let _ = quietly(move || drop(waker));
        }
    }
}
