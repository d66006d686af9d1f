//! Callbacks run exactly once on every executor, and on the domain's worker if an executor fails.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{Batch, Rcu};
use common::executors::{Driven, on_every_executor};
use common::{Tally, inline, receive, runtime, thread_name, until, within, worker};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio_test::{assert_pending, task};

// ---- The suite over every executor.

fn suite(test: fn(&Rcu)) {
    let each = move |driven: Driven| test(&driven.rcu);
    within(move || on_every_executor(|| Rcu::builder().name("exec"), each));
}

#[test]
fn exactly_once_under_load() {
    suite(|rcu| {
        let tally = Tally::new(4 * 1_000);
        thread::scope(|scope| {
            for thread in 0..4 {
                let tally = &tally;
                scope.spawn(move || {
                    for i in 0..1_000 {
                        rcu.call(tally.callback(thread * 1_000 + i));
                        if i % 250 == 0 {
                            rcu.force();
                        }
                    }
                });
            }
        });
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn a_panic_in_the_middle_stops_nothing() {
    suite(|rcu| {
        let tally = Tally::new(100);
        for i in 0..100 {
            let callback = tally.callback(i);
            rcu.call(move || {
                callback();
                assert!(i % 10 != 5, "a callback that panics");
            });
        }
        rcu.blocking_drain();
        tally.assert_each_once();
        assert_eq!(rcu.stats().panicked, 10);
    });
}

#[test]
fn drain_returns_only_after_all_ran() {
    suite(|rcu| {
        for round in 0..20 {
            let tally = Tally::new(50);
            for i in 0..50 {
                rcu.call(tally.callback(i));
            }
            if round % 2 == 0 {
                rcu.blocking_drain();
            } else {
                futures::executor::block_on(rcu.drain());
            }
            tally.assert_each_once();
        }
    });
}

#[test]
fn a_callback_may_call_and_retire() {
    struct Retired(Tally);
    impl Drop for Retired {
        fn drop(&mut self) {
            self.0.hit(2);
        }
    }

    suite(|rcu| {
        let tally = Tally::new(3);
        let (ran, has_run) = mpsc::channel();
        let (again, counts) = (rcu.clone(), tally.clone());
        rcu.call(move || {
            counts.hit(0);
            again.retire(Box::new(Retired(counts.clone())));
            again.call(move || {
                counts.hit(1);
                ran.send(()).unwrap();
            });
        });
        receive(&has_run);
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn the_last_handle_may_go_first() {
    within(|| {
        on_every_executor(
            || Rcu::builder().name("exec"),
            |Driven { rcu, driver }| {
                let tally = Tally::new(100);
                let section = rcu.read_owned();
                for i in 0..100 {
                    rcu.call(tally.callback(i));
                }
                drop(rcu);
                tally.assert_none();
                drop(section);
                until("its callbacks", || tally.ran() == 100);
                tally.assert_each_once();
                drop(driver);
            },
        );
    });
}

// ---- Executors that fail.

/// Queues callbacks that record their thread. A guard keeps them from running until all are queued.
struct Work {
    rcu: Rcu,
    tally: Tally,
    ran_on: Arc<Mutex<Vec<String>>>,
}

impl Work {
    fn new(rcu: &Rcu, len: usize) -> Self {
        let work = Self { rcu: rcu.clone(), tally: Tally::new(len), ran_on: Arc::default() };
        let section = rcu.read_owned();
        for i in 0..len {
            let (callback, ran_on) = (work.tally.callback(i), Arc::clone(&work.ran_on));
            rcu.call(move || {
                callback();
                ran_on.lock().unwrap().push(thread_name());
            });
        }
        drop(section);
        work
    }

    #[track_caller]
    fn assert_rescued(self, worker: &str) {
        self.rcu.blocking_drain();
        self.tally.assert_each_once();
        for ran_on in self.ran_on.lock().unwrap().iter() {
            assert_eq!(ran_on, worker);
        }
        let stats = self.rcu.stats();
        assert_eq!(stats.queued, stats.finished);
        assert_eq!(stats.panicked, 0);
    }
}

/// A future that polls a batch once.
fn poll_once(batch: &mut Batch) -> Poll<()> {
    Pin::new(batch).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_executor_that_drops_its_batches_loses_nothing() {
    within(|| {
        let rcu = Rcu::builder().name("drops").executor(|batch: Batch| drop(batch));
        let rcu = rcu.build().unwrap();
        for _ in 0..20 {
            Work::new(&rcu, 100).assert_rescued("rcu-drops-cb");
        }
    });
}

#[test]
fn an_executor_that_drops_a_batch_half_way_loses_nothing_and_repeats_nothing() {
    within(|| {
        let half_way = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&half_way);
        let rcu = Rcu::builder().name("half").executor(move |mut batch: Batch| {
            let before = batch.len();
            if poll_once(&mut batch).is_pending() && batch.len() < before {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        let rcu = rcu.build().unwrap();
        for _ in 0..5 {
            let tally = Tally::new(60);
            let section = rcu.read_owned();
            for i in 0..60 {
                let callback = tally.callback(i);
                rcu.call(move || {
                    callback();
                    // The callback takes longer than a time slice, so that one poll does not run
                    // all callbacks.
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(250) {}
                });
            }
            drop(section);
            rcu.blocking_drain();
            tally.assert_each_once();
        }
        assert!(half_way.load(Ordering::Relaxed) > 0, "no batch was dropped half-way");
    });
}

#[test]
fn an_executor_that_panics_loses_nothing() {
    within(|| {
        let rcu = Rcu::builder().name("throws").executor(|batch: Batch| {
            assert!(batch.len() == 0, "an executor that panics");
        });
        let rcu = rcu.build().unwrap();
        for _ in 0..20 {
            Work::new(&rcu, 100).assert_rescued("rcu-throws-cb");
        }
    });
}

#[test]
fn an_executor_that_forgets_to_poll_loses_nothing_when_it_drops() {
    within(|| {
        let forgotten: Arc<Mutex<Vec<Batch>>> = Arc::default();
        let place = Arc::clone(&forgotten);
        let rcu = Rcu::builder()
            .name("forgets")
            .executor(move |batch: Batch| place.lock().unwrap().push(batch));
        let rcu = rcu.build().unwrap();
        for _ in 0..20 {
            let work = Work::new(&rcu, 100);
            until("the batch", || {
                let batches = forgotten.lock().unwrap();
                batches.iter().map(Batch::len).sum::<usize>() == 100
            });
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            work.tally.assert_none();
            let batches = std::mem::take(&mut *forgotten.lock().unwrap());
            drop(batches);
            futures::executor::block_on(drain.into_inner());
            work.assert_rescued("rcu-forgets-cb");
        }
    });
}

#[test]
fn a_batch_may_be_run_late_and_anywhere() {
    within(|| {
        let kept: Arc<Mutex<Vec<Batch>>> = Arc::default();
        let place = Arc::clone(&kept);
        let rcu = Rcu::builder()
            .name("late")
            .executor(move |batch: Batch| place.lock().unwrap().push(batch));
        let rcu = rcu.build().unwrap();
        let work = Work::new(&rcu, 100);
        until("the batch", || kept.lock().unwrap().iter().map(Batch::len).sum::<usize>() == 100);
        let batches = std::mem::take(&mut *kept.lock().unwrap());
        thread::spawn(move || batches.into_iter().for_each(Batch::run)).join().unwrap();
        // The callbacks have run. The drain waits until the domain has counted them.
        rcu.blocking_drain();
        work.tally.assert_each_once();
    });
}

#[test]
fn batches_whose_receiver_is_gone_are_rescued() {
    within(|| {
        let (executor, batches) = async_rcu::executor::ChannelExecutor::new();
        let rcu = Rcu::builder().name("deaf").executor(executor).build().unwrap();
        let in_the_channel = Work::new(&rcu, 100);
        until("the batch", || rcu.stats().batches >= 1);
        in_the_channel.tally.assert_none();
        drop(batches);
        in_the_channel.assert_rescued("rcu-deaf-cb");
        // Later batches find the channel closed.
        for _ in 0..10 {
            Work::new(&rcu, 100).assert_rescued("rcu-deaf-cb");
        }
    });
}

#[test]
fn the_stream_of_batches_ends_with_its_domain() {
    within(|| {
        let (executor, batches) = async_rcu::executor::ChannelExecutor::new();
        let rcu = Rcu::builder().name("ends").executor(executor).build().unwrap();
        let tally = Tally::new(100);
        for i in 0..100 {
            rcu.call(tally.callback(i));
        }
        drop(rcu);
        // The test hangs if the stream does not end.
        futures::executor::block_on_stream(batches).for_each(Batch::run);
        tally.assert_each_once();
    });
}

#[test]
fn work_not_yet_dispatched_survives_its_runtime() {
    within(|| {
        let in_background: [fn(tokio::runtime::Runtime); 2] =
            [tokio::runtime::Runtime::shutdown_background, drop];
        for end in in_background {
            for workers in [0, 1, 2] {
                let runtime = runtime(workers);
                let rcu = Rcu::builder().name("early").executor(runtime.handle().clone());
                let rcu = rcu.build().unwrap();
                let section = rcu.read_owned();
                let work = Work::new(&rcu, 100);
                end(runtime);
                work.tally.assert_none();
                drop(section);
                work.assert_rescued("rcu-early-cb");
                Work::new(&rcu, 10).assert_rescued("rcu-early-cb");
            }
        }
    });
}

#[test]
fn work_spawned_and_not_yet_run_survives_its_runtime() {
    within(|| {
        for shut_down in [true, false] {
            for workers in [0, 1] {
                let runtime = runtime(workers);
                let (let_go, held) = mpsc::channel::<()>();
                if workers > 0 {
                    // The task keeps the only worker from polling the batch.
                    let (started, has_started) = mpsc::channel();
                    runtime.spawn(async move {
                        started.send(()).unwrap();
                        let _ = held.recv();
                    });
                    receive(&has_started);
                }
                let rcu = Rcu::builder().name("spawned").executor(runtime.handle().clone());
                let rcu = rcu.build().unwrap();
                let work = Work::new(&rcu, 100);
                let metrics = runtime.metrics();
                until("the task", || metrics.num_alive_tasks() > workers);
                work.tally.assert_none();
                // The worker may poll the batch before it learns of the end. Both are correct.
                if shut_down {
                    runtime.shutdown_background();
                    drop(let_go);
                } else {
                    drop(let_go);
                    drop(runtime);
                }
                rcu.blocking_drain();
                work.tally.assert_each_once();
            }
        }
    });
}

#[test]
fn work_in_a_current_thread_runtime_that_is_never_driven_is_rescued_when_it_goes() {
    within(|| {
        for shut_down in [true, false] {
            let runtime = runtime(0);
            let rcu = Rcu::builder().name("undrive").executor(runtime.handle().clone());
            let rcu = rcu.build().unwrap();
            let work = Work::new(&rcu, 100);
            let metrics = runtime.metrics();
            until("the task", || metrics.num_alive_tasks() >= 1);
            work.tally.assert_none();
            match shut_down {
                true => runtime.shutdown_background(),
                false => drop(runtime),
            }
            work.assert_rescued("rcu-undrive-cb");
        }
    });
}

#[test]
fn a_runtime_that_ends_under_load_loses_nothing_and_repeats_nothing() {
    within(|| {
        for round in 0..20 {
            let runtime = runtime(1 + round % 2);
            let rcu = Rcu::builder().name("ending").executor(runtime.handle().clone());
            let rcu = rcu.build().unwrap();
            let tally = Tally::new(3_000);
            let half = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for i in 0..3_000 {
                        rcu.call(tally.callback(i));
                        if i % 100 == 0 {
                            rcu.force();
                        }
                        if i == 1_500 {
                            half.store(true, Ordering::Relaxed);
                        }
                    }
                });
                until("half of the load", || half.load(Ordering::Relaxed));
                runtime.shutdown_background();
            });
            rcu.blocking_drain();
            tally.assert_each_once();
        }
    });
}

#[test]
fn drain_waits_for_an_undriven_runtime_until_it_is_driven() {
    within(|| {
        let runtime = runtime(0);
        let rcu = Rcu::builder().name("undrive").executor(runtime.handle().clone());
        let rcu = rcu.build().unwrap();
        let work = Work::new(&rcu, 100);
        until("the batch", || rcu.stats().batches >= 1);
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        work.tally.assert_none();
        runtime.block_on(rcu.drain());
        work.tally.assert_each_once();
        // The other drain's ticket is done too. Its wake-up may come a little later.
        futures::executor::block_on(drain.into_inner());
    });
}

#[test]
fn current_thread_runtimes_do_not_deadlock() {
    within(|| {
        let runtime = runtime(0);
        let on_it = Rcu::builder().name("same").executor(runtime.handle().clone());
        let on_worker = Rcu::builder().name("other").executor(worker());
        let on_gp = Rcu::builder().name("inline").executor(inline());
        for builder in [on_it, on_worker, on_gp] {
            let rcu = builder.build().unwrap();
            let tally = Tally::new(100);
            runtime.block_on(async {
                for i in 0..100 {
                    rcu.call(tally.callback(i));
                    match i % 4 {
                        0 => rcu.drain().await,
                        1 => rcu.synchronize().await,
                        _ => {}
                    }
                    assert!(i % 4 != 0 || tally.ran() == i + 1);
                }
                rcu.drain().await;
                tally.assert_each_once();
                rcu.shutdown().await;
            });
        }
    });
}
