//! Waiters beside the end of a grace period: each is woken if its grace period ends.

use super::engine;
use crate::grace_period::Engine;
use crate::reader::sequence::Seq;
use crate::sys::event::Event;
use crate::sys::wait_list::{Place, WaitList};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use std::task::{Wake, Waker};

struct Ring(Event);

impl Wake for Ring {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.set();
    }
}

fn ring() -> std::sync::Arc<Ring> {
    std::sync::Arc::new(Ring(Event::new()))
}

fn target() -> Seq {
    Seq::from_raw(2)
}

fn join(waiters: &WaitList<Seq>, waker: &Waker) -> Option<Place<Seq>> {
    let mut place = None;
    waiters.join(&mut place, waker, |()| target());
    place
}

/// Starts a thread that ends the grace period and wakes the waiters.
fn ends(engine: &Arc<Engine>, waiters: &Arc<WaitList<Seq>>) -> JoinHandle<()> {
    let (engine, waiters) = (engine.clone(), waiters.clone());
    thread::spawn(move || {
        engine.start();
        waiters.wake_up_to(engine.scan());
    })
}

/// A waiter joins and looks again, while the other side raises `elapsed` and wakes.
#[test]
fn loom_models_register_then_look_again() {
    loom::model(|| {
        let (_, engine) = engine();
        let waiters = Arc::new(WaitList::new(()));
        let ender = ends(&engine, &waiters);
        let ring = ring();
        let mut place = join(&waiters, &Waker::from(ring.clone()));
        if !engine.has_elapsed(target()) {
            ring.0.wait(None);
            assert!(engine.has_elapsed(target()));
        }
        waiters.leave(&mut place);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}

/// One of two waiters gives up. The other is woken.
#[test]
fn loom_models_a_waiter_that_gives_up() {
    loom::model(|| {
        let (_, engine) = engine();
        let waiters = Arc::new(WaitList::new(()));
        let ring = ring();
        let mut stays = join(&waiters, &Waker::from(ring.clone()));
        let mut goes = join(&waiters, Waker::noop());
        let ender = ends(&engine, &waiters);
        waiters.leave(&mut goes);
        ring.0.wait(None);
        assert!(engine.has_elapsed(target()));
        waiters.leave(&mut stays);
        ender.join().unwrap();
    });
}

/// A waker that comes back to the list when it is woken or dropped, and hangs under the list's
/// lock.
struct Returns {
    waiters: Arc<WaitList<Seq>>,
    ring: std::sync::Arc<Ring>,
}

impl Returns {
    fn waker(waiters: &Arc<WaitList<Seq>>, ring: &std::sync::Arc<Ring>) -> Waker {
        Waker::from(std::sync::Arc::new(Returns { waiters: waiters.clone(), ring: ring.clone() }))
    }

    fn come_back(&self) {
        self.waiters.leave(&mut Some((Seq::LAST, 0)));
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

/// One of two waiters is polled again with another waker, beside the end of the grace period. The
/// last waker is woken, or the grace period is over.
#[test]
fn loom_models_a_waker_that_is_replaced() {
    loom::model(|| {
        let (_, engine) = engine();
        let waiters = Arc::new(WaitList::new(()));
        let rings = [(); 3].map(|()| ring());
        let mut first = join(&waiters, &Returns::waker(&waiters, &rings[0]));
        let mut second = join(&waiters, &Returns::waker(&waiters, &rings[1]));
        let ender = ends(&engine, &waiters);
        if waiters.rejoin(second.unwrap(), &Returns::waker(&waiters, &rings[2])) {
            rings[2].0.wait(None);
        }
        assert!(engine.has_elapsed(target()));
        rings[0].0.wait(None);
        waiters.leave(&mut first);
        waiters.leave(&mut second);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}

/// A waiter leaves beside the end of the grace period.
#[test]
fn loom_models_a_waker_that_is_dropped() {
    loom::model(|| {
        let (_, engine) = engine();
        let waiters = Arc::new(WaitList::new(()));
        let mut place = join(&waiters, &Returns::waker(&waiters, &ring()));
        let ender = ends(&engine, &waiters);
        waiters.leave(&mut place);
        ender.join().unwrap();
        assert_eq!(waiters.len(), 0);
    });
}
