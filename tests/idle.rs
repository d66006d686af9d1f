//! In an idle process no thread of the library wakes up. The tests count every thread of the
//! process, so this binary holds no other tests, and they run one at a time. The tests need Linux,
//! which counts a thread's wake-ups.
#![cfg(feature = "rt")]
#![cfg(target_os = "linux")]

mod common;

use async_rcu::{Batch, Builder, GlobalLock, Rcu, executor::ChannelExecutor, report::StallKind};
use common::reports::{SHORT, Stalls};
use common::{HANG_GUARD, alone, inline, receive, runtime, threads_named, until, within};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_test::{assert_pending, assert_ready, task};

/// The activity of a thread so far. A sleeping thread adds to neither number. A spinning thread
/// adds to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    wake_ups: u64,
    on_processor: Duration,
}

/// Returns the activity of each thread of the library, by the thread's id and name.
fn done() -> BTreeMap<String, Done> {
    let read = |tid: String| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.to_owned())
        };
        let name = format!("{tid} {}", field("Name:")?);
        // The count is always 0 if the kernel was built without it.
        let times = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"));
        let times = times.unwrap_or_default();
        let on_processor = times.split_whitespace().next().map_or(Ok(0), str::parse);
        let done = Done {
            wake_ups: field("voluntary_ctxt_switches:")?.parse().ok()?,
            on_processor: Duration::from_nanos(on_processor.ok()?),
        };
        Some((name, done))
    };
    let tids = threads_named(|name| name.starts_with("rcu-"));
    tids.into_iter().filter_map(read).collect()
}

/// Returns the activity of the thread with this name, if the thread has started.
fn done_by(name: &str) -> Option<Done> {
    let is_named = |id: &str| id.split_once(' ').is_some_and(|(_, own)| own == name);
    done().into_iter().find_map(|(id, done)| is_named(&id).then_some(done))
}

/// Waits for two seconds in which none of the library's threads, at least `threads`, wakes up. The
/// last timers may still be running: the figures are published (feature `metrics`) a second later,
/// and the next look at running batches comes a stall timeout later. So the test makes several
/// attempts.
#[track_caller]
fn assert_asleep(threads: usize) {
    let mut before = done();
    for _ in 0..5 {
        thread::sleep(Duration::from_secs(2));
        let now = done();
        assert!(now.len() >= threads, "threads of the library: {now:?}");
        if now == before {
            return;
        }
        before = now;
    }
    panic!("the threads never slept for two seconds: {before:?}");
}

#[test]
fn no_thread_wakes_up_in_two_seconds_of_idleness() {
    let _alone = alone();
    within(|| {
        let runtime = runtime(1);
        let builder = |name: &str| Rcu::builder().name(name);
        let domains = [
            builder("worker").build(),
            builder("inline").executor(inline()).build(),
            builder("tokio").executor(runtime.handle().clone()).build(),
            builder("closure").executor(|batch: Batch| batch.run()).build(),
            builder("hooks").on_idle(|| {}).on_panic(|_| {}).build(),
            builder("long").batch_interval(Duration::from_secs(1)).build(),
            builder("unused").build(),
        ]
        .map(Result::unwrap);
        let held = domains[0].clone();
        for rcu in &domains[..6] {
            for i in 0..100_u32 {
                rcu.call(move || assert!(i < 100));
                rcu.retire(Box::new(i));
                rcu.call_async(async {});
                drop((rcu.read(), rcu.read_owned()));
                rcu.force();
                rcu.blocking_synchronize();
            }
            // After this, the last request, the domain has nothing to do.
            rcu.blocking_drain();
        }
        // An open section that no caller waits for makes no work either.
        let _section = held.read_owned();
        assert_asleep(9);
    });
}

/// A wait in a `select!` beside a busy channel is polled with every message.
#[test]
fn polling_a_pending_wait_wakes_no_thread() {
    const MANY: u64 = 10_000;
    let _alone = alone();
    within(|| {
        let rcu = Rcu::builder().name("polled").build().unwrap();
        let held = rcu.read_owned();
        let mut waits = task::spawn(rcu.synchronize());
        assert_pending!(waits.poll());
        let wake_ups = || done_by("rcu-polled").map_or(0, |done| done.wake_ups);
        until("a wake-up of the grace-period thread", || wake_ups() > 0);
        let before = wake_ups();
        for _ in 0..MANY {
            assert_pending!(waits.poll());
            thread::yield_now();
        }
        let often = wake_ups() - before;
        assert!(often < MANY / 10, "woken {often} times");
        drop(held);
        until("the end", || waits.is_woken());
        assert_ready!(waits.poll());
    });
}

/// Sections block a grace period while a thousand others begin and end on the same thread. No
/// thread wakes up until the section that has a request ends.
#[test]
fn sections_beside_a_stalled_section_wake_no_thread() {
    const MANY: u64 = 1000;
    let _alone = alone();
    within(|| {
        let rcu = Rcu::builder().name("stalled").build().unwrap();
        let in_the_way: Vec<_> = (0..100).map(|_| rcu.read_owned()).collect();
        let last = rcu.read_owned();
        let mut waits = task::spawn(rcu.synchronize());
        assert_pending!(waits.poll());
        let stalled = || done_by("rcu-stalled");
        until("a wake-up of the grace-period thread", || stalled().is_some_and(|d| d.wake_ups > 0));
        let (before, began) = (stalled().unwrap(), Instant::now());
        for _ in 0..MANY {
            drop(rcu.read());
            drop(rcu.read_owned());
            // The pause lets the grace-period thread sleep again, so that each section could wake
            // it.
            thread::sleep(Duration::from_micros(100));
        }
        let after = stalled().unwrap();
        let often = after.wake_ups - before.wake_ups;
        assert!(often < MANY / 10, "woken {often} times");
        // The grace-period thread sleeps and does not spin. So however busy the machine is, the
        // thread uses only a share of the elapsed time.
        let (spun, whole) = (after.on_processor - before.on_processor, began.elapsed());
        assert!(spun < whole / 4, "on a processor for {spun:?} of {whole:?}");
        drop(in_the_way);
        drop(last);
        until("the end", || waits.is_woken());
        assert_ready!(waits.poll());
    });
}

/// Runs every operation that sets a timer or leaves a waker, and waits until all are over.
fn stir(rcu: &Rcu, inline: bool, until_stalled: impl Fn(StallKind)) {
    // The section blocks waits that are given up.
    let section = rcu.read_owned();
    rcu.call(|| ());
    rcu.retire(Box::new(0));
    let mut asked = task::spawn(section.release_requested());
    assert_pending!(asked.poll());
    let mut gives_up = (task::spawn(rcu.synchronize()), task::spawn(rcu.drain()));
    assert_pending!(gives_up.0.poll());
    assert_pending!(gives_up.1.poll());
    until("the request", || asked.is_woken());
    assert_ready!(asked.poll());
    until_stalled(StallKind::Section);
    drop(gives_up);
    drop(section);
    rcu.blocking_drain();

    // A callback and an async callback take long. If the grace-period thread itself runs a long
    // callback, it reports the callback afterwards. Elsewhere the callback goes on until the
    // report.
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let for_long = if inline { SHORT } else { HANG_GUARD };
    rcu.call(move || _ = may_go_on.recv_timeout(for_long));
    until_stalled(StallKind::Callback);
    let _ = go_on.send(());
    let (end, may_end) = oneshot::channel::<()>();
    rcu.call_async(async move { _ = may_end.await });
    let mut drain = task::spawn(rcu.drain());
    assert_pending!(drain.poll());
    until_stalled(StallKind::AsyncCallback);
    end.send(()).unwrap();
    rcu.blocking_drain();
    assert_ready!(drain.poll());

    // The domain reaches its limit, and a waiter gives up.
    let permits: Vec<_> = std::iter::from_fn(|| match task::spawn(rcu.reserve()).poll() {
        std::task::Poll::Ready(permit) => Some(permit),
        std::task::Poll::Pending => None,
    })
    .take(100)
    .collect();
    drop(permits);
    while rcu.stats().queued < 300 {
        rcu.call(|| ());
    }
    // The stall is reported at once, and its cause ends afterwards.
    {
        let _guard = rcu.read();
        assert_pending!(task::spawn(rcu.synchronize()).poll());
    }
    rcu.blocking_drain();
}

#[test]
fn nor_after_stalls_batches_and_async_callbacks_that_are_over() {
    let _alone = alone();
    within(|| {
        let runtime = runtime(1);
        let lock = GlobalLock::new(());
        let (executor, batches) = ChannelExecutor::new();
        thread::spawn(|| {
            for batch in futures::executor::block_on_stream(batches) {
                batch.run();
            }
        });
        const INLINE: usize = 1;
        let kinds: Vec<fn(Builder) -> Builder> =
            vec![|b| b, |b| b.executor(inline()), |b| b.max_pending(50), |b| {
                b.on_idle(|| {}).batch_interval(Duration::from_secs(1))
            }];
        let mut builders: Vec<Builder> = Vec::new();
        for timeout in [None, Some(Duration::from_millis(10))] {
            for set in &kinds {
                let builder = set(Rcu::builder());
                builders.push(match timeout {
                    None => builder,
                    Some(timeout) => builder.stall_timeout(timeout),
                });
            }
        }
        let small = || Rcu::builder().stall_timeout(Duration::from_millis(10));
        builders.push(small().executor(runtime.handle().clone()));
        builders.push(small().executor(executor));
        builders.push(small().global_lock(&lock));
        let mut kept = Vec::new();
        for (place, builder) in builders.into_iter().enumerate() {
            let (builder, stalls) = Stalls::of(builder);
            let rcu = builder.build().unwrap();
            // The first four domains have the default timeout, which the test does not wait for.
            stir(&rcu, place % 4 == INLINE && place < 8, |kind| {
                if place >= 4 {
                    stalls.next(kind);
                }
            });
            assert_eq!(rcu.stats().stalls >= 3, place >= 4);
            // None of these makes work, however long the program keeps it: an async callback that
            // no caller waits for, a finished drain that is not polled, a hook, a permit, a
            // section, and a section's request future.
            let section = rcu.read_owned();
            let mut drain = task::spawn(rcu.drain());
            rcu.call(|| ());
            assert_pending!(drain.poll());
            drop(section);
            until("the end of the drain", || drain.is_woken());
            let (began, has_begun) = mpsc::channel();
            rcu.call_async(async move {
                began.send(()).unwrap();
                std::future::pending().await
            });
            receive(&has_begun);
            let permit = futures::executor::block_on(rcu.reserve());
            let section = rcu.read_owned();
            let mut request = task::spawn(section.release_requested());
            assert_pending!(request.poll());
            let notifier = rcu.on_force(|_| ());
            kept.push((request, section, notifier, permit, drain, rcu));
        }
        assert_asleep(kept.len());
    });
}
