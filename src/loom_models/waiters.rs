//! Waiters beside the end of a grace period: each is woken if its grace period ends.

use super::*;
use crate::sys::wait_list::{Place, WaitList};

/// An engine, and those who wait for its first grace period.
struct Shared {
    engine: &'static Engine,
    waiters: WaitList<Seq>,
}

fn shared() -> &'static Shared {
    leak(Shared { engine: engine().1, waiters: WaitList::new(()) })
}

impl Shared {
    fn target() -> Seq {
        Seq::from_raw(2)
    }

    fn join(&self, waker: &Waker) -> Option<Place<Seq>> {
        let mut place = None;
        self.waiters.join(&mut place, waker, |()| Self::target());
        place
    }

    fn is_over(&self) -> bool {
        self.engine.has_elapsed(Self::target())
    }

    /// Starts a thread that ends the grace period and wakes the waiters.
    fn ends(&'static self) -> JoinHandle<()> {
        thread::spawn(|| {
            self.engine.start();
            self.waiters.wake_up_to(self.engine.scan());
        })
    }

    /// Makes a waker that comes back to the list when it is woken or dropped.
    fn returning(&'static self, event: &'static Event) -> Waker {
        let come_back = || self.waiters.leave(&mut Some((Seq::LAST, 0)));
        let woken = move || {
            come_back();
            event.set();
        };
        waker(woken, come_back)
    }
}

fn event() -> &'static Event {
    leak(Event::new())
}

/// A waiter joins and looks again, while the other side raises `elapsed` and wakes.
#[test]
fn loom_models_register_then_look_again() {
    loom::model(|| {
        let shared = shared();
        let ender = shared.ends();
        let event = event();
        let mut place = shared.join(&waker(|| event.set(), || ()));
        if !shared.is_over() {
            event.wait(None);
            assert!(shared.is_over());
        }
        shared.waiters.leave(&mut place);
        ender.join().unwrap();
        assert_eq!(shared.waiters.len(), 0);
    });
}

/// One of two waiters gives up. The other is woken.
#[test]
fn loom_models_a_waiter_that_gives_up() {
    loom::model(|| {
        let shared = shared();
        let event = event();
        let mut stays = shared.join(&waker(|| event.set(), || ()));
        let mut goes = shared.join(Waker::noop());
        let ender = shared.ends();
        shared.waiters.leave(&mut goes);
        event.wait(None);
        assert!(shared.is_over());
        shared.waiters.leave(&mut stays);
        ender.join().unwrap();
    });
}

/// One of two waiters is polled again with another waker, beside the end of the grace period. The
/// last waker is woken, or the grace period is over.
#[test]
fn loom_models_a_waker_that_is_replaced() {
    loom::model(|| {
        let shared = shared();
        let events = [(); 3].map(|()| event());
        let mut first = shared.join(&shared.returning(events[0]));
        let mut second = shared.join(&shared.returning(events[1]));
        let ender = shared.ends();
        if shared.waiters.rejoin(second.unwrap(), &shared.returning(events[2])) {
            events[2].wait(None);
        }
        assert!(shared.is_over());
        events[0].wait(None);
        shared.waiters.leave(&mut first);
        shared.waiters.leave(&mut second);
        ender.join().unwrap();
        assert_eq!(shared.waiters.len(), 0);
    });
}

/// A waiter leaves beside the end of the grace period.
#[test]
fn loom_models_a_waker_that_is_dropped() {
    loom::model(|| {
        let shared = shared();
        let mut place = shared.join(&shared.returning(event()));
        let ender = shared.ends();
        shared.waiters.leave(&mut place);
        ender.join().unwrap();
        assert_eq!(shared.waiters.len(), 0);
    });
}
