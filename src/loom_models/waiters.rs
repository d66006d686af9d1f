//! Waiter registration beside the end of a grace period: nobody waits for what is over.

use super::engine;
use crate::reader::waiters::Waiters;
use crate::sys::event::Event;
use loom::sync::Arc;
use loom::thread;
use std::task::{Wake, Waker};

struct Ring(Event);

impl Wake for Ring {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.set();
    }
}

/// A waiter registers and looks again; the other side raises `elapsed` and wakes.
#[test]
fn loom_models_register_then_look_again() {
    loom::model(|| {
        let (_core, engine) = engine();
        let waiters = Arc::new(Waiters::new());
        let ender = {
            let (engine, waiters) = (engine.clone(), waiters.clone());
            thread::spawn(move || {
                engine.start();
                waiters.wake_up_to(engine.scan());
            })
        };
        let target = crate::reader::sequence::Seq::from_raw(2);
        let ring = std::sync::Arc::new(Ring(Event::new()));
        let key = waiters.register(target, &Waker::from(ring.clone()));
        if !engine.has_elapsed(target) {
            ring.0.wait(None);
            assert!(engine.has_elapsed(target));
        }
        waiters.forget(key);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}

/// One of two gives up; the other is woken all the same.
#[test]
fn loom_models_a_waiter_that_gives_up() {
    loom::model(|| {
        let (_core, engine) = engine();
        let waiters = Arc::new(Waiters::new());
        let target = crate::reader::sequence::Seq::from_raw(2);
        let ring = std::sync::Arc::new(Ring(Event::new()));
        let stays = waiters.register(target, &Waker::from(ring.clone()));
        let goes = waiters.register(target, Waker::noop());
        let ender = {
            let (engine, waiters) = (engine.clone(), waiters.clone());
            thread::spawn(move || {
                engine.start();
                waiters.wake_up_to(engine.scan());
            })
        };
        waiters.forget(goes);
        ring.0.wait(None);
        assert!(engine.has_elapsed(target));
        waiters.forget(stays);
        ender.join().unwrap();
    });
}
