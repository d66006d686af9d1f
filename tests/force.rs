//! Being told: who holds up what is forced hears of it, by a hook, a flag or a future, and only who does.

mod common;

use async_rcu::{
    ForceEvent, OwnedRcuRef, OwnedReadGuard, PanicSource, Rcu, RcuCell, ReleaseRequested,
};
use common::executors::on_every_executor;
use common::reports::{self, SHORT};
use common::{Section, domain, first_grace_period_has_started, receive, runtime, until, within};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready};

/// The events of a notifier, and the notifier.
fn events(rcu: &Rcu) -> (Receiver<ForceEvent>, async_rcu::ForceNotifier) {
    let (send, events) = mpsc::channel();
    let notifier = rcu.on_force(move |event| {
        assert!(!format!("{event:?}").is_empty());
        drop(send.send(event.clone()));
    });
    (events, notifier)
}

/// A callback that the open sections hold up, for sure.
fn held_up(rcu: &Rcu) {
    let before = rcu.stats().grace_periods;
    rcu.call(|| ());
    until("its grace period", || rcu.stats().grace_periods > before);
}

#[test]
fn a_hook_hears_who_holds() {
    within(|| {
        let rcu = domain("who");
        let (events, _notifier) = events(&rcu);
        let section = Section::on_a_thread(&rcu);
        let (guard, line) = (rcu.read_owned(), line!());
        held_up(&rcu);
        // These two hold up nothing.
        let (_younger, _foreign) = (rcu.read_owned(), Rcu::new().read_owned());
        rcu.force();
        let event = receive(&events);
        assert_eq!((event.domain.as_str(), event.pending), ("who", 1));
        assert_eq!((event.holders.len(), event.holders_total), (2, 2));
        let owned = event.holders.iter().find(|holder| holder.owned).unwrap();
        let held = event.holders.iter().find(|holder| !holder.owned).unwrap();
        assert_eq!(owned.thread_id, thread::current().id());
        assert_ne!(held.thread_id, owned.thread_id);
        if let Some(location) = owned.location {
            assert_eq!((location.file(), location.line()), (file!(), line));
        }
        assert_eq!(owned.location.is_some(), cfg!(debug_assertions));
        let text = event.to_string();
        for part in ["\"who\"", "2 sections asked to end", "1 callback pending"] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        drop(guard);
        section.end();
        rcu.blocking_drain();
    });
}

#[test]
fn a_hook_hears_of_force_drain_shutdown_and_a_backlog_that_met_its_limit() {
    within(|| {
        let forces: [fn(&Rcu); 5] = [
            |rcu| rcu.force(),
            |rcu| assert_pending!(task::spawn(rcu.drain()).poll()),
            |rcu| assert_pending!(task::spawn(rcu.shutdown()).poll()),
            |rcu| {
                while rcu.try_call(|| ()).is_ok() {}
            },
            |rcu| {
                for _ in 0..4 {
                    rcu.call(|| ());
                }
            },
        ];
        for force in forces {
            let rcu = Rcu::builder().name("by").max_pending(4).build().unwrap();
            let (events, _notifier) = events(&rcu);
            let section = Section::owned(&rcu);
            held_up(&rcu);
            assert!(events.try_recv().is_err(), "a call alone does not force");
            force(&rcu);
            assert_eq!(receive(&events).holders_total, 1);
            section.end();
            rcu.blocking_drain();
        }
    });
}

#[test]
fn a_hook_is_removed_with_its_notifier_and_the_others_stay() {
    within(|| {
        let rcu = domain("several");
        let (first, first_notifier) = events(&rcu);
        let (second, _second_notifier) = events(&rcu);
        let (third, third_notifier) = events(&rcu);
        let section = Section::on_a_thread(&rcu);
        held_up(&rcu);
        rcu.force();
        for events in [&first, &second, &third] {
            assert_eq!(receive(events).holders_total, 1);
        }
        drop(first_notifier);
        rcu.force();
        receive(&second);
        receive(&third);
        drop(third_notifier);
        rcu.force();
        receive(&second);
        // Their senders went with the hooks.
        assert_eq!(
            first.try_recv().unwrap_err(),
            mpsc::TryRecvError::Disconnected
        );
        until("the third's hook is gone", || {
            third
                .try_recv()
                .is_err_and(|e| e == mpsc::TryRecvError::Disconnected)
        });
        section.end();
        rcu.blocking_drain();
    });
}

#[test]
fn a_notifier_outlives_its_domain_and_its_hook_does_not() {
    within(|| {
        let held = Arc::new(());
        let rcu = domain("outlives");
        let hold = Arc::clone(&held);
        let notifier = rcu.on_force(move |_| drop(Arc::clone(&hold)));
        rcu.call(|| ());
        drop(rcu);
        until("the domain is gone", || Arc::strong_count(&held) == 1);
        drop(notifier);
    });
}

#[test]
fn a_hook_that_keeps_a_handle_keeps_the_domain_until_its_notifier_goes() {
    within(|| {
        let gone = Arc::new(());
        let rcu = domain("keeps");
        let (handle, hold) = (rcu.clone(), Arc::clone(&gone));
        let notifier = rcu.on_force(move |_| drop((handle.clone(), Arc::clone(&hold))));
        let section = rcu.read_owned();
        rcu.call(|| ());
        rcu.force();
        drop(rcu);
        assert_eq!(Arc::strong_count(&gone), 2);
        // The last handle goes here; what is queued still runs.
        drop(notifier);
        assert_eq!(Arc::strong_count(&gone), 1);
        drop(section);
    });
}

#[test]
fn a_hook_that_panics_is_reported_and_keeps_nobody_from_hearing() {
    within(|| {
        let (send, panics) = mpsc::channel();
        let rcu = Rcu::builder()
            .on_panic(move |report| drop(send.send(report.clone())))
            .build()
            .unwrap();
        let _bad = rcu.on_force(|event| panic!("{} of them", event.holders_total));
        let (events, _notifier) = events(&rcu);
        let section = Section::on_a_thread(&rcu);
        held_up(&rcu);
        for _ in 0..2 {
            rcu.force();
            receive(&events);
            let panic = receive(&panics);
            assert_eq!(panic.source, PanicSource::Hook);
            assert_eq!(panic.message, "1 of them");
        }
        section.end();
        rcu.blocking_drain();
        assert_eq!(rcu.stats().panicked, 0);
    });
}

#[test]
fn a_hook_may_use_the_domain_and_drop_notifiers() {
    within(|| {
        let rcu = domain("uses");
        let (handle, other) = (rcu.clone(), Arc::new(Mutex::new(None)));
        let (done, is_done) = mpsc::channel();
        let dropped = Arc::clone(&other);
        let _notifier = rcu.on_force(move |_| {
            drop((handle.read(), handle.read_owned(), handle.stats()));
            handle.call(|| ());
            drop(dropped.lock().unwrap().take());
            drop(handle.on_force(|_| ()));
            let _ = done.send(());
        });
        *other.lock().unwrap() = Some(rcu.on_force(|_| ()));
        let section = Section::on_a_thread(&rcu);
        held_up(&rcu);
        rcu.force();
        receive(&is_done);
        assert!(other.lock().unwrap().is_none());
        section.end();
        rcu.blocking_drain();
        assert!(rcu.stats().queued >= 2);
    });
}

/// A waker that lets a guard go, as a task would that is polled where it is woken.
struct LetsGo(Mutex<Option<OwnedReadGuard>>);

impl Wake for LetsGo {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

/// Who held the grace period up had left when it came to naming them.
#[test]
fn a_hook_is_not_called_where_nobody_holds_any_more() {
    within(|| {
        let rcu = domain("nobody");
        let (events, _notifier) = events(&rcu);
        for _ in 0..10 {
            let guard = rcu.read_owned();
            let mut request = guard.release_requested();
            let waker = Waker::from(Arc::new(LetsGo(Mutex::new(Some(guard)))));
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut request).poll(&mut context).is_pending());
            held_up(&rcu);
            rcu.force();
            rcu.blocking_drain();
        }
        assert!(events.try_recv().is_err(), "told of nobody");
        let _section = rcu.read_owned();
        held_up(&rcu);
        rcu.force();
        assert_eq!(receive(&events).holders_total, 1);
    });
}

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
        until("the older ones are asked", || older.is_release_requested());
        assert!(section.is_release_requested());
        assert!(!younger.is_release_requested());
        // Moved to now, it holds up nothing.
        assert!(section.refresh());
        assert!(!section.is_release_requested());
        // But what comes next, and then the younger one too.
        held_up(&rcu);
        assert!(!section.is_release_requested() && !younger.is_release_requested());
        rcu.force();
        until("they are asked", || section.is_release_requested());
        assert!(younger.is_release_requested() && older.is_release_requested());
        drop((older, section, younger));
        rcu.blocking_drain();
        // A new section in the old one's place is not asked.
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
        until("both are asked", || outer.is_release_requested());
        assert!(inner.is_release_requested(), "it is one section");
        assert!(!outer.refresh() && !inner.refresh());
        assert!(inner.is_release_requested());
        drop(outer);
        assert!(inner.refresh());
        assert!(!inner.is_release_requested());
        // Nothing else held it up.
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
            assert!(told >= 20, "each drain had to tell it: {told}");
        });
    });
}

/// A future in hand, with its waker watched.
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
        until("it is woken", || request.is_woken());
        assert_ready!(request.poll());
        // It stays so, and so does one that is made now.
        assert_ready!(request.poll());
        assert_ready!(requested(&guard).poll());
        guard.refresh();
        let mut next = requested(&guard);
        assert_pending!(next.poll());
        // A drain asks too.
        held_up(&rcu);
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        until("it is woken", || next.is_woken());
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
        until("it is woken", || request.is_woken());
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
        until("all are woken", || asked.iter().all(Spawn::is_woken));
        for request in &mut asked {
            assert_ready!(request.poll());
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
        // The task that polled last is woken.
        let mut second = task::spawn(first.into_inner());
        assert_pending!(second.poll());
        held_up(&rcu);
        rcu.force();
        until("it is woken", || second.is_woken());
        assert_ready!(second.poll());
        // It does not borrow the guard, and may outlive it.
        let mut late = requested(&guard);
        drop(guard);
        assert_ready!(late.poll(), "its section was asked");
        rcu.blocking_drain();
    });
}

#[test]
fn a_request_stays_pending_after_the_domains_end_and_in_the_next_ones_life() {
    within(|| {
        let guard = domain("ends").read_owned();
        // Made between the end and the guard's drop, and before the end.
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
        // Their cores are free now, and one of these has each: sections on them are asked, with greater numbers.
        for _ in 0..5 {
            let domains: Vec<_> = (0..20).map(|_| Rcu::new()).collect();
            for rcu in &domains {
                let guard = rcu.read_owned();
                rcu.call(|| ());
                first_grace_period_has_started(rcu);
                rcu.force();
                until("it is asked", || guard.is_release_requested());
            }
            for stale in [&mut before, &mut after, &mut unpolled] {
                assert_pending!(stale.poll());
                assert!(!stale.is_woken());
            }
        }
    });
}

/// A hook that forces is not called for its own force, again and again as long as somebody holds.
#[test]
fn a_hook_that_forces_is_called_once() {
    within(|| {
        let (builder, stalls) = reports::Stalls::of(Rcu::builder().stall_timeout(SHORT));
        let rcu = builder.build().expect("a domain");
        let (send, called) = mpsc::channel();
        let inside = rcu.clone();
        let _notifier = rcu.on_force(move |_| {
            inside.force();
            let _ = send.send(());
        });
        let guard = rcu.read_owned();
        held_up(&rcu);
        rcu.force();
        receive(&called);
        // So long the thread had time for many turns, if it took them.
        stalls.next(async_rcu::StallKind::Section);
        assert!(called.try_recv().is_err(), "it forced itself");
        // Others are heard as ever.
        rcu.force();
        receive(&called);
        drop(guard);
        rcu.blocking_drain();
    });
}
