//! A holder that blocks a forced grace period learns of it, by a hook, a flag or a future, and no
//! other holder does.

mod common;
#[path = "force/requests.rs"]
mod requests;

use async_rcu::{
    OwnedReadGuard, Rcu, RcuCell,
    cell::OwnedRcuRef,
    executor::InlineExecutor,
    guard::ReleaseRequested,
    report::{ForceEvent, PanicSource},
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

/// Registers a notifier. Returns its events and the notifier.
fn events(rcu: &Rcu) -> (Receiver<ForceEvent>, async_rcu::report::ForceNotifier) {
    let (send, events) = mpsc::channel();
    let notifier = rcu.on_force(move |event| {
        assert!(!format!("{event:?}").is_empty());
        drop(send.send(event.clone()));
    });
    (events, notifier)
}

/// Queues a callback that the open sections block.
fn held_up(rcu: &Rcu) {
    let before = rcu.stats().grace_periods;
    rcu.call(|| ());
    until("its grace period", || rcu.stats().grace_periods > before);
}

#[test]
fn a_hook_learns_of_each_holder() {
    within(|| {
        let rcu = domain("who");
        let (events, _notifier) = events(&rcu);
        let section = Section::on_a_thread(&rcu);
        let (guard, line) = (rcu.read_owned(), line!());
        held_up(&rcu);
        // These two guards block no grace period.
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
        for part in ["\"who\"", "2 read-side sections asked to end", "1 callback pending"] {
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
            assert!(events.try_recv().is_err(), "a call alone has forced a grace period");
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
        // The senders were dropped with the hooks.
        assert_eq!(first.try_recv().unwrap_err(), mpsc::TryRecvError::Disconnected);
        until("the drop of the third hook", || {
            third.try_recv().is_err_and(|e| e == mpsc::TryRecvError::Disconnected)
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
        until("the end of the domain", || Arc::strong_count(&held) == 1);
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
        // The last handle is dropped here. Queued callbacks still run.
        drop(notifier);
        assert_eq!(Arc::strong_count(&gone), 1);
        drop(section);
    });
}

#[test]
fn a_hook_that_panics_is_reported_and_the_other_hooks_are_called() {
    within(|| {
        let (send, panics) = mpsc::channel();
        let rcu =
            Rcu::builder().on_panic(move |report| drop(send.send(report.clone()))).build().unwrap();
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

/// A waker that drops a guard, as if the waker polled the task at once.
struct LetsGo(Mutex<Option<OwnedReadGuard>>);

impl Wake for LetsGo {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

/// The blocking sections end before the thread lists them.
#[test]
fn a_hook_is_not_called_if_no_holder_is_left() {
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
        assert!(events.try_recv().is_err(), "an event names no holder");
        let _section = rcu.read_owned();
        held_up(&rcu);
        rcu.force();
        assert_eq!(receive(&events).holders_total, 1);
    });
}

/// While a section blocks a grace period, a hook that forces is not called again and again for its
/// own force.
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
        // In this time the thread could take many turns.
        stalls.next(async_rcu::report::StallKind::Section);
        assert!(called.try_recv().is_err(), "the hook was called for its own force");
        // The force of another thread calls the hook as before.
        rcu.force();
        receive(&called);
        drop(guard);
        rcu.blocking_drain();
    });
}

/// A report names some sections, and says how many others there are.
#[test]
fn a_report_of_many_sections_is_short() {
    within(|| {
        let (send, events) = mpsc::channel();
        let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
        let _notifier = rcu.on_force(move |event| {
            let shown = event.to_string();
            drop(send.send((event.holders.len(), event.holders_total, shown)));
        });
        let held: Vec<_> = (0..100).map(|_| rcu.read_owned()).collect();
        rcu.call(|| ());
        rcu.force();
        let (named, total, shown) = receive(&events);
        assert_eq!(total, held.len());
        assert!(named < total);
        let more = format!("; and {} more", total - named);
        assert!(shown.contains(&more), "{shown}");
        drop(held);
        rcu.blocking_drain();
    });
}
