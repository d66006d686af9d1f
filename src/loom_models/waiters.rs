//! Waiter registration beside the end of a grace period: nobody waits for what is over.

use super::engine;
use crate::reader::sequence::Seq;
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
        let target = Seq::from_raw(2);
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
        let target = Seq::from_raw(2);
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

/// Comes back to the list when it is called and when it is dropped: neither is done under the lock.
struct Returns {
    waiters: Arc<Waiters>,
    ring: Arc<Ring>,
}

impl Returns {
    fn waker(waiters: &Arc<Waiters>, ring: &Arc<Ring>) -> Waker {
        Waker::from(std::sync::Arc::new(Returns {
            waiters: waiters.clone(),
            ring: ring.clone(),
        }))
    }

    fn come_back(&self) {
        self.waiters.forget((Seq::LAST, 0));
    }
}

impl Wake for Returns {
    fn wake(self: std::sync::Arc<Self>) {
        self.come_back();
        self.ring.0.set();
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        self.come_back();
    }
}

/// One of two is polled anew with another waker, beside the end of what both wait for: the last waker is called, or it is over.
#[test]
fn loom_models_a_waker_that_is_replaced() {
    loom::model(|| {
        let (_core, engine) = engine();
        let waiters = Arc::new(Waiters::new());
        let target = Seq::from_raw(2);
        let rings = [(); 3].map(|()| Arc::new(Ring(Event::new())));
        let first = waiters.register(target, &Returns::waker(&waiters, &rings[0]));
        let second = waiters.register(target, &Returns::waker(&waiters, &rings[1]));
        let ender = {
            let (engine, waiters) = (engine.clone(), waiters.clone());
            thread::spawn(move || {
                engine.start();
                waiters.wake_up_to(engine.scan());
            })
        };
        if waiters.update(second, &Returns::waker(&waiters, &rings[2])) {
            rings[2].0.wait(None);
        }
        assert!(engine.has_elapsed(target));
        rings[0].0.wait(None);
        waiters.forget(first);
        waiters.forget(second);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}

/// The same where one is let go of.
#[test]
fn loom_models_a_waker_that_is_dropped() {
    loom::model(|| {
        let (_core, engine) = engine();
        let waiters = Arc::new(Waiters::new());
        let target = Seq::from_raw(2);
        let ring = Arc::new(Ring(Event::new()));
        let key = waiters.register(target, &Returns::waker(&waiters, &ring));
        let ender = {
            let (engine, waiters) = (engine.clone(), waiters.clone());
            thread::spawn(move || {
                engine.start();
                waiters.wake_up_to(engine.scan());
            })
        };
        waiters.forget(key);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}
