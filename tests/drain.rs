//! `drain` waits for every callback queued before it, and for no others.

mod common;

use async_rcu::{Batch, Rcu, error::Timeout};
use common::{Section, Tally, domain, inline, perpetual, receive, runtime, until, within};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_test::{assert_pending, task};

#[test]
fn waits_for_all_that_any_thread_queued_before() {
    within(|| {
        let rcu = domain("drain");
        for round in 0..50 {
            let tally = Tally::new(4 * 200);
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (rcu, tally) = (&rcu, &tally);
                    scope.spawn(move || {
                        for i in 0..200 {
                            rcu.call(tally.callback(thread * 200 + i));
                        }
                    });
                }
            });
            match round % 2 {
                0 => rcu.blocking_drain(),
                _ => futures::executor::block_on(rcu.drain()),
            }
            tally.assert_each_once();
        }
    });
}

#[test]
fn happens_before_through_any_channel_is_enough() {
    within(|| {
        // The producer does not end. It tells by a thread barrier that it has queued the callback.
        let rcu = domain("drain");
        let (barrier, tally) = (Barrier::new(2), Tally::new(300));
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..300 {
                    rcu.call(tally.callback(i));
                    barrier.wait();
                    barrier.wait();
                }
            });
            for i in 0..300 {
                barrier.wait();
                rcu.blocking_drain();
                let ran = tally.ran();
                barrier.wait();
                assert_eq!(ran, i + 1);
            }
        });
    });
}

#[test]
fn does_not_return_while_a_section_holds_up_what_was_queued() {
    within(|| {
        let rcu = domain("drain");
        for _ in 0..100 {
            let tally = Tally::new(10);
            let section = Section::on_a_thread(&rcu);
            for i in 0..10 {
                rcu.call(tally.callback(i));
            }
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            tally.assert_none();
            section.end();
            futures::executor::block_on(drain.into_inner());
            tally.assert_each_once();
        }
    });
}

#[test]
fn is_not_held_up_by_work_queued_after_it() {
    within(|| {
        // Every batch runs on a thread of its own, so that a blocked batch delays no other.
        let dispatched = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dispatched);
        let rcu = Rcu::builder().name("after").executor(move |batch: Batch| {
            count.fetch_add(batch.len(), Ordering::Relaxed);
            thread::spawn(move || batch.run());
        });
        let rcu = rcu.build().unwrap();
        let blocking_callback = || {
            let (let_go, held) = mpsc::channel::<()>();
            let (started, has_started) = mpsc::channel();
            rcu.call(move || {
                started.send(()).unwrap();
                let _ = held.recv();
            });
            (let_go, has_started)
        };
        let (finish_earlier, earlier) = blocking_callback();
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        rcu.call(|| {});
        // The thread collected the batch after the request for the drain, so callbacks queued now
        // belong to a later collection.
        until("two dispatched batches", || dispatched.load(Ordering::Relaxed) == 2);
        let (finish_later, later) = blocking_callback();
        receive(&earlier);
        receive(&later);
        assert_pending!(drain.poll());
        finish_earlier.send(()).unwrap();
        futures::executor::block_on(drain.into_inner());
        let stats = rcu.stats();
        assert_eq!((stats.queued, stats.finished), (3, 2));
        finish_later.send(()).unwrap();
        rcu.blocking_drain();
    });
}

#[test]
fn completes_under_load_that_never_ceases() {
    within(|| {
        let builder = || Rcu::builder().name("load");
        for builder in
            [builder(), builder().executor(inline()), builder().batch_interval(Duration::ZERO)]
        {
            let rcu = builder.build().unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let loaders: Vec<_> = (0..2)
                .map(|_| {
                    let (rcu, stop) = (rcu.clone(), Arc::clone(&stop));
                    thread::spawn(move || perpetual(&rcu, &stop))
                })
                .collect();
            for loader in loaders {
                loader.join().unwrap();
            }
            for round in 0..50 {
                let tally = Tally::new(1);
                rcu.call(tally.callback(0));
                match round % 2 {
                    0 => rcu.blocking_drain(),
                    _ => futures::executor::block_on(rcu.drain()),
                }
                tally.assert_each_once();
                let stats = rcu.stats();
                assert!(stats.queued > stats.finished, "the load has stopped");
            }
            stop.store(true, Ordering::Relaxed);
        }
    });
}

#[test]
fn waits_for_async_callbacks_on_their_runtime_and_without_one() {
    within(|| {
        let runtime = runtime(1);
        for on_runtime in [true, false] {
            let rcu = domain("async");
            let (finish, finished) = oneshot::channel::<()>();
            let tally = Tally::new(2);
            let (begun, has_begun) = mpsc::channel();
            {
                let _context = on_runtime.then(|| runtime.enter());
                let done = tally.callback(0);
                rcu.call_async(async move {
                    begun.send(()).unwrap();
                    finished.await.unwrap();
                    tokio::task::yield_now().await;
                    done();
                });
            }
            rcu.call(tally.callback(1));
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            receive(&has_begun);
            until("the other callback", || tally.ran() == 1);
            assert_pending!(drain.poll());
            finish.send(()).unwrap();
            futures::executor::block_on(drain.into_inner());
            tally.assert_each_once();
            let stats = rcu.stats();
            assert_eq!((stats.queued, stats.finished), (2, 2));
        }
    });
}

#[test]
fn waits_for_async_callbacks_that_wait_for_each_other() {
    within(|| {
        let rcu = domain("async");
        let tally = Tally::new(2);
        let (to_first, from_second) = oneshot::channel::<()>();
        let (to_second, from_first) = oneshot::channel::<()>();
        let (first, second) = (tally.callback(0), tally.callback(1));
        rcu.call_async(async move {
            to_second.send(()).unwrap();
            from_second.await.unwrap();
            first();
        });
        rcu.call_async(async move {
            from_first.await.unwrap();
            to_first.send(()).unwrap();
            second();
        });
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn of_nested_calls_those_queued_when_it_began() {
    within(|| {
        let rcu = domain("nest");
        for _ in 0..100 {
            let tally = Tally::new(3);
            let [outer, inner, innermost] = [0, 1, 2].map(|i| tally.callback(i));
            let (again, once_more) = (rcu.clone(), rcu.clone());
            rcu.call(move || {
                outer();
                again.call(move || {
                    inner();
                    once_more.call(innermost);
                });
            });
            for depth in 1..=3 {
                rcu.blocking_drain();
                assert!(tally.ran() >= depth);
            }
            tally.assert_each_once();
        }
    });
}

#[test]
fn dropped_half_way_it_takes_nothing_with_it() {
    within(|| {
        let rcu = domain("drop");
        for i in 0..100 {
            let tally = Tally::new(1);
            let section = rcu.read_owned();
            rcu.call(tally.callback(0));
            drop(rcu.drain());
            let mut abandoned = task::spawn(rcu.drain());
            assert_pending!(abandoned.poll());
            let mut kept = task::spawn(rcu.drain());
            assert_pending!(kept.poll());
            if i % 2 == 0 {
                drop(abandoned);
                drop(section);
            } else {
                drop(section);
                drop(abandoned);
            }
            futures::executor::block_on(kept.into_inner());
            tally.assert_each_once();
        }
    });
}

#[test]
fn a_thousand_at_once_all_complete() {
    within(|| {
        let runtime = runtime(2);
        let rcu = domain("many");
        let tally = Tally::new(1_000);
        let section = rcu.read_owned();
        let drains: Vec<_> = (0..1_000)
            .map(|i| {
                let (rcu, tally) = (rcu.clone(), tally.clone());
                runtime.spawn(async move {
                    rcu.call(tally.callback(i));
                    rcu.drain().await;
                    assert!(tally.ran() > 0);
                })
            })
            .collect();
        drop(section);
        runtime.block_on(async {
            for drain in drains {
                drain.await.unwrap();
            }
        });
        tally.assert_each_once();
    });
}

#[test]
fn many_blocking_at_once_all_complete() {
    within(|| {
        let rcu = domain("many");
        let tally = Tally::new(16 * 20);
        thread::scope(|scope| {
            for thread in 0..16 {
                let (rcu, tally) = (&rcu, &tally);
                scope.spawn(move || {
                    for i in 0..20 {
                        rcu.call(tally.callback(thread * 20 + i));
                        rcu.blocking_drain();
                    }
                });
            }
        });
        tally.assert_each_once();
    });
}

#[test]
fn an_idle_domain_is_drained_at_once() {
    within(|| {
        let rcu = domain("idle");
        // The domain is unused. A section is open, but no callback is queued that could wait for
        // the section.
        let section = rcu.read_owned();
        futures::executor::block_on(rcu.drain());
        drop(section);
        rcu.blocking_drain();
        rcu.call(|| {});
        rcu.blocking_drain();
        for _ in 0..100 {
            rcu.blocking_drain();
            futures::executor::block_on(rcu.drain());
        }
        assert_eq!(rcu.stats().queued, 1);
    });
}

#[test]
fn afterwards_all_that_was_queued_is_finished() {
    within(|| {
        let rcu = domain("stats");
        let mut queued = 0;
        for round in 0..50_u64 {
            for i in 0..round {
                match i % 3 {
                    0 => rcu.call(|| {}),
                    1 => rcu.retire(Box::new(i)),
                    _ => rcu.call_async(async {}),
                }
            }
            queued += round;
            rcu.blocking_drain();
            let stats = rcu.stats();
            assert_eq!((stats.queued, stats.finished), (queued, queued));
        }
    });
}

#[test]
fn what_callbacks_did_is_seen_after_it() {
    within(|| {
        let rcu = domain("order");
        for _ in 0..200 {
            // The load may be relaxed, since the drain orders the callbacks.
            let sum = Arc::new(AtomicUsize::new(0));
            for i in 0..20 {
                let sum = Arc::clone(&sum);
                rcu.call(move || sum.store(sum.load(Ordering::Relaxed) + i, Ordering::Relaxed));
            }
            rcu.blocking_drain();
            assert_eq!(sum.load(Ordering::Relaxed), 190);
        }
    });
}

#[test]
fn the_blocking_form_works_where_tokio_lets_one_block() {
    within(|| {
        let rcu = domain("block");
        let tally = Tally::new(2);
        let runtime = runtime(1);
        let (first, second) = (tally.callback(0), tally.callback(1));
        let in_spawn_blocking = rcu.clone();
        runtime.block_on(async {
            let blocking = tokio::task::spawn_blocking(move || {
                in_spawn_blocking.call(first);
                in_spawn_blocking.blocking_drain();
            });
            blocking.await.unwrap();
            let in_place = rcu.clone();
            let task = tokio::spawn(async move {
                tokio::task::block_in_place(|| {
                    in_place.call(second);
                    in_place.blocking_drain();
                });
            });
            task.await.unwrap();
        });
        tally.assert_each_once();
    });
}

#[test]
fn the_form_with_a_timeout_gives_up_and_can_be_tried_again() {
    within(|| {
        let rcu = domain("timeout");
        let tally = Tally::new(1);
        let section = rcu.read_owned();
        rcu.call(tally.callback(0));
        for timeout in [Duration::ZERO, Duration::from_millis(2)] {
            let timed_out: Result<(), Timeout> = rcu.blocking_drain_timeout(timeout);
            let error = timed_out.expect_err("a section holds it up");
            assert!(!error.to_string().is_empty());
        }
        tally.assert_none();
        drop(section);
        rcu.blocking_drain_timeout(Duration::MAX).expect("no section is open");
        tally.assert_each_once();
        rcu.blocking_drain_timeout(Duration::ZERO).expect("nothing to wait for");
    });
}

#[test]
fn the_task_that_polled_last_is_woken() {
    within(|| {
        let rcu = domain("wake");
        for _ in 0..50 {
            let section = rcu.read_owned();
            rcu.call(|| {});
            let mut first = task::spawn(rcu.drain());
            assert_pending!(first.poll());
            let mut second = task::spawn(first.into_inner());
            assert_pending!(second.poll());
            drop(section);
            until("the wake-up", || second.is_woken());
            // A wake-up before the end is allowed. Another one follows.
            while second.poll().is_pending() {
                until("the next wake-up", || second.is_woken());
            }
        }
    });
}

#[test]
fn a_drain_with_no_time_tells_at_once_whether_it_is_over() {
    let rcu = Rcu::new();
    assert!(rcu.blocking_drain_timeout(Duration::ZERO).is_ok());
    let held = rcu.read_owned();
    rcu.call(|| ());
    let timeout = rcu.blocking_drain_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(timeout.to_string(), "timed out");
    drop(held);
    rcu.blocking_drain();
}
