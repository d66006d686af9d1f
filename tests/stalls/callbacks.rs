//! A report names the callback, the batch or the lock holder that keeps callbacks from finishing.

use super::*;

#[test]
fn a_callback_that_runs_for_long_on_every_executor() {
    within(|| {
        reported_on_every_executor(
            "callback",
            |b| b,
            |Driven { rcu, .. }, stalls| {
                let (began, has_begun) = mpsc::channel();
                let (go_on, may_go_on) = mpsc::channel::<()>();
                rcu.call(move || {
                    began.send((thread_name(), thread::current().id())).unwrap();
                    let _ = may_go_on.recv();
                });
                let (name, id) = receive(&has_begun);
                let report = if name == "rcu-callback" {
                    // Only the grace-period thread itself can report this callback, after its end.
                    thread::sleep(2 * SHORT);
                    go_on.send(()).unwrap();
                    stalls.next(StallKind::Callback)
                } else {
                    let report = stalls.next(StallKind::Callback);
                    go_on.send(()).unwrap();
                    report
                };
                assert_eq!(report.thread.unwrap_or_default(), name);
                assert_eq!(report.thread_id, Some(id));
                assert!(report.age >= SHORT);
                assert!(report.holders.is_empty());
            },
        );
    });
}

/// If a batch began to run just when the thread looked for stalls, the thread found the batch
/// neither waiting nor running, and did not look again.
#[test]
fn each_of_many_callbacks_that_run_for_long() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("each", Duration::from_millis(1));
        for _ in 0..2000 {
            let (go_on, may_go_on) = mpsc::channel::<()>();
            rcu.call(move || _ = may_go_on.recv());
            stalls.next(StallKind::Callback);
            go_on.send(()).unwrap();
            rcu.blocking_drain();
        }
    });
}

#[test]
fn the_drop_of_a_retired_value_that_takes_long() {
    struct Slow(mpsc::Receiver<()>);
    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    within(|| {
        let (rcu, stalls) = Stalls::domain("drop", SHORT);
        let (go_on, may_go_on) = mpsc::channel();
        rcu.retire(Box::new(Slow(may_go_on)));
        let report = stalls.next(StallKind::Callback);
        assert_eq!(report.thread.as_deref(), Some("rcu-drop-cb"));
        assert!(report.to_string().contains("rcu-drop-cb"), "{report}");
        assert_eq!(report.pending, 1);
        go_on.send(()).unwrap();
        rcu.blocking_drain();
    });
}

/// A spawner that keeps its futures and polls none.
struct Keeps(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Keeps {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap().push(future);
        Ok(())
    }
}

/// Builds a domain by `set`, checks the report of its batch, and runs the batch by `drive`.
fn nobody_polls(set: impl FnOnce(Builder) -> Builder, drive: impl FnOnce()) {
    let builder = Rcu::builder().name("undriven").stall_timeout(SHORT);
    let (builder, stalls) = Stalls::of(set(builder));
    let rcu = builder.build().unwrap();
    let (ran, has_run) = mpsc::channel();
    rcu.call(move || ran.send(()).unwrap());
    let report = stalls.next(StallKind::Batch);
    assert!(report.age >= SHORT);
    assert_eq!((report.pending, report.thread_id), (1, None));
    assert!(report.to_string().contains("has not been polled"), "{report}");
    assert!(has_run.try_recv().is_err());
    drive();
    receive(&has_run);
    rcu.blocking_drain();
}

#[test]
fn a_batch_on_an_executor_that_no_thread_drives() {
    within(|| {
        let undriven = runtime(0);
        nobody_polls(
            |b| b.executor(undriven.handle().clone()),
            || undriven.block_on(async { tokio::task::yield_now().await }),
        );

        let (executor, mut batches) = ChannelExecutor::new();
        nobody_polls(|b| b.executor(executor), || batches.try_next().expect("the batch").run());

        let kept = Arc::new(Mutex::new(Vec::new()));
        let spawner = Keeps(Arc::clone(&kept));
        nobody_polls(
            |b| b.executor(move |batch: Batch| spawner.spawn(batch)),
            || futures::executor::block_on(kept.lock().unwrap().pop().unwrap()),
        );

        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        nobody_polls(
            |b| b.executor(move |batch: Batch| keep.lock().unwrap().push(batch)),
            // The dropped batch goes to the worker.
            || kept.lock().unwrap().clear(),
        );
    });
}

#[test]
fn a_batch_after_an_async_callback_that_blocks_the_worker() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("behind", SHORT);
        let (began, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        rcu.call_async(async move {
            began.send(()).unwrap();
            let _ = may_go_on.recv();
        });
        receive(&has_begun);
        rcu.call(|| ());
        assert!(stalls.next(StallKind::Batch).pending >= 1);
        go_on.send(()).unwrap();
        rcu.blocking_drain();
    });
}

#[test]
fn a_global_lock_that_is_not_let_go_on_every_executor() {
    within(|| {
        let lock = GlobalLock::new(0);
        reported_on_every_executor(
            "locked",
            |b| b.global_lock(&lock),
            |Driven { rcu, .. }, stalls| {
                let held = lock.try_lock().expect("free");
                lock.call(rcu, |n| *n += 1);
                let report = stalls.next(StallKind::GlobalLock);
                assert!(report.age >= SHORT);
                assert_eq!((report.pending, report.thread_id), (1, None));
                assert!(report.to_string().contains("global lock"), "{report}");
                drop(held);
                rcu.blocking_drain();
            },
        );
    });
}

#[test]
fn an_async_callback_where_a_drain_waits_for_it_and_not_before() {
    within(|| {
        reported_on_every_executor(
            "async",
            |b| b,
            |Driven { rcu, .. }, stalls| {
                let (began, has_begun) = mpsc::channel();
                let (end, may_end) = oneshot::channel::<()>();
                rcu.call_async(async move {
                    began.send(()).unwrap();
                    let _ = may_end.await;
                });
                receive(&has_begun);
                // The report of a later stall shows that the thread has looked for stalls while the
                // async callback had been running for longer than the timeout.
                let section = Section::owned(rcu);
                rcu.call(|| ());
                loop {
                    let all = stalls.so_far();
                    let early = all.iter().find(|r| r.kind == StallKind::AsyncCallback);
                    assert!(early.is_none(), "no drain waits: {early:?}");
                    if all.iter().any(|r| r.kind == StallKind::Section) {
                        break;
                    }
                    thread::yield_now();
                }
                section.end();
                thread::scope(|scope| {
                    scope.spawn(|| rcu.blocking_drain());
                    let report = stalls.next(StallKind::AsyncCallback);
                    assert!(report.age >= SHORT);
                    assert!(report.pending >= 1, "the callback has not finished");
                    assert!(report.to_string().contains("a drain waits"), "{report}");
                    end.send(()).unwrap();
                });
            },
        );
    });
}
