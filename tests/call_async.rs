//! `call_async` runs futures on the executor or the current runtime, at the same time as other
//! callbacks. It drops and counts the futures that cannot run.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{Batch, Rcu, executor::ChannelExecutor};
use common::{Tally, domain, inline, receive, runtime, thread_name, until, within, worker};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;
use tokio::sync::oneshot;
use tokio_test::{assert_pending, task};

/// Builds a runtime whose workers have this name.
fn runtime_named(name: &str) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// Queues a future that sends the name of its thread, before and after it has waited.
fn ask_for_its_threads(rcu: &Rcu) -> (oneshot::Sender<()>, mpsc::Receiver<String>) {
    let (go_on, gone_on) = oneshot::channel();
    let (tell, told) = mpsc::channel();
    rcu.call_async(async move {
        tell.send(thread_name()).unwrap();
        gone_on.await.unwrap();
        tell.send(thread_name()).unwrap();
    });
    (go_on, told)
}

#[track_caller]
fn assert_runs_on(rcu: &Rcu, thread: &str) {
    for _ in 0..10 {
        let (go_on, told) = ask_for_its_threads(rcu);
        rcu.force();
        assert_eq!(receive(&told), thread);
        go_on.send(()).unwrap();
        assert_eq!(receive(&told), thread);
        rcu.blocking_drain();
    }
}

#[test]
fn keeps_the_runtime_that_is_current_at_the_call() {
    within(|| {
        let (of_the_domain, of_the_call) = (runtime_named("domain"), runtime_named("call"));
        let builder = || Rcu::builder().name("home");
        for builder in [
            builder(),
            builder().executor(inline()),
            builder().executor(of_the_domain.handle().clone()),
        ] {
            let rcu = builder.build().unwrap();
            {
                let _current = of_the_call.enter();
                let (go_on, told) = ask_for_its_threads(&rcu);
                rcu.force();
                assert_eq!(receive(&told), "call");
                go_on.send(()).unwrap();
                assert_eq!(receive(&told), "call");
            }
            // Calls that need a runtime work.
            let (done, is_done) = mpsc::channel();
            let in_a_task = rcu.clone();
            of_the_call.block_on(async move {
                in_a_task.call_async(async move {
                    tokio::time::sleep(std::time::Duration::from_micros(1)).await;
                    let spawned = tokio::spawn(async { thread_name() });
                    done.send(spawned.await.unwrap()).unwrap();
                });
            });
            assert_eq!(receive(&is_done), "call");
            rcu.blocking_drain();
        }
    });
}

#[test]
fn without_a_runtime_goes_to_the_worker_thread() {
    within(|| {
        let builder = || Rcu::builder().name("alone");
        for builder in [builder(), builder().executor(worker())] {
            assert_runs_on(&builder.build().unwrap(), "rcu-alone-cb");
        }
    });
}

#[test]
fn with_the_inline_executor_goes_to_the_worker_and_never_to_the_gp_thread() {
    within(|| {
        let rcu = Rcu::builder().name("inl").executor(inline()).build().unwrap();
        let (tell, told) = mpsc::channel();
        rcu.call(move || tell.send(thread_name()).unwrap());
        assert_eq!(
            receive(&told),
            "rcu-inl",
            "an ordinary callback runs on the grace-period thread"
        );
        assert_runs_on(&rcu, "rcu-inl-cb");
    });
}

#[test]
fn without_a_runtime_goes_to_the_domains_runtime() {
    within(|| {
        let runtime = runtime_named("domain");
        let rcu = Rcu::builder().executor(runtime.handle().clone()).build().unwrap();
        assert_runs_on(&rcu, "domain");
    });
}

#[test]
fn without_a_runtime_goes_down_the_channel() {
    within(|| {
        let (executor, batches) = ChannelExecutor::new();
        let poller = thread::Builder::new().name("poller".into()).spawn(move || {
            futures::executor::block_on_stream(batches).for_each(Batch::run);
        });
        let rcu = Rcu::builder().executor(executor).build().unwrap();
        assert_runs_on(&rcu, "poller");
        drop(rcu);
        poller.unwrap().join().unwrap();
    });
}

#[test]
fn futures_run_concurrently_with_each_other() {
    within(|| {
        let runtime = runtime(0);
        let builder = || Rcu::builder().name("both");
        // The executors are a runtime of one thread, the worker, and a channel whose receiver
        // spawns.
        for (builder, on_runtime) in [
            (builder(), true),
            (builder(), false),
            (builder().executor(inline()), false),
            (builder().executor(runtime.handle().clone()), false),
        ] {
            let rcu = builder.build().unwrap();
            let tally = Tally::new(2);
            let (to_first, from_second) = oneshot::channel::<()>();
            let (to_second, from_first) = oneshot::channel::<()>();
            {
                let _current = on_runtime.then(|| runtime.enter());
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
            }
            runtime.block_on(rcu.drain());
            tally.assert_each_once();
        }
    });
}

#[test]
fn callbacks_go_on_while_a_future_waits() {
    within(|| {
        let builder = || Rcu::builder().name("beside");
        for builder in [builder(), builder().executor(inline())] {
            let rcu = builder.build().unwrap();
            let (go_on, told) = ask_for_its_threads(&rcu);
            receive(&told);
            let tally = Tally::new(100);
            for i in 0..100 {
                rcu.call(tally.callback(i));
                rcu.blocking_synchronize();
            }
            until("the other callbacks", || tally.ran() == 100);
            until("they are counted", || rcu.stats().finished == 100);
            go_on.send(()).unwrap();
            rcu.blocking_drain();
            assert_eq!(rcu.stats().finished, 101);
        }
    });
}

#[test]
fn is_not_polled_before_the_sections_that_existed_have_ended() {
    within(|| {
        let runtime = runtime(1);
        for on_runtime in [true, false] {
            let rcu = domain("late");
            for _ in 0..50 {
                let _current = on_runtime.then(|| runtime.enter());
                let ended = Arc::new(AtomicBool::new(false));
                let (tell, told) = mpsc::channel();
                let section = rcu.read_owned();
                let flag = Arc::clone(&ended);
                rcu.call_async(async move { tell.send(flag.load(Ordering::Relaxed)).unwrap() });
                rcu.force();
                assert!(told.try_recv().is_err());
                ended.store(true, Ordering::Relaxed);
                drop(section);
                assert!(receive(&told));
            }
        }
    });
}

#[test]
fn exactly_once_from_many_threads() {
    within(|| {
        let runtime = runtime(2);
        let rcu = domain("load");
        let tally = Tally::new(4 * 500);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (rcu, tally, runtime) = (&rcu, &tally, &runtime);
                scope.spawn(move || {
                    let _current = (thread % 2 == 0).then(|| runtime.enter());
                    for i in 0..500 {
                        let callback = tally.callback(thread * 500 + i);
                        rcu.call_async(async move {
                            tokio::task::yield_now().await;
                            callback();
                        });
                    }
                });
            }
        });
        rcu.blocking_drain();
        tally.assert_each_once();
        assert_eq!(rcu.stats().cancelled, 0);
    });
}

#[test]
fn a_panic_is_counted_and_reported_and_ends_that_future_alone() {
    within(|| {
        let runtime = runtime(1);
        for on_runtime in [true, false] {
            let reports: Arc<Mutex<Vec<String>>> = Arc::default();
            let log = Arc::clone(&reports);
            let rcu = Rcu::builder()
                .name("panics")
                .on_panic(move |report| log.lock().unwrap().push(report.to_string()));
            let rcu = rcu.build().unwrap();
            let tally = Tally::new(1);
            {
                let _current = on_runtime.then(|| runtime.enter());
                rcu.call_async(async { panic!("before it waits") });
                rcu.call_async(async {
                    tokio::task::yield_now().await;
                    panic!("after it has waited");
                });
                let callback = tally.callback(0);
                rcu.call_async(async move { callback() });
            }
            rcu.blocking_drain();
            tally.assert_each_once();
            let stats = rcu.stats();
            assert_eq!((stats.panicked, stats.finished, stats.cancelled), (2, 3, 0));
            let mut reports = reports.lock().unwrap().clone();
            reports.sort();
            assert_eq!(reports.len(), 2);
            assert!(reports.iter().any(|r| r.contains("before it waits")));
            assert!(reports.iter().any(|r| r.contains("after it has waited")));
        }
    });
}

/// A value that sends a message when it is dropped.
struct Told(mpsc::Sender<&'static str>, &'static str);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

#[test]
fn one_whose_runtime_is_gone_is_dropped_and_counted_and_drain_completes() {
    within(|| {
        let rcu = domain("gone");
        let (tell, told) = mpsc::channel();
        let runtime = runtime(1);
        // When the runtime is dropped, one future is being polled, and one waits for its grace
        // period.
        let (begun, has_begun) = mpsc::channel();
        {
            let _current = runtime.enter();
            let token = Told(tell.clone(), "begun");
            rcu.call_async(async move {
                let _token = token;
                begun.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        }
        rcu.force();
        receive(&has_begun);
        let section = rcu.read_owned();
        {
            let _current = runtime.enter();
            let token = Told(tell, "not begun");
            rcu.call_async(async move { drop(token) });
        }
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        runtime.shutdown_background();
        assert_eq!(receive(&told), "begun");
        drop(section);
        assert_eq!(receive(&told), "not begun");
        futures::executor::block_on(drain.into_inner());
        let stats = rcu.stats();
        assert_eq!((stats.cancelled, stats.panicked), (2, 0));
        assert_eq!((stats.queued, stats.finished), (2, 2));
        // The runtime's end does not lose calls and retired values.
        let tally = Tally::new(1);
        rcu.call(tally.callback(0));
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn holds_no_global_lock() {
    within(|| {
        let lock = async_rcu::GlobalLock::new(0);
        let rcu = Rcu::builder().name("unlock").global_lock(&lock);
        let rcu = rcu.build().unwrap();
        for runtime in [None, Some(runtime(1))] {
            let _current = runtime.as_ref().map(|runtime| runtime.enter());
            let inside = lock.clone();
            let (done, is_done) = mpsc::channel();
            rcu.call_async(async move {
                // The wait would never end if the future's own batch held it back.
                *inside.lock().await += 1;
                done.send(()).unwrap();
            });
            rcu.force();
            receive(&is_done);
        }
        rcu.blocking_drain();
        assert_eq!(*lock.blocking_lock(), 2);
    });
}

#[test]
fn without_a_runtime_an_executor_that_drops_it_loses_nothing() {
    within(|| {
        // The executor fails at once, or after the first poll. The worker continues the batch.
        for polled in [false, true] {
            let rcu = Rcu::builder().name("drops").executor(move |mut batch: Batch| {
                if polled {
                    let mut context = Context::from_waker(Waker::noop());
                    let _ = Pin::new(&mut batch).poll(&mut context);
                }
            });
            let rcu = rcu.build().unwrap();
            let tally = Tally::new(20);
            for i in 0..20 {
                let callback = tally.callback(i);
                rcu.call_async(async move {
                    tokio::task::yield_now().await;
                    assert_eq!(thread_name(), "rcu-drops-cb");
                    callback();
                });
            }
            rcu.blocking_drain();
            tally.assert_each_once();
            let stats = rcu.stats();
            assert_eq!((stats.cancelled, stats.panicked), (0, 0));
        }
    });
}
