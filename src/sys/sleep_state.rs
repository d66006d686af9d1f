//! Whether the one consumer has to be woken: the flag that producers look at instead of an event.
//!
//! # States
//! | state | meaning | who leaves it |
//! |---|---|---|
//! | `AWAKE` | it will look at the queues again by itself | the consumer |
//! | `ASLEEP` | it sleeps, or is about to | whoever wakes it, once, by compare-exchange; or itself |
//! | `STOPPED` | there is no consumer, or it is about to go | one compare-exchange wins: a starter, or the old consumer that undoes it |
//!
//! # Order
//! A producer publishes its work, passes a light fence, and looks here. The consumer changes the state, passes a heavy
//! fence, and looks at the work again. So one of them sees the other ([`barrier`](super::barrier)'s contract): a
//! producer that reads `AWAKE` has its work seen.

use super::prim::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const STOPPED: u8 = 2;

/// What a producer that found the consumer not awake has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rouse {
    /// Another one does it.
    Nothing,
    /// The consumer slept: set its event.
    Wake,
    /// There was no consumer, and the caller is the one that starts it.
    Start,
}

#[derive(Debug)]
pub(crate) struct SleepState(AtomicU8);

impl SleepState {
    pub(crate) fn stopped() -> Self {
        Self(AtomicU8::new(STOPPED))
    }

    /// The producer's look, behind its light fence.
    #[inline(always)]
    pub(crate) fn is_awake(&self) -> bool {
        self.0.load(Ordering::Relaxed) == AWAKE
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOPPED
    }

    /// Consumer: about to sleep. A heavy fence and another look at all work must follow.
    pub(crate) fn fall_asleep(&self) {
        self.0.store(ASLEEP, Ordering::Relaxed);
    }

    /// Consumer: awake again. Nobody else moves the state from `AWAKE`, and a waker's move to it is the same.
    ///
    /// A swap where a store would do: to loom, a later [`stop`](Self::stop) may else come before the waker's exchange.
    pub(crate) fn wake_up(&self) {
        self.0.swap(AWAKE, Ordering::Relaxed);
    }

    /// Consumer: about to go. A heavy fence and another look at all work must follow.
    pub(crate) fn stop(&self) {
        self.0.store(STOPPED, Ordering::Relaxed);
    }

    /// `STOPPED -> AWAKE`: a starter before it starts a consumer, or the old consumer that found work. Exactly one of
    /// them gets `true`; an old consumer that does not must go.
    pub(crate) fn take_over(&self) -> bool {
        self.0
            .compare_exchange(STOPPED, AWAKE, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// A starter that could not start: the next one tries again.
    pub(crate) fn give_back(&self) {
        self.0.store(STOPPED, Ordering::Release);
    }

    /// Producer, off the hot path: who is to be woken or started?
    #[cold]
    pub(crate) fn rouse(&self) -> Rouse {
        let seen = self
            .0
            .compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Acquire);
        match seen {
            Ok(_) => Rouse::Wake,
            Err(STOPPED) if self.take_over() => Rouse::Start,
            Err(_) => Rouse::Nothing,
        }
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_starter_wins() {
        let sleep_state = SleepState::stopped();
        assert!(sleep_state.is_stopped());
        assert_eq!(sleep_state.rouse(), Rouse::Start);
        assert_eq!(sleep_state.rouse(), Rouse::Nothing);
        assert!(!sleep_state.take_over());
        sleep_state.give_back();
        assert!(sleep_state.take_over());
    }

    #[test]
    fn one_waker_wins() {
        let sleep_state = SleepState::stopped();
        assert!(sleep_state.take_over());
        sleep_state.fall_asleep();
        assert!(!sleep_state.is_awake());
        assert_eq!(sleep_state.rouse(), Rouse::Wake);
        assert_eq!(sleep_state.rouse(), Rouse::Nothing);
        assert!(sleep_state.is_awake());
    }
}
