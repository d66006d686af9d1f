//! Drains: a drain is over when all work up to its number has ended, in any order. Every waiting
//! drain is woken.

use super::*;
use crate::sys::wait_list::Place;

fn ask(dispatcher: &Dispatcher) -> Option<Place<u64>> {
    let mut place = None;
    dispatcher.tickets.ask(&mut place, Waker::noop());
    place
}

fn wait(dispatcher: &Dispatcher, mut place: Option<Place<u64>>) {
    let poll = poll_fn(|cx| dispatcher.tickets.poll(&mut place, cx.waker()));
    block_on(poll, None);
}

fn two_places() -> [&'static Value; 2] {
    [(); 2].map(|()| leak(Value::unwritten()))
}

/// Two collections end in any order, on two threads, while a drain waits for a third, empty one.
#[test]
fn loom_models_batches_that_end_out_of_order() {
    loom::model(|| {
        let dispatcher = dispatcher().1;
        let values = two_places();
        let runners = values.map(|value| {
            let ticket = dispatcher.begin_collection();
            thread::spawn(move || {
                value.count_up();
                drop(ticket);
            })
        });
        let drain = ask(dispatcher);
        assert!(dispatcher.tickets.any_asked());
        drop(dispatcher.begin_collection());
        wait(dispatcher, drain);
        assert!(values.iter().all(|value| value.was_counted_once()));
        join_all(runners);
        assert!(!dispatcher.tickets.any_open());
    });
}

/// A callback is queued and a drain is asked for, while a collection may have read the queue. The
/// drain waits until a collection has found the callback.
#[test]
fn loom_models_a_drain_beside_a_collection() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let queued = leak(AtomicUsize::new(0));
        let over = leak(AtomicUsize::new(0));
        let value = leak(Value::unwritten());
        let collector = thread::spawn(|| {
            let (mut due, mut found) = (true, false);
            while over.load(Ordering::Relaxed) == 0 {
                event.reset();
                if due || dispatcher.tickets.any_asked() {
                    let ticket = dispatcher.begin_collection();
                    if !found && queued.load(Ordering::Relaxed) != 0 {
                        found = true;
                        value.count_up();
                    }
                    drop(ticket);
                    due = false;
                } else if over.load(Ordering::Relaxed) == 0 {
                    event.wait(None);
                }
            }
        });
        queued.store(1, Ordering::Relaxed);
        let drain = ask(dispatcher);
        event.set();
        wait(dispatcher, drain);
        assert!(value.was_counted_once());
        over.store(1, Ordering::Relaxed);
        event.set();
        collector.join().unwrap();
    });
}

/// A drain waits for both shares of a collection's ticket, and not for a later collection.
#[test]
fn loom_models_a_ticket_that_is_shared() {
    loom::model(|| {
        let dispatcher = dispatcher().1;
        let drain = ask(dispatcher);
        let first = dispatcher.begin_collection();
        let later = dispatcher.begin_collection();
        let values = two_places();
        let shares = [(values[0], first.clone()), (values[1], first)];
        let runners = shares.map(|(value, share)| {
            thread::spawn(move || {
                value.count_up();
                drop(share);
            })
        });
        wait(dispatcher, drain);
        assert!(values.iter().all(|value| value.was_counted_once()));
        join_all(runners);
        drop(later);
    });
}

/// One of two drains gives up, and its waker's drop comes back to the tickets. The other drain is
/// woken.
#[test]
fn loom_models_a_drain_that_gives_up() {
    loom::model(|| {
        let dispatcher = dispatcher().1;
        let come_back = || {
            dispatcher.tickets.any_open();
        };
        let waker = waker(|| (), come_back);
        let mut goes = None;
        dispatcher.tickets.ask(&mut goes, &waker);
        drop(waker);
        let stays = ask(dispatcher);
        let collector = thread::spawn(|| drop(dispatcher.begin_collection()));
        dispatcher.tickets.forget(&mut goes);
        wait(dispatcher, stays);
        collector.join().unwrap();
    });
}

/// A drain gets another waker while the ticket closes. One of the two wakers is called, or the
/// drain is over.
#[test]
fn loom_models_a_drain_that_is_polled_anew() {
    loom::model(|| {
        let dispatcher = dispatcher().1;
        let mut drain = ask(dispatcher);
        let ticket = dispatcher.begin_collection();
        let runner = thread::spawn(move || drop(ticket));
        let event = leak(Event::new());
        let waker = waker(|| event.set(), || ());
        if dispatcher.tickets.poll(&mut drain, &waker).is_pending() {
            event.wait(None);
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
        wait_until(event, || !dispatcher.tickets.watch());
        assert!(!dispatcher.tickets.any_open());
        join_all(runners);
    });
}
