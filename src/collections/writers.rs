//! The lock of a structure's writers, which knows its holding thread.
//!
//! Users' code may run while the lock is held: the predicate of `retain`, and code between the
//! edits of a writer's handle. If that code writes the same structure, the thread would wait for
//! itself, so it panics instead. `holder` is the address of a byte of the holding thread, or 0. A
//! thread finds its own address there only if it stored it and has not stored 0 since. So Relaxed
//! is enough.
//!
//! # Invariants
//! 1. The guarded state is whole whenever users' code runs, so that a panic leaves nothing to mend.

use crate::sys::prim::{AtomicUsize, LongMutex, LongMutexGuard, Ordering};
use std::ops::{Deref, DerefMut};

thread_local! {
    /// Its address differs between living threads. It has no destructor, so that it exists until
    /// the thread's last instruction.
    static MARK: u8 = const { 0 };
}

fn this_thread() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

#[derive(Debug)]
pub(super) struct Writers<S> {
    state: LongMutex<S>,
    holder: AtomicUsize,
}

/// The held lock.
#[derive(Debug)]
pub(super) struct Writing<'a, S> {
    state: LongMutexGuard<'a, S>,
    holder: &'a AtomicUsize,
}

impl<S> Writers<S> {
    pub(super) const fn new(state: S) -> Self {
        Self { state: LongMutex::new(state), holder: AtomicUsize::new(0) }
    }

    /// Waits for the lock. `what` names the operation, and `handle` the writer's type, for the
    /// panic.
    #[track_caller]
    pub(super) fn lock(&self, what: &'static str, handle: &'static str) -> Writing<'_, S> {
        let this = this_thread();
        if self.holder.load(Ordering::Relaxed) == this {
            would_wait_for_itself(what, handle);
        }
        let state = self.state.lock();
        self.holder.store(this, Ordering::Relaxed);
        Writing { state, holder: &self.holder }
    }
}

#[cold]
#[track_caller]
fn would_wait_for_itself(what: &str, handle: &str) -> ! {
    panic!(
        "deadlock: {what} on a thread that is writing the same structure already: \
         it holds a {handle}, or this is called by a closure that was given to it"
    );
}

impl<S> Drop for Writing<'_, S> {
    fn drop(&mut self) {
        // Before the lock is released, which happens when `state` is dropped.
        self.holder.store(0, Ordering::Relaxed);
    }
}

impl<S> Deref for Writing<'_, S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S> DerefMut for Writing<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}
