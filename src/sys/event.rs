//! A level-triggered event: many threads set it, one thread waits for it.
//!
//! # States
//! - `EMPTY -> WAITING`: the waiter, about to sleep.
//! - `EMPTY -> SET`: a setter.
//! - `WAITING -> SET`: a setter, which then wakes the waiter.
//! - `WAITING -> EMPTY`: the waiter, when its time is over.
//! - `SET -> EMPTY`: the waiter, by [`Event::reset`].
//!
//! # Order
//! [`set`](Event::set) and [`reset`](Event::reset) are read-modify-writes with acquire and release.
//! So after a `reset` the waiter sees everything that came before the `set` that the `reset` took
//! away. The waiter resets first and then looks for work. So sets may collapse, but none is lost.

use super::clock::Instant;
use super::delay::{self, Window};
use super::park::Park;
use super::prim::{AtomicU32, Ordering};
use std::time::Duration;

/// The value that `Default` gives.
const EMPTY: u32 = 0;
const SET: u32 = 1;
const WAITING: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct Event {
    state: AtomicU32,
    park: Park,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the event, and wakes the waiter if it sleeps.
    pub(crate) fn set(&self) {
        if self.state.swap(SET, Ordering::AcqRel) == WAITING {
            self.park.wake(&self.state);
        }
    }

    /// Takes the event away. Only the waiter calls this.
    pub(crate) fn reset(&self) {
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    fn change(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.state.compare_exchange(old, new, Ordering::Acquire, Ordering::Acquire)
    }

    /// Sleeps until the event is set or `timeout` is over. Returns whether the event is set, and
    /// leaves it set. Only one thread may wait at a time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        if self.change(EMPTY, WAITING).is_err() {
            return true;
        }
        delay::at(Window::Armed);
        let deadline = timeout.and_then(|d| Instant::now().checked_add(d));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return self.change(WAITING, EMPTY).is_err();
            }
            self.park.wait(&self.state, WAITING, left);
            if self.state.load(Ordering::Acquire) == SET {
                return true;
            }
        }
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_set_before_the_wait_is_not_lost_and_stays_until_reset() {
        let event = Event::new();
        event.set();
        assert!(event.wait(None));
        assert!(event.wait(Some(Duration::ZERO)));
        event.reset();
        assert!(!event.wait(Some(Duration::from_millis(1))));
    }

    #[test]
    fn a_set_wakes_a_sleeper() {
        let event = Arc::new(Event::new());
        let other = Arc::clone(&event);
        let waiter = std::thread::spawn(move || other.wait(None));
        event.set();
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn a_time_out_leaves_no_trace() {
        let event = Event::new();
        assert!(!event.wait(Some(Duration::from_micros(1))));
        assert_eq!(event.state.load(Ordering::Relaxed), EMPTY);
        event.set();
        assert!(event.wait(Some(Duration::MAX)));
    }
}
