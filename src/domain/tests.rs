//! If the system refuses to start threads, no callback is lost, waits still end, and the next
//! caller with work tries again.

use super::builder::BuildError;
use super::rcu::Rcu;
use crate::dispatch::executor::InlineExecutor;
use crate::sys::thread::seam::refuse;
use futures_util::FutureExt;
use std::error::Error;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The time after which a test reports a hang: longer under emulators and checkers, see
/// `ci/lib.sh`.
const HANG: Duration = match option_env!("ASYNC_RCU_TEST_PATIENCE") {
    None => Duration::from_secs(30),
    Some(_) => Duration::from_secs(600),
};

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "did not happen: {what}");
        std::thread::yield_now();
    }
}

/// Returns a domain whose threads are stopped.
fn stopped(name: &str) -> Rcu {
    let rcu = Rcu::builder().name(name).build().unwrap();
    rcu.call(|| ());
    rcu.blocking_shutdown();
    until("the stop of the thread", || rcu.domain().gp_thread_is_stopped());
    rcu
}

/// Callbacks that count themselves.
#[derive(Clone, Default)]
struct Ran(Arc<AtomicUsize>);

impl Ran {
    fn callback(&self) -> impl FnOnce() + Send + 'static {
        let ran = Arc::clone(&self.0);
        move || {
            ran.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_domain_that_cannot_be_made_is_an_error_with_the_reason() {
    let refusal = refuse("rcu-never");
    let error = Rcu::builder().name("never").build().unwrap_err();
    assert!(matches!(error, BuildError::Thread(_)));
    assert_eq!(error.source().unwrap().to_string(), "refused by a test");
    let installed = Rcu::builder().name("never").install_global();
    let message = installed.unwrap_err().to_string();
    assert!(message.contains("could not be started") || message.contains("started before"));
    drop(refusal);
    Rcu::builder().name("never").build().unwrap().blocking_synchronize();
}

#[test]
fn new_panics_with_the_reason() {
    // The new domain's name is the next number. Other tests make domains at the same time, so all
    // numbers that this process may reach are refused.
    let id = Rcu::new().domain().id;
    let refusals: Vec<_> = (id..id + 200).map(|id| refuse(&format!("rcu-{id}"))).collect();
    let panic = catch_unwind(Rcu::new);
    drop(refusals);
    let message = *panic.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("refused by a test"), "{message}");
}

#[test]
fn a_call_stays_queued_until_a_later_one_starts_the_thread() {
    let rcu = stopped("later");
    let ran = Ran::default();
    let refusal = refuse("rcu-later");
    for _ in 0..100 {
        rcu.call(ran.callback());
    }
    rcu.force();
    assert!(rcu.domain().gp_thread_is_stopped());
    assert_eq!((ran.count(), rcu.stats().queued), (0, 101));
    drop(refusal);
    rcu.call(ran.callback());
    until("all callbacks run", || ran.count() == 101);
    rcu.blocking_drain();
    assert_eq!(ran.count(), 101);
}

#[test]
fn a_waiter_takes_the_turns_of_a_thread_that_cannot_be_started() {
    let rcu = stopped("driven");
    let ran = Ran::default();
    // The worker is refused too, so ready callbacks run on the thread that takes the turns.
    let refusals = [refuse("rcu-driven"), refuse("rcu-driven-cb")];
    let held = rcu.read_owned();
    rcu.call(ran.callback());
    assert!(rcu.blocking_drain_timeout(Duration::from_millis(5)).is_err());
    assert_eq!(ran.count(), 0, "a section holds the grace period up");
    drop(held);
    rcu.blocking_synchronize();
    rcu.synchronize().now_or_never();
    rcu.blocking_drain();
    assert_eq!(ran.count(), 1);
    rcu.blocking_shutdown();
    drop(refusals);
}

#[test]
fn several_waiters_take_turns_together() {
    let rcu = stopped("several");
    let ran = Ran::default();
    let refusals = [refuse("rcu-several"), refuse("rcu-several-cb")];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    rcu.call(ran.callback());
                    rcu.blocking_synchronize();
                    rcu.blocking_drain();
                }
            });
        }
    });
    assert_eq!(ran.count(), 200);
    drop(refusals);
}

#[test]
fn a_future_polled_without_a_thread_wakes_itself_until_it_is_over() {
    let rcu = stopped("polled");
    let refusal = refuse("rcu-polled");
    let held = rcu.read_owned();
    let mut waits = tokio_test::task::spawn(rcu.synchronize());
    assert!(waits.poll().is_pending() && waits.is_woken());
    assert!(waits.poll().is_pending() && waits.is_woken());
    drop(held);
    until("the end of the grace period", || {
        rcu.domain().turn();
        rcu.domain().engine.unfinished() == 0
    });
    assert!(waits.poll().is_ready());
    drop(refusal);
}

#[test]
fn without_a_worker_callbacks_run_on_the_grace_period_thread_and_async_ones_wait() {
    let rcu = Rcu::builder().name("alone").build().unwrap();
    let ran = Ran::default();
    let refusal = refuse("rcu-alone-cb");
    let (send, names) = mpsc::channel();
    rcu.call(move || {
        let here = std::thread::current();
        send.send(here.name().map(str::to_owned)).unwrap();
    });
    rcu.blocking_drain();
    assert_eq!(names.recv().unwrap().as_deref(), Some("rcu-alone"));
    let callback = ran.callback();
    rcu.call_async(async move { callback() });
    assert!(rcu.blocking_drain_timeout(Duration::from_millis(20)).is_err());
    assert_eq!(ran.count(), 0);
    drop(refusal);
    // The grace-period thread tries by itself to start the worker again.
    rcu.blocking_drain();
    assert_eq!(ran.count(), 1);
}

#[test]
fn the_last_handle_may_be_dropped_while_no_thread_can_be_started() {
    let rcu = stopped("orphaned");
    let ran = Ran::default();
    let refusal = refuse("rcu-orphaned");
    rcu.call(ran.callback());
    drop(rcu);
    assert_eq!(ran.count(), 0, "the callback is leaked, and does not run early");
    drop(refusal);
}

#[test]
fn threads_restart_under_an_inline_executor() {
    let rcu = Rcu::builder().name("inline").executor(InlineExecutor).build().unwrap();
    let ran = Ran::default();
    for round in 1..=20 {
        rcu.blocking_shutdown();
        let refusal = refuse("rcu-inline");
        rcu.call(ran.callback());
        drop(refusal);
        rcu.blocking_drain();
        assert_eq!(ran.count(), round);
    }
}
