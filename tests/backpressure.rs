//! `max_pending` holds. At the limit, `try_call` is refused and `reserve` waits. `call` is
//! accepted, forces a grace period and is reported. The count of pending callbacks is exact.
#![cfg(feature = "rt")]

mod common;
#[path = "backpressure/count.rs"]
mod count;
#[path = "backpressure/reserve.rs"]
mod reserve;

use async_rcu::{Batch, Builder, Rcu};
use common::executors::{Driven, on_every_executor};
use common::reports::{self, events};
use common::{HANG_GUARD, Tally, receive, settle, until, within};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const TARGET: &str = "async_rcu::backpressure";

fn builder(limit: usize) -> Builder {
    Rcu::builder().max_pending(limit)
}

fn limited(limit: usize) -> Rcu {
    builder(limit).build().unwrap()
}

/// Returns the number of callbacks that the domain has room for, by filling it.
fn room(rcu: &Rcu) -> usize {
    let section = rcu.read_owned();
    let taken = std::iter::from_fn(|| rcu.try_call(|| ()).ok()).count();
    drop(section);
    rcu.blocking_drain();
    taken
}

#[test]
fn at_the_limit_the_closure_comes_back_on_every_executor() {
    within(|| {
        on_every_executor(
            || builder(4),
            |Driven { rcu, driver: _driver }| {
                for _ in 0..3 {
                    let tally = Tally::new(5);
                    let section = rcu.read_owned();
                    for i in 0..4 {
                        rcu.try_call(tally.callback(i)).unwrap();
                    }
                    let full = rcu.try_call(tally.callback(4)).unwrap_err();
                    assert!(full.to_string().contains("pending"));
                    assert!(format!("{full:?}").contains("Full"));
                    assert!(rcu.try_call(|| unreachable!("dropped")).is_err());
                    assert_eq!(rcu.stats().queued % 4, 0, "a refused callback was queued");
                    drop(section);
                    rcu.blocking_drain();
                    assert_eq!(tally.ran(), 4);
                    full.into_inner()();
                    tally.assert_each_once();
                }
            },
        );
    });
}

#[test]
fn without_a_limit_nothing_is_refused() {
    within(|| {
        let rcu = Rcu::new();
        let section = rcu.read_owned();
        for _ in 0..10_000 {
            rcu.try_call(|| ()).unwrap();
            // The future is pending at times, to let other tasks run, and is woken at once.
            settle(rcu.reserve()).retire(Box::new(0));
        }
        drop(section);
        rcu.blocking_drain();
        assert_eq!(rcu.stats().finished, 20_000);
    });
}

#[test]
fn call_and_retire_are_taken_over_the_limit_forced_and_reported_once_an_episode() {
    within(|| {
        reports::record();
        let rcu = builder(4).name("over").batch_interval(Duration::from_secs(3600));
        let rcu = rcu.build().unwrap();
        let (send, forced) = mpsc::channel();
        let _notifier = rcu.on_force(move |event| _ = send.send(event.pending));
        for episode in 1..=3 {
            let tally = Tally::new(200);
            let section = rcu.read_owned();
            for i in 0..100 {
                rcu.call(tally.callback(2 * i));
                let callback = tally.callback(2 * i + 1);
                rcu.retire(Box::new(Last(Some(callback))));
            }
            assert!(receive(&forced) >= 4);
            until("the request to the section", || section.is_release_requested());
            // The domain would have made a second report within two turns.
            for _ in 0..2 {
                rcu.force();
                receive(&forced);
            }
            let events = events("over", TARGET);
            assert_eq!(events.len(), episode);
            let event = &events[episode - 1];
            assert_eq!(event.level, tracing::Level::WARN);
            assert_eq!(event.fields["limit"], "4");
            assert!(event.fields["pending"].parse::<usize>().unwrap() > 2);
            tally.assert_none();
            drop(section);
            rcu.blocking_drain();
            tally.assert_each_once();
            forced.try_iter().for_each(drop);
        }
        assert!(rcu.stats().forced >= 3);
    });
}

/// Calls its function when it is dropped.
struct Last<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Last<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// A flood was over only when the grace-period thread found less than half of the limit pending. A
/// second flood before that look was neither forced nor reported.
#[test]
fn an_episode_is_over_when_half_is_free_whether_or_not_the_thread_looks() {
    within(|| {
        reports::record();
        let (give, batches) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = std::sync::Mutex::new(may_go_on);
        let rcu = builder(4).name("episodes").executor(move |batch: Batch| {
            give.send(batch).unwrap();
            // The grace-period thread stays in this hook until the test releases it.
            let _ = may_go_on.lock().unwrap().recv();
        });
        let rcu = rcu.build().unwrap();
        let (send, forced) = mpsc::channel();
        let _notifier = rcu.on_force(move |event| _ = send.send(event.holders_total));
        let section = rcu.read_owned();
        (0..5).for_each(|_| rcu.call(|| ()));
        until("the first report", || events("episodes", TARGET).len() == 1);
        assert_eq!(receive(&forced), 1);
        drop(section);
        let mut done = 0;
        while done < 5 {
            let batch: Batch = receive(&batches);
            done += batch.len();
            batch.run();
            if done < 5 {
                go_on.send(()).unwrap();
            }
        }
        forced.try_iter().for_each(drop);
        let section = rcu.read_owned();
        (0..5).for_each(|_| rcu.call(|| ()));
        go_on.send(()).unwrap();
        assert_eq!(receive(&forced), 1);
        until("the second report", || events("episodes", TARGET).len() == 2);
        drop(section);
        drop(go_on);
        receive(&batches).run();
        rcu.blocking_drain();
    });
}

#[test]
fn past_half_of_it_nothing_waits_for_the_interval() {
    within(|| {
        on_every_executor(
            || builder(8).batch_interval(Duration::from_secs(3600)),
            |Driven { rcu, driver: _driver }| {
                rcu.call(|| ());
                until("the first callback", || rcu.stats().finished == 1);
                rcu.blocking_drain();
                for _ in 0..30 {
                    let tally = Tally::new(2);
                    // One callback waits for the interval. Then others make the count more than
                    // half of the limit.
                    rcu.call(tally.callback(0));
                    let reserve = || futures::executor::block_on(rcu.reserve());
                    let permits: Vec<_> = (0..4).map(|_| reserve()).collect();
                    until("the callback that waited", || tally.ran() == 1);
                    rcu.call(tally.callback(1));
                    until("the callback past half of the limit", || tally.ran() == 2);
                    drop(permits);
                    // The batch gives the room back when it ends, a moment later.
                    rcu.blocking_drain();
                    tally.assert_each_once();
                }
            },
        );
    });
}

/// A callback queued between the thread's turn and its sleep waited for the whole interval.
#[test]
fn past_half_of_it_no_call_waits_for_the_interval() {
    within(|| {
        let rcu = builder(100).batch_interval(Duration::from_secs(3600));
        let rcu = rcu.executor(async_rcu::executor::InlineExecutor).build().unwrap();
        let reserve = || futures::executor::block_on(rcu.reserve());
        let permits: Vec<_> = (0..51).map(|_| reserve()).collect();
        let ran = Arc::new(AtomicBool::new(false));
        let all = std::time::Instant::now();
        for round in 0..30_000 {
            // The test makes at least one sweep, and no more than a slow machine has time for.
            if round >= 2_000 && all.elapsed() > HANG_GUARD / 2 {
                break;
            }
            ran.store(false, Ordering::Relaxed);
            let flag = Arc::clone(&ran);
            rcu.call(move || flag.store(true, Ordering::Release));
            let begun = std::time::Instant::now();
            while !ran.load(Ordering::Acquire) {
                std::hint::spin_loop();
                assert!(begun.elapsed() < HANG_GUARD, "round {round}");
            }
            // The delays cover the time from the thread's turn to its sleep.
            for _ in 0..round % 2000 {
                std::hint::spin_loop();
            }
        }
        drop(permits);
        rcu.blocking_drain();
    });
}

#[test]
fn a_limit_of_nothing_refuses_all_and_still_takes_calls() {
    within(|| {
        reports::record();
        let rcu = builder(0).name("nothing").build().unwrap();
        let tally = Tally::new(10);
        let mut reserve = tokio_test::task::spawn(rcu.reserve());
        for i in 0..10 {
            assert!(rcu.try_call(|| ()).is_err());
            rcu.call(tally.callback(i));
            tokio_test::assert_pending!(reserve.poll());
        }
        rcu.blocking_drain();
        tally.assert_each_once();
        assert!(rcu.try_call(|| ()).is_err());
        tokio_test::assert_pending!(reserve.poll());
        until("a report", || !events("nothing", TARGET).is_empty());
        rcu.blocking_shutdown();
    });
}

/// The first refusal was never reported, since no callback was pending when the thread looked. A
/// second refusal forced another grace period.
#[test]
fn a_limit_of_nothing_is_reported_once_by_refusals_alone() {
    within(|| {
        reports::record();
        let rcu = builder(0).name("refusals").build().unwrap();
        for _ in 0..100 {
            assert!(rcu.try_call(|| ()).is_err());
        }
        until("the report", || !events("refusals", TARGET).is_empty());
        for _ in 0..100 {
            assert!(rcu.try_call(|| ()).is_err());
            rcu.force();
            futures::executor::block_on(rcu.synchronize());
        }
        assert_eq!(events("refusals", TARGET).len(), 1);
    });
}

#[test]
fn the_least_and_the_greatest_limit() {
    within(|| {
        let rcu = limited(1);
        for _ in 0..10 {
            assert_eq!(room(&rcu), 1);
        }
        let rcu = limited(usize::MAX);
        let tally = Tally::new(1000);
        for i in 0..1000 {
            rcu.try_call(tally.callback(i)).unwrap();
        }
        futures::executor::block_on(async {
            let permits: Vec<_> = futures::future::join_all((0..10).map(|_| rcu.reserve())).await;
            drop(permits);
        });
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}
