//! Whether the one consumer has to be woken: a flag that producers read before they set an event.
//!
//! # States
//! | state | the consumer | left by |
//! |---|---|---|
//! | `AWAKE` | will look at the queues again by itself | the consumer |
//! | `ASLEEP` | sleeps, or is about to | the consumer, or one waker by compare-exchange |
//! | `STOPPED` | does not exist, or is about to end | a starter or the old consumer, by compare-exchange |
//!
//! # Order
//! A producer publishes its work, does a light fence, and reads the state. The consumer changes the
//! state, does a heavy fence, and looks at the work again. By the contract of
//! [`barrier`](super::barrier), one of them sees the other. So if a producer reads `AWAKE`, the
//! consumer sees its work.

use super::prim::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const STOPPED: u8 = 2;

/// What a producer has to do if the consumer is not awake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rouse {
    /// Nothing: another thread does it.
    Nothing,
    /// Set the event of the consumer, which slept.
    Wake,
    /// Start a consumer. There is none, and no other thread starts one.
    Start,
}

#[derive(Debug)]
pub(crate) struct SleepState(AtomicU8);

impl SleepState {
    pub(crate) fn stopped() -> Self {
        Self(AtomicU8::new(STOPPED))
    }

    /// Producer: after its light fence.
    #[inline(always)]
    pub(crate) fn is_awake(&self) -> bool {
        self.0.load(Ordering::Relaxed) == AWAKE
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOPPED
    }

    /// Consumer: before it sleeps. A heavy fence and another look at all work must follow.
    pub(crate) fn fall_asleep(&self) {
        self.0.store(ASLEEP, Ordering::Relaxed);
    }

    /// Consumer: awake again. Wakers set `AWAKE` too, and no other thread moves the state from it.
    ///
    /// A store would do, but with a store loom may order a later [`stop`](Self::stop) before the
    /// waker's exchange.
    pub(crate) fn wake_up(&self) {
        self.0.swap(AWAKE, Ordering::Relaxed);
    }

    /// Consumer: before it ends. A heavy fence and another look at all work must follow.
    pub(crate) fn stop(&self) {
        self.0.store(STOPPED, Ordering::Relaxed);
    }

    /// `STOPPED -> AWAKE`: a starter before it starts a consumer, or an old consumer that found
    /// work. Exactly one of them gets `true`. An old consumer that gets `false` must end.
    pub(crate) fn take_over(&self) -> bool {
        self.0.compare_exchange(STOPPED, AWAKE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Starter, if the start failed: the next producer tries again.
    pub(crate) fn give_back(&self) {
        self.0.store(STOPPED, Ordering::Release);
    }

    /// Producer, off the hot path: whether to wake or to start the consumer.
    #[cold]
    pub(crate) fn rouse(&self) -> Rouse {
        let seen = self.0.compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Acquire);
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
