//! Whole domains, through the public API: turns, sleep, stops and restarts.
//!
//! The grace-period thread is a loom thread. The clock stands still, so no timer fires: loom
//! reports a deadlock if a thread is not woken. A model ends when all threads have ended, so no
//! work may be left.

use super::*;
use crate::domain::registries_left;
use crate::structures::DomainRef;

/// Lets the grace-period thread run, and does not cost one of loom's few preemptions.
fn let_it_rest() {
    thread::yield_now();
}

/// Checks that an ended domain has given its registry away once, so that no two domains get it.
fn is_over() {
    wait_for_all();
    assert_eq!(registries_left(), 1);
}

/// The last handle is dropped while work is queued. Either the drop or the thread gives the
/// registry away, never both.
#[test]
fn loom_models_the_end() {
    check(|rcu| {
        let step = Step::new();
        rcu.call(step.take());
        drop(rcu);
        is_over();
        assert!(step.is_done());
    });
}

/// A structure is dropped beside the last user's handle, and its callback has another structure.
/// The callback does not wait for the batch interval, which never ends here.
#[test]
fn loom_models_the_end_of_nested_structures() {
    check_with_fewer(1, || {
        let rcu = inline_builder().batch_interval(Duration::from_secs(3600)).build().unwrap();
        let (before, step) = (Step::new(), Step::new());
        rcu.call(before.take());
        before.wait();
        let (outer, inner) = (DomainRef::of(&rcu), DomainRef::of(&rcu));
        let done = step.take();
        let dropped = thread::spawn(move || {
            outer.rcu().call(move || {
                done();
                drop(inner);
            });
            drop(outer);
        });
        drop(rcu);
        step.wait();
        dropped.join().unwrap();
        is_over();
    });
}

/// A call wakes the thread, or finds it awake. No other request does.
#[test]
fn loom_models_a_call_is_run() {
    check(|rcu| {
        let step = Step::new();
        rcu.call(step.take());
        step.wait();
    });
}

/// Two threads call at once. The drain of one thread waits at least for its own callback.
#[test]
fn loom_models_a_drain_beside_a_call() {
    check(|rcu| {
        let (ours, theirs) = (Step::new(), Step::new());
        let other = beside(&rcu, |rcu| rcu.call(theirs.take()));
        let_it_rest();
        rcu.call(ours.take());
        rcu.blocking_drain();
        assert!(ours.is_done());
        other.join().unwrap();
        end(rcu);
        assert!(theirs.is_done());
    });
}

/// A thread calls while the grace-period thread stops. The latter goes on, or is started again.
#[test]
fn loom_models_a_call_beside_a_shutdown() {
    check_with_fewer(1, || {
        let rcu = inline_rcu();
        let step = Step::new();
        let other = beside(&rcu, |rcu| rcu.call(step.take()));
        rcu.blocking_shutdown();
        step.wait();
        other.join().unwrap();
        drop(rcu);
        is_over();
    });
}

/// Two callers find the thread stopped. One of them starts it.
#[test]
fn loom_models_two_calls_after_a_shutdown() {
    check_with_fewer(2, || {
        let rcu = stopped_rcu();
        let steps = [(); 2].map(|()| Step::new());
        let other = beside(&rcu, move |rcu| rcu.call(steps[0].take()));
        rcu.call(steps[1].take());
        other.join().unwrap();
        end(rcu);
        assert!(steps.iter().all(|step| step.is_done()));
    });
}

/// The last handle is dropped while the thread stops. Exactly one of the two gives the registry
/// away.
#[test]
fn loom_models_the_end_beside_a_stop() {
    check(|rcu| {
        let step = Step::new();
        rcu.call(step.take());
        let stopper = beside(&rcu, |rcu| rcu.blocking_shutdown());
        drop(rcu);
        stopper.join().unwrap();
        is_over();
        assert!(step.is_done());
    });
}

/// A waiter waits for a reader whose section is open, or begins later.
#[test]
fn loom_models_a_wait_for_a_reader() {
    check(|rcu| {
        let place = leak(Value::unwritten());
        let guard = rcu.read_owned();
        let reader = thread::spawn(|| {
            place.count_up();
            drop(guard);
        });
        let_it_rest();
        rcu.blocking_synchronize();
        assert!(place.was_counted_once());
        reader.join().unwrap();
    });
}

/// Two threads wait. One waits for a number that the other may have started.
#[test]
fn loom_models_two_waits_for_a_reader() {
    check(|rcu| {
        let guard = rcu.read_owned();
        let cookie = rcu.start_grace_period();
        let other = beside(&rcu, move |rcu| block_on(rcu.wait_for(cookie), None));
        drop(guard);
        block_on(rcu.synchronize(), None);
        other.join().unwrap();
    });
}

/// A requested grace period elapses although no caller waits for it. The second shutdown finds
/// nothing to stop.
#[test]
fn loom_models_a_cookie_that_is_asked_for_elapses() {
    check_with_fewer(2, || {
        let rcu = stopped_rcu();
        rcu.blocking_shutdown();
        let cookie = rcu.start_grace_period();
        while !rcu.has_elapsed(cookie) {
            thread::yield_now();
        }
        end(rcu);
    });
}

/// An async callback runs on the worker, and a drain waits for its end.
#[test]
fn loom_models_an_async_callback_is_drained() {
    check(|rcu| {
        let step = Step::new();
        let done = step.take();
        rcu.call_async(async move { done() });
        rcu.blocking_drain();
        assert!(step.is_done());
    });
}

/// A waiter gets the room of a callback that has run.
#[test]
fn loom_models_room_comes_back() {
    check_with_fewer(2, || {
        let rcu = inline_builder().max_pending(1).build().unwrap();
        let steps = [(); 2].map(|()| Step::new());
        for step in &steps {
            let permit = block_on(rcu.reserve(), None).unwrap();
            permit.call(step.take());
        }
        assert!(steps[0].is_done());
        end(rcu);
        assert!(steps[1].is_done());
    });
}
