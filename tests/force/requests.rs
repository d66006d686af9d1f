//! A guard whose section blocks a forced grace period learns of it, by a flag or a future.

use super::*;

#[test]
fn only_sections_that_hold_something_up_are_asked_and_not_before_it_is_forced() {
    within(|| {
        let rcu = domain("asked");
        let older = rcu.read_owned();
        let mut section = rcu.read();
        held_up(&rcu);
        let younger = rcu.read_owned();
        assert!(!older.is_release_requested() && !section.is_release_requested());
        rcu.force();
        until("the requests of the older sections", || older.is_release_requested());
        assert!(section.is_release_requested());
        assert!(!younger.is_release_requested());
        // The section was refreshed, so it blocks no grace period.
        assert!(section.refresh());
        assert!(!section.is_release_requested());
        // The section blocks the next grace period, and then the younger section does too.
        held_up(&rcu);
        assert!(!section.is_release_requested() && !younger.is_release_requested());
        rcu.force();
        until("the requests", || section.is_release_requested());
        assert!(younger.is_release_requested() && older.is_release_requested());
        drop((older, section, younger));
        rcu.blocking_drain();
        // A new section in the old one's place gets no request.
        assert!(!rcu.read().is_release_requested());
        assert!(!rcu.read_owned().is_release_requested());
    });
}

#[test]
fn nested_guards_are_asked_together_and_the_last_one_can_refresh() {
    within(|| {
        let rcu = domain("nested");
        let mut outer = rcu.read();
        held_up(&rcu);
        let mut inner = rcu.read();
        rcu.force();
        until("the request", || outer.is_release_requested());
        assert!(inner.is_release_requested(), "both guards are of one section");
        assert!(!outer.refresh() && !inner.refresh());
        assert!(inner.is_release_requested());
        drop(outer);
        assert!(inner.refresh());
        assert!(!inner.is_release_requested());
        // No other section blocked the grace period.
        until("the callback", || rcu.stats().finished == 1);
        drop(inner);
        rcu.blocking_drain();
    });
}

#[test]
fn a_task_that_refreshes_when_told_lets_every_drain_finish() {
    within(|| {
        on_every_executor(Rcu::builder, |driven| {
            let rcu = &driven.rcu;
            let runtime = runtime(1);
            let cell = Arc::new(RcuCell::new_in(rcu, 0));
            let (held, has_held) = mpsc::channel();
            let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
            let streaming = runtime.spawn({
                let cell = Arc::clone(&cell);
                async move {
                    let mut snapshot = cell.read_owned();
                    held.send(()).unwrap();
                    let mut told = 0;
                    loop {
                        tokio::select! {
                            () = OwnedRcuRef::guard(&snapshot).release_requested() => {
                                OwnedRcuRef::reload(&mut snapshot, &cell);
                                told += 1;
                            }
                            _ = &mut stopped => return (told, *snapshot),
                        }
                    }
                }
            });
            receive(&has_held);
            for version in 1..=20 {
                cell.store(version);
                rcu.blocking_drain();
            }
            stop.send(()).unwrap();
            let (told, last) = runtime.block_on(streaming).unwrap();
            assert_eq!(last, 20);
            assert!(told >= 20, "not every drain has made a request: {told}");
        });
    });
}

/// Returns the guard's future, with a mock waker.
fn requested(guard: &OwnedReadGuard) -> Spawn<ReleaseRequested> {
    task::spawn(guard.release_requested())
}

#[test]
fn a_request_comes_by_force_poll_by_poll() {
    within(|| {
        let rcu = domain("poll");
        let mut guard = rcu.read_owned();
        let mut request = requested(&guard);
        assert_pending!(request.poll());
        held_up(&rcu);
        assert_pending!(request.poll());
        assert!(!request.is_woken());
        rcu.force();
        until("the wake-up", || request.is_woken());
        assert_ready!(request.poll());
        // The future stays ready, and so does a future that is made now.
        assert_ready!(request.poll());
        assert_ready!(requested(&guard).poll());
        guard.refresh();
        let mut next = requested(&guard);
        assert_pending!(next.poll());
        // A drain makes a request too.
        held_up(&rcu);
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        until("the wake-up", || next.is_woken());
        assert_ready!(next.poll());
        drop(guard);
        futures::executor::block_on(drain.into_inner());
    });
}

#[test]
fn a_request_comes_by_a_stall() {
    within(|| {
        reports::record();
        let rcu = Rcu::builder().name("stall").stall_timeout(SHORT);
        let rcu = rcu.build().unwrap();
        let guard = rcu.read_owned();
        let mut request = requested(&guard);
        assert_pending!(request.poll());
        rcu.call(|| ());
        until("the wake-up", || request.is_woken());
        assert_ready!(request.poll());
        assert!(guard.is_release_requested());
        assert_eq!(rcu.stats().forced, 0);
        drop(guard);
        rcu.blocking_drain();
    });
}

#[test]
fn of_many_requests_those_that_hold_something_up_are_woken_and_no_others() {
    within(|| {
        let rcu = domain("many");
        let older: Vec<_> = (0..300).map(|_| rcu.read_owned()).collect();
        held_up(&rcu);
        let younger: Vec<_> = (0..300).map(|_| rcu.read_owned()).collect();
        let mut asked: Vec<_> = older.iter().map(requested).collect();
        let mut left_alone: Vec<_> = younger.iter().map(requested).collect();
        for request in asked.iter_mut().chain(&mut left_alone) {
            assert_pending!(request.poll());
        }
        rcu.force();
        until("the wake-up of all", || asked.iter().all(Spawn::is_woken));
        for request in &mut asked {
            // A poll may return pending once to let other tasks run.
            until("the end of the future", || request.poll().is_ready());
        }
        assert!(!left_alone.iter().any(Spawn::is_woken));
        for request in &mut left_alone {
            assert_pending!(request.poll());
        }
        drop((older, younger));
        rcu.blocking_drain();
    });
}

#[test]
fn a_request_may_be_dropped_and_moved_to_another_task() {
    within(|| {
        let rcu = domain("cancel");
        let guard = rcu.read_owned();
        for _ in 0..100 {
            let mut request = requested(&guard);
            assert_pending!(request.poll());
        }
        let mut first = requested(&guard);
        assert_pending!(first.poll());
        // The domain wakes the task that polled last.
        let mut second = task::spawn(first.into_inner());
        assert_pending!(second.poll());
        held_up(&rcu);
        rcu.force();
        until("the wake-up", || second.is_woken());
        assert_ready!(second.poll());
        // The future does not borrow the guard, and may outlive the guard.
        let mut late = requested(&guard);
        drop(guard);
        assert_ready!(late.poll(), "the future lost the request for its section");
        rcu.blocking_drain();
    });
}

#[test]
fn a_request_stays_pending_after_the_domains_end_and_in_the_next_ones_life() {
    within(|| {
        let guard = domain("ends").read_owned();
        // One future is made before the domain's end, the other between the end and the drop of the
        // guard.
        let mut after = requested(&guard);
        let rcu = domain("ends too");
        let other = rcu.read_owned();
        let (mut before, mut unpolled) = (requested(&other), requested(&other));
        assert_pending!(before.poll());
        rcu.call(|| ());
        drop(rcu);
        assert_pending!(before.poll());
        assert_pending!(after.poll());
        drop((guard, other));
        // The registries of the ended domains are free now, and the new domains use them. Sections
        // in the new domains get requests, with greater numbers.
        for _ in 0..5 {
            let domains: Vec<_> = (0..20).map(|_| Rcu::new()).collect();
            for rcu in &domains {
                let guard = rcu.read_owned();
                rcu.call(|| ());
                first_grace_period_has_started(rcu);
                rcu.force();
                until("the request", || guard.is_release_requested());
            }
            for stale in [&mut before, &mut after, &mut unpolled] {
                assert_pending!(stale.poll());
                assert!(!stale.is_woken());
            }
        }
    });
}

/// A guard is refreshed just after a value was retired, so that the guard blocks the value's grace
/// period. The guard gets a request each time, also if another guard never ends.
#[test]
fn a_refreshed_guard_is_asked_as_any_other() {
    within(|| {
        // Beside a stuck guard, no more than two grace periods start.
        for (beside_a_stuck_one, rounds) in [(false, 10), (true, 1)] {
            let builder = Rcu::builder().name("refreshed").stall_timeout(SHORT);
            let rcu = builder.build().unwrap();
            let _stuck = beside_a_stuck_one.then(|| rcu.read_owned());
            let mut guard = rcu.read_owned();
            let mut held_up = 0;
            while held_up < rounds {
                let next = rcu.grace_period();
                rcu.retire(Box::new(held_up));
                guard.refresh();
                // If the grace period has not started by now, the guard will block it.
                if rcu.grace_period() == next {
                    held_up += 1;
                    until("the request", || guard.is_release_requested());
                }
            }
        }
    });
}
