//! What is stuck is named: what it is, whose, for how long, where it was made.
#![cfg(feature = "rt")]

mod common;
#[path = "stalls/told.rs"]
mod told;
#[path = "stalls/waits.rs"]
mod waits;

use async_rcu::{
    Batch, Builder, ChannelExecutor, GlobalLock, HeldSection, Rcu, RcuCell, SpawnExecutor,
    StallKind, StallReport,
};
use common::executors::{Driven, on_every_executor};
use common::reports::{SHORT, Stalls};
use common::{HANG_GUARD, Section, receive, runtime, thread_name, until, within};
use futures::task::{FutureObj, Spawn, SpawnError};
use std::cell::RefCell;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Whether sections carry where they were made.
const TRACKED: bool = cfg!(any(debug_assertions, feature = "locations"));

/// Runs a test over every executor, with a short timeout and the reports at hand.
fn reported_on_every_executor(
    name: &str,
    set: impl Fn(Builder) -> Builder,
    test: impl Fn(&Driven, &Stalls),
) {
    let stalls = RefCell::new(None);
    on_every_executor(
        || {
            let builder = Rcu::builder().name(name).stall_timeout(SHORT);
            let (builder, heard) = Stalls::of(set(builder));
            *stalls.borrow_mut() = Some(heard);
            builder
        },
        |driven| {
            let heard = stalls.borrow_mut().take().expect("made with the builder");
            test(&driven, &heard);
            let rcu = &driven.rcu;
            rcu.blocking_drain();
            until("as many hook calls as reports counted", || {
                rcu.stats().stalls == heard.called()
            });
        },
    );
}

#[track_caller]
fn only_holder(report: &StallReport) -> &HeldSection {
    assert_eq!((report.holders.len(), report.holders_total), (1, 1));
    &report.holders[0]
}

#[track_caller]
fn assert_made_at(location: Option<&Location<'_>>, line: u32) {
    let found = location.map(|location| (location.file(), location.line()));
    assert_eq!(found, TRACKED.then_some((file!(), line)));
}

#[test]
fn a_section_on_every_executor() {
    within(|| {
        reported_on_every_executor(
            "section",
            |b| b,
            |Driven { rcu, .. }, stalls| {
                let section = Section::on_a_thread(rcu);
                rcu.call(|| ());
                let report = stalls.next(StallKind::Section);
                assert_eq!(report.domain, "section");
                assert!(report.age >= SHORT);
                assert!(report.pending >= 1);
                let holder = only_holder(&report);
                assert!(!holder.owned && !holder.thread_ended);
                assert!(holder.age >= SHORT);
                section.end();
            },
        );
    });
}

#[test]
fn a_section_by_its_thread_and_place() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("place", SHORT);
        let (held, has_held) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let reader = {
            let rcu = rcu.clone();
            thread::Builder::new()
                .name("a reader".into())
                .spawn(move || {
                    let (guard, line) = (rcu.read(), line!());
                    held.send(line).unwrap();
                    let _ = may_leave.recv();
                    drop(guard);
                })
        };
        let reader = reader.unwrap();
        let line = receive(&has_held);
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert_eq!(holder.thread.as_deref(), Some("a reader"));
        assert_eq!(holder.thread_id, reader.thread().id());
        assert_eq!(holder.task, None);
        assert!(!holder.owned && !holder.thread_ended);
        assert_made_at(holder.location, line);
        let text = report.to_string();
        for part in [
            "\"place\"",
            "\"a reader\"",
            "1 section",
            "1 callback pending",
        ] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        assert!(!TRACKED || text.contains("stalls.rs"), "{text}");
        leave.send(()).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn owned_guards_and_references_by_the_place_of_the_user() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("owned", SHORT);
        let cell = RcuCell::new_in(&rcu, 1);
        let check = |line: u32, owned: bool| {
            rcu.call(|| ());
            let report = stalls.next(StallKind::Section);
            let holder = only_holder(&report);
            assert_eq!(holder.owned, owned);
            assert_eq!(holder.thread_id, thread::current().id());
            assert_made_at(holder.location, line);
        };
        let (guard, line) = (rcu.read_owned(), line!());
        check(line, true);
        drop(guard);
        rcu.blocking_drain();
        let (value, line) = (cell.read_owned(), line!());
        check(line, true);
        drop(value);
        rcu.blocking_drain();
        let (value, line) = (cell.read(), line!());
        check(line, false);
        drop(value);
        rcu.blocking_drain();
        let line = line!() + 1;
        cell.with(|_| check(line, false));
        rcu.blocking_drain();
    });
}

#[test]
fn an_owned_guard_by_the_task_that_made_it() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("task", SHORT);
        let runtime = runtime(1);
        let (leave, may_leave) = oneshot::channel::<()>();
        let (held, has_held) = mpsc::channel();
        let maker = rcu.clone();
        let task = runtime.spawn(async move {
            let guard = maker.read_owned();
            held.send(tokio::task::id().to_string()).unwrap();
            let _ = may_leave.await;
            drop(guard);
        });
        let id = receive(&has_held);
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(holder.owned);
        let told = holder.task.map(|task| task.to_string());
        assert_eq!(told, TRACKED.then_some(id));
        leave.send(()).unwrap();
        runtime.block_on(task).unwrap();
        rcu.blocking_drain();
    });
}

#[test]
fn the_guards_that_an_ended_thread_left() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("ended", SHORT);
        // One that somebody else has by now: it can end.
        let (owned, thread) = {
            let rcu = rcu.clone();
            let maker = thread::spawn(move || rcu.read_owned());
            let id = maker.thread().id();
            (maker.join().unwrap(), id)
        };
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(holder.owned && holder.thread_ended);
        assert_eq!((holder.thread_id, &holder.thread), (thread, &None));
        drop(owned);
        rcu.blocking_drain();

        // One that was leaked: it never does. The callback waits for ever, and the domain with it.
        let leaker = rcu.clone();
        let leaker = thread::Builder::new().name("leaker".into()).spawn(move || {
            std::mem::forget(leaker.read());
        });
        leaker.unwrap().join().unwrap();
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        let holder = only_holder(&report);
        assert!(!holder.owned && holder.thread_ended);
        assert_eq!(holder.thread.as_deref(), Some("leaker"));
        assert!(report.to_string().contains("ended thread \"leaker\""));
    });
}

#[test]
fn of_many_sections_the_oldest_are_listed_and_all_are_counted() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("many", SHORT);
        // Made first, and by the thread that registers first: whatever order they are kept in, some others come before.
        let (oldest, line) = (rcu.read_owned(), line!());
        rcu.call(|| ());
        common::first_grace_period_has_started(&rcu);
        let others = {
            let rcu = rcu.clone();
            thread::spawn(move || (0..40).map(|_| rcu.read_owned()).collect::<Vec<_>>())
        };
        let others = others.join().unwrap();
        let more: Vec<_> = (0..40).map(|_| rcu.read_owned()).collect();
        rcu.call(|| ());
        until("the second grace period", || rcu.stats().grace_periods >= 2);
        // Of the younger ones none holds up the first grace period.
        assert_eq!(stalls.next(StallKind::Section).holders_total, 1);
        let (told, tell) = mpsc::channel();
        let _notifier = rcu.on_force(move |event| drop(told.send(event.clone())));
        rcu.force();
        let event = receive(&tell);
        assert_eq!((event.holders.len(), event.holders_total), (32, 81));
        assert_made_at(event.holders[0].location, line);
        drop((oldest, others, more));
        rcu.blocking_drain();
    });
}

/// The section held up a grace period that a blocking caller had started by itself.
#[test]
fn a_section_that_holds_up_a_blocking_caller_only() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("caller", SHORT);
        let section = Section::owned(&rcu);
        let caller = {
            let rcu = rcu.clone();
            thread::spawn(move || rcu.blocking_synchronize())
        };
        let report = stalls.next(StallKind::Section);
        assert!(only_holder(&report).age >= SHORT);
        assert!(rcu.stats().oldest_section.unwrap() >= SHORT);
        section.end();
        caller.join().unwrap();
    });
}

/// The thread looked for what is stuck only before it slept, and a flood did not let it sleep.
#[test]
fn a_section_while_the_thread_always_finds_something_to_do() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("flood", SHORT);
        let section = Section::on_a_thread(&rcu);
        // Whatever the machine's load: in each turn, something comes for the next.
        let heard = Arc::new(AtomicBool::new(false));
        let (turns, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        // By another thread: a hook's own force is none.
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        let forcer = thread::spawn({
            let rcu = rcu.clone();
            move || {
                while asked.recv().is_ok() {
                    rcu.call(|| ());
                    rcu.force();
                    answer.send(()).unwrap();
                }
            }
        });
        let answered = Mutex::new(answered);
        let flood = rcu.on_force({
            let (heard, turns) = (Arc::clone(&heard), Arc::clone(&turns));
            move |_| {
                turns.fetch_add(1, Ordering::Relaxed);
                let gone_on = begun.elapsed() > HANG_GUARD / 2;
                if !heard.load(Ordering::Relaxed) && !gone_on {
                    ask.send(()).unwrap();
                    receive(&answered.lock().unwrap());
                }
            }
        });
        rcu.call(|| ());
        rcu.force();
        only_holder(&stalls.next(StallKind::Section));
        assert!(begun.elapsed() < HANG_GUARD / 2, "only after the flood");
        if turns.load(Ordering::Relaxed) < 2 {
            // One turn took longer than the timeout: the next report is it.
            until("another turn", || turns.load(Ordering::Relaxed) > 1);
            only_holder(&stalls.next(StallKind::Section));
        }
        heard.store(true, Ordering::Relaxed);
        drop(flood);
        section.end();
        rcu.blocking_drain();
        // The hook is gone, at the latest with the thread that was calling it.
        forcer.join().unwrap();
    });
}

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
                    // Nobody watches the grace-period thread, but itself when it is over.
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

/// Where the batch began to run just when the thread looked for what is stuck, that found it in no state at all, and did not
/// look again.
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

/// A spawner that keeps what it is given.
struct Keeps(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Keeps {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap().push(future);
        Ok(())
    }
}

/// Builds with the executor, sees the batch reported, and drives it by `drive`.
fn nobody_polls(set: impl FnOnce(Builder) -> Builder, drive: impl FnOnce()) {
    let builder = Rcu::builder().name("undriven").stall_timeout(SHORT);
    let (builder, stalls) = Stalls::of(set(builder));
    let rcu = builder.build().unwrap();
    let (ran, has_run) = mpsc::channel();
    rcu.call(move || ran.send(()).unwrap());
    let report = stalls.next(StallKind::Batch);
    assert!(report.age >= SHORT);
    assert_eq!((report.pending, report.thread_id), (1, None));
    assert!(report.to_string().contains("nobody polls"), "{report}");
    assert!(has_run.try_recv().is_err());
    drive();
    receive(&has_run);
    rcu.blocking_drain();
}

#[test]
fn a_batch_on_an_executor_that_nobody_drives() {
    within(|| {
        let undriven = runtime(0);
        nobody_polls(
            |b| b.executor(undriven.handle().clone()),
            || undriven.block_on(async { tokio::task::yield_now().await }),
        );

        let (executor, mut batches) = ChannelExecutor::new();
        nobody_polls(
            |b| b.executor(executor),
            || batches.try_next().expect("the batch").run(),
        );

        let kept = Arc::new(Mutex::new(Vec::new()));
        nobody_polls(
            |b| b.executor(SpawnExecutor::new(Keeps(Arc::clone(&kept)))),
            || futures::executor::block_on(kept.lock().unwrap().pop().unwrap()),
        );

        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        nobody_polls(
            |b| b.executor(move |batch: Batch| keep.lock().unwrap().push(batch)),
            // Dropped, it goes to the worker.
            || kept.lock().unwrap().clear(),
        );
    });
}

#[test]
fn a_batch_behind_an_async_callback_that_blocks_the_worker() {
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
                // A later matter is reported: the callback has been under way for longer than the timeout, and was looked at.
                let section = Section::owned(rcu);
                rcu.call(|| ());
                loop {
                    let all = stalls.so_far();
                    let early = all.iter().find(|r| r.kind == StallKind::AsyncCallback);
                    assert!(early.is_none(), "nobody waits: {early:?}");
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
