//! Drains: over when everything up to their number is, whoever finishes first; and nobody who waits is forgotten.

use super::{Place, dispatcher};
use crate::dispatch::block::{WakeEvent, block_on};
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::tickets::Ticket;
use crate::sys::event::Event;
use loom::thread;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

/// Waits for a drain that was asked for.
fn wait(dispatcher: &Dispatcher, id: u64) {
    block_on(poll_fn(|cx| dispatcher.tickets.poll(id, cx.waker())), None);
}

/// The driver: takes what was asked, and gives it the number of the last collection.
fn number(dispatcher: &Dispatcher, event: &Event, number: u64) {
    loop {
        event.reset();
        let asked = dispatcher.tickets.take_asked();
        if !asked.is_empty() {
            return dispatcher.tickets.assign(&asked, number);
        }
        event.wait(None);
    }
}

/// Two collections end in any order, on threads of their own, beside the driver that numbers the drain.
#[test]
fn loom_models_batches_that_end_out_of_order() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let places = [Place::new(), Place::new()];
        let runners = [1, 2].map(|n: u64| {
            let ticket = Ticket::open(&dispatcher, n);
            let place = places[n as usize - 1].clone();
            thread::spawn(move || {
                place.write();
                drop(ticket);
            })
        });
        let driver = {
            let dispatcher = Arc::clone(&dispatcher);
            thread::spawn(move || number(&dispatcher, event, 2))
        };
        let id = dispatcher.tickets.ask(Waker::noop());
        event.set();
        wait(&dispatcher, id);
        places.iter().for_each(Place::look);
        driver.join().unwrap();
        for runner in runners {
            runner.join().unwrap();
        }
        assert!(!dispatcher.tickets.any_open());
    });
}

/// A share of a batch's ticket goes on elsewhere: the drain waits for both. What comes later is not waited for.
#[test]
fn loom_models_a_ticket_that_is_shared() {
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let later = Ticket::open(&dispatcher, 2);
        let first = Ticket::open(&dispatcher, 1);
        let places = [Place::new(), Place::new()];
        let shares = [first.clone(), first];
        let mut at = places.iter();
        let runners = shares.map(|share| {
            let place = at.next().unwrap().clone();
            thread::spawn(move || {
                place.write();
                drop(share);
            })
        });
        let id = dispatcher.tickets.ask(Waker::noop());
        dispatcher
            .tickets
            .assign(&dispatcher.tickets.take_asked(), 1);
        wait(&dispatcher, id);
        places.iter().for_each(Place::look);
        for runner in runners {
            runner.join().unwrap();
        }
        drop(later);
    });
}

/// One of two drains gives up, with a waker whose drop comes back to the tickets: the other is woken.
#[test]
fn loom_models_a_drain_that_gives_up() {
    struct Returns(Arc<Dispatcher>);
    impl std::task::Wake for Returns {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Returns {
        fn drop(&mut self) {
            self.0.tickets.any_open();
        }
    }
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let ticket = Ticket::open(&dispatcher, 1);
        let waker = Waker::from(Arc::new(Returns(Arc::clone(&dispatcher))));
        let goes = dispatcher.tickets.ask(&waker);
        drop(waker);
        let stays = dispatcher.tickets.ask(Waker::noop());
        let runner = thread::spawn(move || drop(ticket));
        let driver = {
            let dispatcher = Arc::clone(&dispatcher);
            thread::spawn(move || {
                let asked = dispatcher.tickets.take_asked();
                dispatcher.tickets.assign(&asked, 1);
            })
        };
        dispatcher.tickets.forget(goes);
        wait(&dispatcher, stays);
        runner.join().unwrap();
        driver.join().unwrap();
    });
}

/// A waker that is replaced while the ticket closes: the old one was called, or the new one is, or it is over.
#[test]
fn loom_models_a_drain_that_is_polled_anew() {
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let ticket = Ticket::open(&dispatcher, 1);
        let id = dispatcher.tickets.ask(Waker::noop());
        dispatcher
            .tickets
            .assign(&dispatcher.tickets.take_asked(), 1);
        let runner = thread::spawn(move || drop(ticket));
        let event = Arc::new(WakeEvent(Event::new()));
        if dispatcher
            .tickets
            .poll(id, &Waker::from(Arc::clone(&event)))
            .is_pending()
        {
            event.0.wait(None);
            assert!(dispatcher.tickets.poll(id, Waker::noop()).is_ready());
        }
        runner.join().unwrap();
    });
}

/// The driver asks to be told of the last ticket's end, and sleeps.
#[test]
fn loom_models_the_driver_hears_of_the_last() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let runners = [1, 2].map(|n| {
            let ticket = Ticket::open(&dispatcher, n);
            thread::spawn(move || drop(ticket))
        });
        loop {
            event.reset();
            if !dispatcher.tickets.watch() {
                break;
            }
            event.wait(None);
        }
        assert!(!dispatcher.tickets.any_open());
        for runner in runners {
            runner.join().unwrap();
        }
    });
}
