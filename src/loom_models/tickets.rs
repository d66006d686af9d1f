//! Drains: a drain is over when all work up to its number has ended, in any order. Every waiting
//! drain is woken.

use super::{WrittenOnce, dispatcher};
use crate::dispatch::blocking::{WakeEvent, block_on};
use crate::domain::dispatcher::Dispatcher;
use crate::sys::event::Event;
use crate::sys::wait_list::Place;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

fn ask(dispatcher: &Dispatcher) -> Option<Place<u64>> {
    let mut place = None;
    dispatcher.tickets.ask(&mut place, Waker::noop());
    place
}

fn wait(dispatcher: &Dispatcher, mut place: Option<Place<u64>>) {
    let poll = poll_fn(|cx| dispatcher.tickets.poll(&mut place, cx.waker()));
    block_on(poll, None);
}

/// Two collections end in any order, on two threads, while a drain waits for a third, empty one.
#[test]
fn loom_models_batches_that_end_out_of_order() {
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let values = [WrittenOnce::new(), WrittenOnce::new()];
        let runners = values.clone().map(|value| {
            let ticket = dispatcher.begin_collection();
            thread::spawn(move || {
                value.write();
                drop(ticket);
            })
        });
        let drain = ask(&dispatcher);
        assert!(dispatcher.tickets.any_asked());
        drop(dispatcher.begin_collection());
        wait(&dispatcher, drain);
        values.iter().for_each(WrittenOnce::look);
        for runner in runners {
            runner.join().unwrap();
        }
        assert!(!dispatcher.tickets.any_open());
    });
}

/// A callback is queued and a drain is asked for, while a collection may have read the queue. The
/// drain waits until a collection has found the callback.
#[test]
fn loom_models_a_drain_beside_a_collection() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let queued = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicUsize::new(0));
        let value = WrittenOnce::new();
        let collector = {
            let (dispatcher, queued) = (Arc::clone(&dispatcher), Arc::clone(&queued));
            let (value, over) = (value.clone(), Arc::clone(&over));
            thread::spawn(move || {
                let (mut due, mut found) = (true, false);
                while over.load(Ordering::Relaxed) == 0 {
                    event.reset();
                    if due || dispatcher.tickets.any_asked() {
                        let ticket = dispatcher.begin_collection();
                        if !found && queued.load(Ordering::Relaxed) != 0 {
                            found = true;
                            value.write();
                        }
                        drop(ticket);
                        due = false;
                    } else if over.load(Ordering::Relaxed) == 0 {
                        event.wait(None);
                    }
                }
            })
        };
        queued.store(1, Ordering::Relaxed);
        let drain = ask(&dispatcher);
        event.set();
        wait(&dispatcher, drain);
        value.look();
        over.store(1, Ordering::Relaxed);
        event.set();
        collector.join().unwrap();
    });
}

/// A drain waits for both shares of a collection's ticket, and not for a later collection.
#[test]
fn loom_models_a_ticket_that_is_shared() {
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let drain = ask(&dispatcher);
        let first = dispatcher.begin_collection();
        let later = dispatcher.begin_collection();
        let values = [WrittenOnce::new(), WrittenOnce::new()];
        let mut shares = [Some(first.clone()), Some(first)];
        let mut share = shares.iter_mut();
        let runners = values.clone().map(|value| {
            let share = share.next().and_then(Option::take);
            thread::spawn(move || {
                value.write();
                drop(share);
            })
        });
        wait(&dispatcher, drain);
        values.iter().for_each(WrittenOnce::look);
        for runner in runners {
            runner.join().unwrap();
        }
        drop(later);
    });
}

/// One of two drains gives up, and its waker's drop comes back to the tickets. The other drain is
/// woken.
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
        let waker = Waker::from(Arc::new(Returns(Arc::clone(&dispatcher))));
        let mut goes = None;
        dispatcher.tickets.ask(&mut goes, &waker);
        drop(waker);
        let stays = ask(&dispatcher);
        let collector = {
            let dispatcher = Arc::clone(&dispatcher);
            thread::spawn(move || drop(dispatcher.begin_collection()))
        };
        dispatcher.tickets.forget(&mut goes);
        wait(&dispatcher, stays);
        collector.join().unwrap();
    });
}

/// A drain gets another waker while the ticket closes. One of the two wakers is called, or the
/// drain is over.
#[test]
fn loom_models_a_drain_that_is_polled_anew() {
    loom::model(|| {
        let (_, dispatcher) = dispatcher();
        let mut drain = ask(&dispatcher);
        let ticket = dispatcher.begin_collection();
        let runner = thread::spawn(move || drop(ticket));
        let event = Arc::new(WakeEvent(Event::new()));
        let waker = Waker::from(Arc::clone(&event));
        if dispatcher.tickets.poll(&mut drain, &waker).is_pending() {
            event.0.wait(None);
            let over = dispatcher.tickets.poll(&mut drain, Waker::noop());
            assert!(over.is_ready());
        }
        runner.join().unwrap();
    });
}

/// The grace-period thread asks to be woken when the last ticket closes, and sleeps.
#[test]
fn loom_models_the_grace_period_thread_hears_of_the_last() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let runners = [(); 2].map(|()| {
            let ticket = dispatcher.begin_collection();
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
