//! Stop and restart: there is one consumer, or no consumer and no work.

use super::*;
use crate::sys::sleep_state::{Rouse, SleepState};

struct Shared {
    sleep_state: SleepState,
    queued: AtomicUsize,
    consumers: AtomicUsize,
}

impl Shared {
    /// Stops the consumer, which goes on if it finds work.
    fn stop(&self) {
        self.sleep_state.stop();
        barrier::heavy();
        let work = self.queued.load(Ordering::Relaxed) != 0;
        if !work || !self.sleep_state.take_over() {
            self.consumers.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Makes work. If that starts a consumer, the consumer is only counted.
    fn produce(&self) {
        self.queued.store(1, Ordering::Relaxed);
        barrier::light();
        if !self.sleep_state.is_awake() && self.sleep_state.rouse() == Rouse::Start {
            self.consumers.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn stop_beside<const N: usize>(producers: [(); N]) {
    let sleep_state = SleepState::stopped();
    assert!(sleep_state.take_over());
    let (queued, consumers) = (AtomicUsize::new(0), AtomicUsize::new(1));
    let shared = leak(Shared { sleep_state, queued, consumers });
    let producers = producers.map(|()| thread::spawn(|| shared.produce()));
    shared.stop();
    join_all(producers);
    let consumers = shared.consumers.load(Ordering::Acquire);
    assert_eq!(consumers, 1, "there is work, so there is one consumer");
    assert!(shared.sleep_state.is_awake());
}

#[test]
fn loom_models_restart_after_stop() {
    loom::model(|| stop_beside([(); 1]));
}

#[test]
fn loom_models_two_producers_beside_a_stop() {
    loom::model(|| stop_beside([(); 2]));
}
