//! Drains: over when everything up to their number is, whoever finishes first; and nobody who waits is forgotten.

use super::{Place, office};
use crate::dispatch::block::{WakeEvent, block_on};
use crate::dispatch::office::Office;
use crate::dispatch::tickets::Ticket;
use crate::sys::event::Event;
use loom::thread;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

/// Waits for a drain that was asked for.
fn wait(office: &Office, id: u64) {
    block_on(poll_fn(|cx| office.tickets.poll(id, cx.waker())), None);
}

/// The driver: takes what was asked, and gives it the number of the last collection.
fn number(office: &Office, event: &Event, number: u64) {
    loop {
        event.reset();
        let asked = office.tickets.take_asked();
        if !asked.is_empty() {
            return office.tickets.assign(&asked, number);
        }
        event.wait(None);
    }
}

/// Two collections end in any order, on threads of their own, beside the driver that numbers the drain.
#[test]
fn loom_models_batches_that_end_out_of_order() {
    loom::model(|| {
        let (hub, office) = office();
        let places = [Place::new(), Place::new()];
        let runners = [1, 2].map(|n: u64| {
            let ticket = Ticket::open(&office, n);
            let place = places[n as usize - 1].clone();
            thread::spawn(move || {
                place.write();
                drop(ticket);
            })
        });
        let driver = {
            let office = Arc::clone(&office);
            thread::spawn(move || number(&office, &hub.event, 2))
        };
        let id = office.tickets.ask(Waker::noop());
        hub.event.set();
        wait(&office, id);
        places.iter().for_each(Place::look);
        driver.join().unwrap();
        for runner in runners {
            runner.join().unwrap();
        }
        assert!(!office.tickets.any_open());
    });
}

/// A share of a batch's ticket goes on elsewhere: the drain waits for both. What comes later is not waited for.
#[test]
fn loom_models_a_ticket_that_is_shared() {
    loom::model(|| {
        let (_, office) = office();
        let later = Ticket::open(&office, 2);
        let first = Ticket::open(&office, 1);
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
        let id = office.tickets.ask(Waker::noop());
        office.tickets.assign(&office.tickets.take_asked(), 1);
        wait(&office, id);
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
    struct Returns(Arc<Office>);
    impl std::task::Wake for Returns {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Returns {
        fn drop(&mut self) {
            self.0.tickets.any_open();
        }
    }
    loom::model(|| {
        let (_, office) = office();
        let ticket = Ticket::open(&office, 1);
        let waker = Waker::from(Arc::new(Returns(Arc::clone(&office))));
        let goes = office.tickets.ask(&waker);
        drop(waker);
        let stays = office.tickets.ask(Waker::noop());
        let runner = thread::spawn(move || drop(ticket));
        let driver = {
            let office = Arc::clone(&office);
            thread::spawn(move || {
                let asked = office.tickets.take_asked();
                office.tickets.assign(&asked, 1);
            })
        };
        office.tickets.forget(goes);
        wait(&office, stays);
        runner.join().unwrap();
        driver.join().unwrap();
    });
}

/// A waker that is replaced while the ticket closes: the old one was called, or the new one is, or it is over.
#[test]
fn loom_models_a_drain_that_is_polled_anew() {
    loom::model(|| {
        let (_, office) = office();
        let ticket = Ticket::open(&office, 1);
        let id = office.tickets.ask(Waker::noop());
        office.tickets.assign(&office.tickets.take_asked(), 1);
        let runner = thread::spawn(move || drop(ticket));
        let event = Arc::new(WakeEvent(Event::new()));
        if office
            .tickets
            .poll(id, &Waker::from(Arc::clone(&event)))
            .is_pending()
        {
            event.0.wait(None);
            assert!(office.tickets.poll(id, Waker::noop()).is_ready());
        }
        runner.join().unwrap();
    });
}

/// The driver asks to be told of the last ticket's end, and sleeps.
#[test]
fn loom_models_the_driver_hears_of_the_last() {
    loom::model(|| {
        let (hub, office) = office();
        let runners = [1, 2].map(|n| {
            let ticket = Ticket::open(&office, n);
            thread::spawn(move || drop(ticket))
        });
        loop {
            hub.event.reset();
            if !office.tickets.watch() {
                break;
            }
            hub.event.wait(None);
        }
        assert!(!office.tickets.any_open());
        for runner in runners {
            runner.join().unwrap();
        }
    });
}
