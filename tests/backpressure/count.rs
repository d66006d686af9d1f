//! Each callback gives its room back exactly once, however the callback ends.

use crate::common::executors::{Driven, on_every_executor};
use crate::common::{Bomb, Tally, receive, runtime, within};
use crate::{builder, limited, room};
use async_rcu::{Batch, GlobalLock, Rcu, RcuCell, executor::ChannelExecutor};
use std::future::pending;
use std::sync::mpsc;
use std::thread;
use tokio_test::{assert_pending, task};

const LIMIT: usize = 100;

#[test]
fn exact_after_panics_on_every_executor() {
    within(|| {
        on_every_executor(
            || builder(LIMIT),
            |Driven { rcu, driver: _driver }| {
                for i in 0..300 {
                    match i % 6 {
                        0 => rcu.call(|| panic!("called")),
                        1 => rcu.retire(Box::new(Bomb("dropped"))),
                        2 => rcu.call_async(async { panic!("polled") }),
                        3 => {
                            // One future is dropped before its end, the other at its end.
                            let bomb = Bomb("dropped");
                            rcu.call_async(async move {
                                let _bomb = bomb;
                                tokio::task::yield_now().await;
                            });
                        }
                        4 => rcu.call_async(async {}),
                        _ => rcu.call(|| ()),
                    }
                }
                rcu.blocking_drain();
                assert_eq!(rcu.stats().panicked, 200);
                assert_eq!(rcu.stats().finished, 300);
                assert_eq!(room(&rcu), LIMIT);
            },
        );
    });
}

#[test]
fn exact_where_batches_are_dropped() {
    within(|| {
        // The executor fails at once, after a time slice, or by a panic of its own.
        let rcu = builder(LIMIT).executor(|batch: Batch| drop(batch)).build();
        check(&rcu.unwrap());
        let rcu = builder(LIMIT).executor(|_batch: Batch| panic!("no"));
        check(&rcu.build().unwrap());
        let rcu = builder(LIMIT).executor(|batch: Batch| {
            let mut batch = task::spawn(batch);
            let _ = batch.poll();
        });
        check(&rcu.build().unwrap());
        let lock = GlobalLock::new(());
        let rcu = builder(LIMIT).global_lock(&lock).executor(|batch: Batch| {
            let mut batch = task::spawn(batch);
            let _ = batch.poll();
        });
        check(&rcu.build().unwrap());
    });

    fn check(rcu: &Rcu) {
        for _ in 0..3 {
            let tally = Tally::new(2 * LIMIT);
            for i in 0..2 * LIMIT {
                let callback = tally.callback(i);
                match i % 4 {
                    0 => rcu.call_async(async move { callback() }),
                    1 => rcu.call(move || {
                        // The callback takes longer than a time slice.
                        thread::sleep(std::time::Duration::from_micros(300));
                        callback();
                    }),
                    _ => rcu.call(callback),
                }
            }
            rcu.blocking_drain();
            tally.assert_each_once();
            assert_eq!(room(rcu), LIMIT);
        }
    }
}

#[test]
fn exact_where_runtimes_die() {
    within(|| {
        let runtime = runtime(1);
        let rcu = builder(LIMIT).executor(runtime.handle().clone());
        let rcu = rcu.build().unwrap();
        // Some callbacks are running, some have not begun, some wait for a section.
        let (began, has_begun) = mpsc::channel();
        {
            let _in = runtime.enter();
            for _ in 0..10 {
                let began = began.clone();
                rcu.call_async(async move {
                    began.send(()).unwrap();
                    pending().await
                });
            }
            (0..10).for_each(|_| receive(&has_begun));
            let section = rcu.read_owned();
            for _ in 0..10 {
                rcu.call_async(pending());
                rcu.call(|| ());
            }
            drop(section);
        }
        drop(runtime);
        rcu.blocking_drain();
        let stats = rcu.stats();
        assert_eq!((stats.cancelled, stats.finished), (20, 30));
        // The executor is dead, so the worker runs all later callbacks.
        for _ in 0..3 {
            assert_eq!(room(&rcu), LIMIT);
        }
    });
}

#[test]
fn exact_where_the_stream_of_batches_is_dropped() {
    within(|| {
        let (executor, mut batches) = ChannelExecutor::new();
        let rcu = builder(LIMIT).executor(executor).build().unwrap();
        let tally = Tally::new(50);
        (0..25).for_each(|i| rcu.call(tally.callback(i)));
        let batch = futures::executor::block_on(futures::StreamExt::next(&mut batches)).unwrap();
        (25..50).for_each(|i| rcu.call(tally.callback(i)));
        drop((batches, batch));
        rcu.blocking_drain();
        tally.assert_each_once();
        assert_eq!(room(&rcu), LIMIT);
    });
}

#[test]
fn callbacks_of_cells_and_locks_count_and_values_taken_back_do_not() {
    within(|| {
        let rcu = limited(4);
        let cell = RcuCell::new_in(&rcu, 0);
        let lock = GlobalLock::new(0);
        let section = rcu.read_owned();
        cell.store(1);
        let old = cell.swap(2);
        lock.call(&rcu, |n| *n += 1);
        // The store and the lock have queued one callback each.
        rcu.try_call(|| ()).unwrap();
        rcu.try_call(|| ()).unwrap();
        assert!(rcu.try_call(|| ()).is_err());
        let mut reclaim = task::spawn(old.wait());
        assert_pending!(reclaim.poll());
        // The abandoned value is retired. That makes one more callback, over the limit.
        drop(reclaim);
        drop(section);
        rcu.blocking_drain();
        assert_eq!(*lock.blocking_lock(), 1);
        assert_eq!(room(&rcu), 4);
        let old = cell.swap(3).blocking_wait();
        assert_eq!((*old, room(&rcu)), (2, 4));
        drop(cell);
        rcu.blocking_drain();
        assert_eq!(room(&rcu), 4);
    });
}

#[test]
fn exact_through_shutdown_and_the_threads_return() {
    within(|| {
        let rcu = limited(LIMIT);
        for _ in 0..10 {
            (0..2 * LIMIT).for_each(|_| rcu.call(|| ()));
            rcu.blocking_shutdown();
            assert_eq!(room(&rcu), LIMIT);
        }
    });
}
