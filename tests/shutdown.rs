//! The threads of a domain end by `shutdown`, after which later work starts them again, and by the
//! drop of the last handle, after which the queued work still runs.
#![cfg(feature = "rt")]

mod common;

use async_rcu::Rcu;
use common::executors::{Driven, on_every_executor};
use common::{Tally, domain, inline, perpetual, receive, runtime, until, within};
use futures::FutureExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio_test::{assert_pending, task};

#[test]
fn drains_and_later_work_starts_the_domain_again() {
    within(|| {
        on_every_executor(
            || Rcu::builder().name("again"),
            |Driven { rcu, driver }| {
                let mut queued = 0;
                for round in 0..20 {
                    let tally = Tally::new(30);
                    for i in 0..30 {
                        rcu.call(tally.callback(i));
                    }
                    queued += 30;
                    match round % 2 {
                        0 => rcu.blocking_shutdown(),
                        _ => futures::executor::block_on(rcu.shutdown()),
                    }
                    tally.assert_each_once();
                    let stats = rcu.stats();
                    assert_eq!((stats.queued, stats.finished), (queued, queued));
                    // Every kind of work starts the domain again.
                    match round % 5 {
                        0 => rcu.blocking_synchronize(),
                        1 => futures::executor::block_on(rcu.synchronize()),
                        2 => {
                            let cookie = rcu.start_grace_period();
                            until("the grace period", || rcu.has_elapsed(cookie));
                        }
                        3 => rcu.force(),
                        _ => {}
                    }
                }
                let (ran, has_run) = mpsc::channel();
                rcu.call(move || ran.send(()).unwrap());
                receive(&has_run);
                drop(rcu);
                drop(driver);
            },
        );
    });
}

#[test]
fn waits_for_sections_and_async_callbacks() {
    within(|| {
        let rcu = domain("waits");
        for _ in 0..20 {
            let (finish, finished) = tokio::sync::oneshot::channel::<()>();
            let section = rcu.read_owned();
            rcu.call_async(async move { finished.await.unwrap() });
            let mut shutdown = task::spawn(rcu.shutdown());
            assert_pending!(shutdown.poll());
            drop(section);
            rcu.blocking_synchronize();
            assert_pending!(shutdown.poll());
            finish.send(()).unwrap();
            futures::executor::block_on(shutdown.into_inner());
            let stats = rcu.stats();
            assert_eq!(stats.queued, stats.finished);
        }
    });
}

#[test]
fn sections_held_over_a_shutdown_stay_sections() {
    within(|| {
        let rcu = domain("held");
        for _ in 0..50 {
            let section = rcu.read_owned();
            rcu.blocking_shutdown();
            let tally = Tally::new(1);
            rcu.call(tally.callback(0));
            let mut wait = task::spawn(rcu.synchronize());
            assert_pending!(wait.poll());
            tally.assert_none();
            drop(section);
            futures::executor::block_on(wait.into_inner());
            rcu.blocking_drain();
            tally.assert_each_once();
        }
    });
}

#[test]
fn completes_under_load_that_never_ceases() {
    within(|| {
        for builder in [Rcu::builder(), Rcu::builder().executor(inline())] {
            let rcu = builder.build().unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            perpetual(&rcu, &stop);
            for round in 0..30 {
                let tally = Tally::new(1);
                rcu.call(tally.callback(0));
                match round % 2 {
                    0 => rcu.blocking_shutdown(),
                    _ => futures::executor::block_on(rcu.shutdown()),
                }
                tally.assert_each_once();
            }
            stop.store(true, Ordering::Relaxed);
        }
    });
}

#[test]
fn concurrent_with_every_other_use_nothing_is_lost() {
    within(|| {
        let rcu = domain("mixed");
        let tally = Tally::new(4 * 300);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (rcu, tally) = (&rcu, &tally);
                scope.spawn(move || {
                    for i in 0..300 {
                        rcu.call(tally.callback(thread * 300 + i));
                        match (i + thread) % 6 {
                            0 => rcu.blocking_shutdown(),
                            1 => futures::executor::block_on(rcu.shutdown()),
                            2 => rcu.blocking_synchronize(),
                            3 => rcu.force(),
                            4 => drop(rcu.read()),
                            _ => thread::yield_now(),
                        }
                    }
                });
            }
        });
        rcu.blocking_shutdown();
        tally.assert_each_once();
    });
}

#[test]
fn dropped_half_way_it_harms_nothing() {
    within(|| {
        let rcu = domain("half");
        for _ in 0..50 {
            let tally = Tally::new(1);
            let section = rcu.read_owned();
            rcu.call(tally.callback(0));
            let mut shutdown = task::spawn(rcu.shutdown());
            assert_pending!(shutdown.poll());
            drop(shutdown);
            drop(rcu.shutdown());
            drop(section);
            rcu.blocking_drain();
            tally.assert_each_once();
            let mut late = task::spawn(rcu.shutdown());
            let _ = late.poll();
        }
        rcu.blocking_shutdown();
    });
}

#[test]
fn on_idle_is_called_when_work_was_done_and_nothing_is_left() {
    within(|| {
        let (tell, told) = mpsc::channel();
        let done = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&done);
        let rcu = Rcu::builder()
            .name("idle")
            .on_idle(move || tell.send(seen.load(Ordering::SeqCst)).unwrap());
        let rcu = rcu.build().unwrap();
        for round in 1..=50 {
            let count = Arc::clone(&done);
            rcu.call(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            // The hook's calls before this one belong to earlier work.
            while receive(&told) != round {}
        }
    });
}

#[test]
fn any_name_will_do() {
    within(|| {
        for name in
            ["", "longer than the fifteen bytes that Linux keeps of it", "größe", "nul\0inside"]
        {
            let rcu = Rcu::builder().name(name).build().unwrap();
            let (ran, has_run) = mpsc::channel();
            rcu.call(move || ran.send(()).unwrap());
            receive(&has_run);
            rcu.blocking_shutdown();
        }
    });
}

#[cfg(target_os = "linux")]
mod threads {
    use super::*;
    use async_rcu::{Batch, Builder};
    use common::{runtime, threads_named};
    use std::time::Duration;

    /// Waits for the number of threads, since a new thread has no name for a moment, and a joined
    /// thread may still be listed for a moment.
    fn running(name: &str) -> usize {
        let (gp, worker) = (format!("rcu-{name}"), format!("rcu-{name}-cb"));
        threads_named(|comm| comm == gp || comm == worker).len()
    }

    #[track_caller]
    fn until_running(name: &str, threads: usize) {
        until("the number of threads", || running(name) == threads);
    }

    #[test]
    fn are_started_when_needed_and_gone_after_shutdown() {
        within(|| {
            let rcu = domain("s1");
            until_running("s1", 1);
            for round in 0..30 {
                rcu.call(|| {});
                rcu.blocking_drain();
                until_running("s1", 2);
                match round % 2 {
                    0 => rcu.blocking_shutdown(),
                    _ => futures::executor::block_on(rcu.shutdown()),
                }
                until_running("s1", 0);
                // Readers start no thread.
                drop(rcu.read());
                drop(rcu.read_owned());
                assert_eq!(running("s1"), 0);
            }
        });
    }

    #[test]
    fn of_every_executor_are_gone_after_shutdown() {
        within(|| {
            on_every_executor(
                || Rcu::builder().name("s2"),
                |Driven { rcu, driver }| {
                    rcu.call(|| {});
                    rcu.blocking_shutdown();
                    until_running("s2", 0);
                    drop((rcu, driver));
                },
            );
        });
    }

    #[test]
    fn end_when_the_last_handle_is_dropped() {
        fn ends(name: &'static str, builder: Builder, use_it: impl FnOnce(Rcu)) {
            use_it(builder.name(name).build().unwrap());
            until_running(name, 0);
        }

        within(|| {
            ends("s3a", Rcu::builder(), |_| {});
            ends("s3b", Rcu::builder(), |rcu| rcu.call(|| {}));
            ends("s3c", Rcu::builder(), |rcu| rcu.blocking_synchronize());
            ends("s3d", Rcu::builder().executor(inline()), |rcu| rcu.call(|| {}));
            ends("s3e", Rcu::builder(), |rcu| {
                rcu.blocking_shutdown();
                rcu.call(|| {});
            });
            ends("s3f", Rcu::builder(), |rcu| rcu.blocking_shutdown());
            ends("s3g", Rcu::builder(), |rcu| {
                let section = rcu.read_owned();
                rcu.call(|| {});
                let _ = rcu.start_grace_period();
                drop(rcu);
                drop(section);
            });
        });
    }

    #[test]
    fn end_when_the_last_handle_is_dropped_inside_a_callback() {
        within(|| {
            for builder in [Rcu::builder(), Rcu::builder().executor(inline())] {
                let rcu = builder.name("s4").build().unwrap();
                let last = rcu.clone();
                let section = rcu.read_owned();
                let (ran, has_run) = mpsc::channel();
                rcu.call(move || {
                    drop(last);
                    ran.send(()).unwrap();
                });
                drop(rcu);
                drop(section);
                receive(&has_run);
                until_running("s4", 0);
            }
        });
    }

    #[test]
    fn end_where_the_last_handle_was_in_a_future() {
        within(|| {
            let rcu = domain("s5");
            let section = rcu.read_owned();
            let mut wait = task::spawn(rcu.synchronize());
            let mut drain = task::spawn(rcu.drain());
            rcu.call(|| {});
            assert_pending!(wait.poll());
            assert_pending!(drain.poll());
            drop(rcu);
            until_running("s5", 1);
            drop(wait);
            drop(section);
            futures::executor::block_on(drain.into_inner());
            until_running("s5", 0);
        });
    }

    #[test]
    fn of_a_runtime_that_was_shut_down_under_it_end_too() {
        within(|| {
            let runtime = runtime(1);
            let rcu = Rcu::builder().name("s6").executor(runtime.handle().clone());
            let rcu = rcu.build().unwrap();
            let tally = Tally::new(10);
            let section = rcu.read_owned();
            for i in 0..10 {
                rcu.call(tally.callback(i));
            }
            runtime.shutdown_background();
            drop(section);
            rcu.blocking_drain();
            tally.assert_each_once();
            // The worker that ran the callbacks ends too.
            until_running("s6", 2);
            drop(rcu);
            until_running("s6", 0);
        });
    }

    #[test]
    fn of_thousands_of_domains_are_gone_with_them() {
        within(|| {
            const DOMAINS: usize = 2_000;
            let finished = Arc::new(AtomicUsize::new(0));
            for i in 0..DOMAINS {
                let rcu = Rcu::builder().name("s7");
                let rcu = match i % 3 {
                    0 => rcu,
                    1 => rcu.executor(inline()),
                    _ => rcu.executor(|batch: Batch| batch.run()),
                };
                let rcu = rcu.batch_interval(Duration::ZERO).build().unwrap();
                drop(rcu.read());
                let count = Arc::clone(&finished);
                rcu.call(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                if i % 2 == 0 {
                    rcu.blocking_drain();
                }
                if i % 20 == 19 {
                    // The test has only as many domains at a time as a machine has room for.
                    drop(rcu);
                    until("the end of most threads", || running("s7") < 10);
                }
            }
            until("the callbacks of all domains", || finished.load(Ordering::Relaxed) == DOMAINS);
            until_running("s7", 0);
            // Records are used again: a new domain has only this thread's record.
            let rcu = domain("s7");
            drop(rcu.read());
            assert!(rcu.stats().threads <= 3, "{} records", rcu.stats().threads);
        });
    }
}

#[test]
fn a_shutdown_that_is_over_stays_so() {
    within(|| {
        let rcu = Rcu::new();
        runtime(0).block_on(async {
            let mut shutdown = rcu.shutdown();
            (&mut shutdown).await;
            assert!((&mut shutdown).now_or_never().is_some());
        });
        // The domain starts again.
        rcu.blocking_synchronize();
    });
}
