//! Stop and restart: there is one consumer, or no consumer and no work.

use crate::sys::barrier;
use crate::sys::sleep_state::{Rouse, SleepState};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

struct Shared {
    sleep_state: SleepState,
    queued: AtomicUsize,
    consumers: AtomicUsize,
}

impl Shared {
    /// Stops the consumer. Returns `false` if it goes on.
    fn stop(&self) -> bool {
        self.sleep_state.stop();
        barrier::heavy();
        let work = self.queued.load(Ordering::Relaxed) != 0;
        let gone = !work || !self.sleep_state.take_over();
        if gone {
            self.consumers.fetch_sub(1, Ordering::AcqRel);
        }
        gone
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

fn model(producers: usize) {
    loom::model(move || {
        let sleep_state = SleepState::stopped();
        assert!(sleep_state.take_over());
        let shared = Arc::new(Shared {
            sleep_state,
            queued: AtomicUsize::new(0),
            consumers: AtomicUsize::new(1),
        });
        let handles: Vec<_> = (0..producers)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.produce())
            })
            .collect();
        shared.stop();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(
            shared.consumers.load(Ordering::Acquire),
            1,
            "there is work, so there is one consumer"
        );
        assert!(shared.sleep_state.is_awake());
    });
}

#[test]
fn loom_models_restart_after_stop() {
    model(1);
}

#[test]
fn loom_models_two_producers_beside_a_stop() {
    model(2);
}
