//! Where writers sleep that wait for a bucket's lock.
//!
//! One place for the whole map: to sleep here is rare (the holder was preempted, it runs no foreign code), so a wake-up
//! of all who sleep is cheap enough.
//!
//! Who comes here has a [`Pass`](crate::sys::prim::Pass), as all have who hold a bucket's lock, so that no fork happens meanwhile.
//!
//! # Order
//! A waiter marks the bucket's word under the lock and sleeps in one step with leaving it. Who unlocks takes the mark
//! away together with the bucket's lock, and where there was one takes and leaves the lock before it notifies. So it
//! comes after the sleep has begun, or before the mark was tried: then the word was found unlocked, and the waiter does
//! not sleep.

use crate::sys::prim::{Condvar, LongMutex};

pub(super) struct Parker {
    lock: LongMutex<()>,
    freed: Condvar,
}

impl Parker {
    pub(super) fn new() -> Self {
        Self {
            lock: LongMutex::new(()),
            freed: Condvar::new(),
        }
    }

    /// Sleeps until somebody notifies, or for no reason; not at all where `mark` finds that it need not.
    #[cold]
    pub(super) fn sleep(&self, mark: impl FnOnce() -> bool) {
        let guard = self.lock.lock();
        if mark() {
            // Poison: nothing is guarded that could be inconsistent.
            drop(self.freed.wait(guard));
        }
    }

    #[cold]
    pub(super) fn notify(&self) {
        drop(self.lock.lock());
        self.freed.notify_all();
    }
}
