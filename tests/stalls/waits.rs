//! A wait that can never end is reported at its first poll. The timeout does not expire in these
//! tests.

use crate::common::executors::{Driven, on_every_executor};
use crate::common::reports::{NEVER, Stalls};
use crate::common::{receive, runtime, until, within};
use crate::{TRACKED, only_holder};
use async_rcu::{GlobalLock, Rcu, RcuCell, report::StallKind};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tokio_test::{assert_pending, task};

type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The futures of a domain, with their names.
type Make = fn(&Rcu) -> Waits;

const WAITS: [(&str, Make); 3] = [
    ("drain", |rcu| Box::pin(rcu.drain())),
    ("shutdown", |rcu| Box::pin(rcu.shutdown())),
    ("reserve", |rcu| {
        let reserve = rcu.reserve();
        Box::pin(async move { drop(reserve.await) })
    }),
];

fn domain(name: &str) -> (Rcu, Stalls) {
    let builder = Rcu::builder().name(name).stall_timeout(NEVER);
    let (builder, stalls) = Stalls::of(builder.max_pending(1));
    (builder.build().unwrap(), stalls)
}

/// Polls the future inside a section of this thread, and checks that one report comes.
fn reported_inside_a_section(what: &'static str, make: Make) {
    let (rcu, stalls) = domain("inside");
    let mut wait = task::spawn(make(&rcu));
    let (guard, line) = (rcu.read(), line!());
    rcu.call(|| ());
    assert_pending!(wait.poll());
    assert_pending!(wait.poll());
    // The next report shows that all earlier reports have been made.
    let mut other = task::spawn(rcu.synchronize());
    assert_pending!(other.poll());
    if TRACKED {
        let report = stalls.next(StallKind::WaitInSection(what));
        assert_eq!((report.age, report.repeated), (Duration::ZERO, 0));
        let holder = only_holder(&report);
        assert_eq!(holder.thread_id, thread::current().id());
        assert!(!holder.owned && !holder.thread_ended);
        let location = holder.location.expect("sections record their location");
        assert_eq!((location.file(), location.line()), (file!(), line));
        let text = report.to_string();
        assert!(text.contains(what) && text.contains("waits.rs"), "{text}");
        let next = stalls.next(StallKind::WaitInSection("synchronize"));
        assert_eq!(next.holders_total, 1);
        until("two reports", || rcu.stats().stalls == 2);
    }
    drop(guard);
    futures::executor::block_on(wait.into_inner());
    futures::executor::block_on(other.into_inner());
    assert_eq!(rcu.stats().stalls, if TRACKED { 2 } else { 0 });
}

#[test]
fn a_wait_inside_a_section_of_the_same_thread() {
    within(|| {
        for (what, make) in WAITS {
            reported_inside_a_section(what, make);
        }
    });
}

#[test]
fn what_is_built_on_a_wait_is_reported_as_that() {
    within(|| {
        let (rcu, stalls) = domain("built");
        let lock = GlobalLock::new(());
        let cell = RcuCell::new_in(&rcu, 1);
        let old = cell.swap(2);
        let mut cookie = task::spawn(rcu.wait_for(rcu.grace_period()));
        let mut reclaim = task::spawn(old.wait());
        let mut unlocked = task::spawn(lock.try_lock().unwrap().synchronize(&rcu));
        let guard = rcu.read();
        assert_pending!(cookie.poll());
        assert_pending!(reclaim.poll());
        assert_pending!(unlocked.poll());
        for _ in 0..if TRACKED { 3 } else { 0 } {
            stalls.next(StallKind::WaitInSection("synchronize"));
        }
        drop(guard);
        futures::executor::block_on(async {
            cookie.into_inner().await;
            assert_eq!(*reclaim.into_inner().await, 1);
            drop(unlocked.into_inner().await);
        });
    });
}

#[test]
fn a_wait_beside_a_section_that_may_end_is_not_reported() {
    within(|| {
        let (rcu, stalls) = domain("beside");
        // The sections are of another domain, owned, and on another thread.
        let other = Rcu::new();
        let (_foreign, owned) = (other.read(), rcu.read_owned());
        let section = crate::common::Section::on_a_thread(&rcu);
        let mut wait = task::spawn(rcu.synchronize());
        assert_pending!(wait.poll());
        // The report of this wait shows that all earlier reports have been made.
        let guard = rcu.read();
        let mut drain = task::spawn(rcu.drain());
        rcu.call(|| ());
        assert_pending!(drain.poll());
        if TRACKED {
            stalls.next(StallKind::WaitInSection("drain"));
            assert_eq!(rcu.stats().stalls, 1);
        }
        drop((guard, owned));
        section.end();
        futures::executor::block_on(wait.into_inner());
        futures::executor::block_on(drain.into_inner());
    });
}

/// Returns a future that polls a wait once and gives up, so that the test ends.
fn waits_once(rcu: &Rcu, make: Make, polled: mpsc::Sender<thread::ThreadId>) -> Waits {
    let rcu = rcu.clone();
    Box::pin(async move {
        let mut wait = make(&rcu);
        poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        polled.send(thread::current().id()).unwrap();
    })
}

#[track_caller]
fn assert_reported(stalls: &Stalls, what: &'static str, polled: &mpsc::Receiver<thread::ThreadId>) {
    let thread = receive(polled);
    let report = stalls.next(StallKind::WaitInCallback(what));
    assert_eq!(report.thread_id, Some(thread));
    assert_eq!((report.age, report.holders.len()), (Duration::ZERO, 0));
    assert!(report.to_string().contains(what), "{report}");
}

#[test]
fn a_wait_inside_an_async_callback_on_every_executor() {
    within(|| {
        for (what, make) in WAITS {
            let stalls = std::cell::RefCell::new(None);
            let builder = || {
                let builder = Rcu::builder().stall_timeout(NEVER).max_pending(1);
                let (builder, heard) = Stalls::of(builder);
                *stalls.borrow_mut() = Some(heard);
                builder
            };
            on_every_executor(builder, |Driven { rcu, driver: _driver }| {
                let heard = stalls.borrow_mut().take().unwrap();
                let (polled, has_polled) = mpsc::channel();
                rcu.call_async(waits_once(&rcu, make, polled));
                assert_reported(&heard, what, &has_polled);
                rcu.blocking_drain();
                assert_eq!(rcu.stats().stalls, 1);
            });
        }
    });
}

#[test]
fn a_wait_inside_an_async_callback_on_a_runtime() {
    within(|| {
        for (runtime, (what, make)) in [runtime(1), runtime(2), runtime(1)].iter().zip(WAITS) {
            let (rcu, stalls) = domain("runtime");
            let (polled, has_polled) = mpsc::channel();
            let _in = runtime.enter();
            rcu.call_async(waits_once(&rcu, make, polled));
            assert_reported(&stalls, what, &has_polled);
            runtime.block_on(rcu.drain());
        }
    });
}

#[test]
fn a_wait_for_another_domain_inside_an_async_callback_is_not_reported() {
    within(|| {
        let (rcu, stalls) = domain("other");
        let (ours, our_stalls) = domain("ours");
        let (done, is_done) = mpsc::channel();
        let other = rcu.clone();
        ours.call_async(async move {
            other.call(|| ());
            other.drain().await;
            drop(other.reserve().await);
            done.send(()).unwrap();
        });
        receive(&is_done);
        ours.blocking_drain();
        rcu.blocking_drain();
        assert_eq!((stalls.called(), our_stalls.called()), (0, 0));
        assert_eq!((rcu.stats().stalls, ours.stats().stalls), (0, 0));
    });
}
