//! A stall is reported after its timeout, and again after pauses that double. The report goes to
//! the hook, to tracing or to standard error. If all work makes progress, no stall is reported.

use crate::common::reports::{self, NEVER, SHORT, Stalls};
use crate::common::{self, Section, receive, runtime, until, within};
use async_rcu::{
    Batch, GlobalLock, Rcu,
    executor::{ChannelExecutor, InlineExecutor},
    report::{PanicSource, StallKind, StallReport},
};
use std::process::Output;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_test::{assert_pending, assert_ready, task};

/// Checks that one stall is reported repeatedly, with pauses that double.
#[track_caller]
fn assert_pauses_double(stalls: &Stalls, kind: StallKind) {
    for (repeated, timeouts) in [1, 3, 7, 15].into_iter().enumerate() {
        let report = stalls.next(kind);
        assert_eq!(report.repeated as usize, repeated);
        assert!(report.age >= timeouts * SHORT, "{repeated}: {report}");
    }
}

#[test]
fn one_matter_with_doubling_pauses_and_the_next_one_anew() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("again", SHORT);
        for _ in 0..2 {
            let section = Section::on_a_thread(&rcu);
            rcu.call(|| ());
            assert_pauses_double(&stalls, StallKind::Section);
            section.end();
            rcu.blocking_drain();

            let (go_on, may_go_on) = mpsc::channel::<()>();
            rcu.call(move || _ = may_go_on.recv());
            assert_pauses_double(&stalls, StallKind::Callback);
            go_on.send(()).unwrap();
            rcu.blocking_drain();
        }
        let (executor, mut batches) = ChannelExecutor::new();
        let builder = Rcu::builder().executor(executor).stall_timeout(SHORT);
        let (builder, stalls) = Stalls::of(builder);
        let rcu = builder.build().unwrap();
        rcu.call(|| ());
        assert_pauses_double(&stalls, StallKind::Batch);
        batches.try_next().expect("the batch").run();
        rcu.blocking_drain();
    });
}

#[test]
fn with_pauses_also_where_the_timeout_is_nothing() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("nothing", Duration::ZERO);
        let section = Section::on_a_thread(&rcu);
        rcu.call(|| ());
        let [.., eighth] = [(); 8].map(|()| stalls.next(StallKind::Section));
        assert_eq!(eighth.repeated, 7);
        assert!(eighth.age >= Duration::from_millis(255), "{eighth}");
        section.end();
        rcu.blocking_drain();
    });
}

#[test]
fn never_where_the_timeout_is_never() {
    within(|| {
        let (rcu, never) = Stalls::domain("never", Duration::MAX);
        let (other, stalls) = Stalls::domain("soon", SHORT);
        let sections = [&rcu, &other].map(|rcu| {
            let section = rcu.read_owned();
            rcu.call(|| ());
            section
        });
        assert_pauses_double(&stalls, StallKind::Section);
        drop(sections);
        rcu.blocking_drain();
        assert_eq!((never.called(), rcu.stats().stalls), (0, 0));
    });
}

#[test]
fn a_hook_that_panics_is_reported_and_called_again() {
    within(|| {
        reports::record();
        let called = Arc::new(AtomicU64::new(0));
        let (send, panics) = mpsc::channel();
        let count = Arc::clone(&called);
        let rcu = Rcu::builder()
            .name("bad hook")
            .stall_timeout(SHORT)
            .on_stall(move |report| {
                count.fetch_add(1, Ordering::SeqCst);
                panic!("not this one: {:?}", report.kind);
            })
            .on_panic(move |report| drop(send.send(report.clone())))
            .build()
            .unwrap();
        for calls in 1..=2 {
            let section = Section::on_a_thread(&rcu);
            rcu.call(|| ());
            // On a busy machine, a worker that the system does not schedule is stuck as well.
            loop {
                let panic = receive(&panics);
                assert_eq!(panic.source, PanicSource::Hook);
                if panic.message == "not this one: Section" {
                    break;
                }
            }
            assert!(called.load(Ordering::SeqCst) >= calls);
            section.end();
            rcu.blocking_drain();
        }
        let stats = rcu.stats();
        // Panics of hooks do not count as panics of callbacks.
        assert_eq!((stats.panicked, stats.finished), (0, 2));
        until("one hook call for each report", || {
            rcu.stats().stalls == called.load(Ordering::SeqCst)
        });
    });
}

#[test]
fn as_a_warning_with_its_fields() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("traced", SHORT);
        let section = Section::on_a_thread(&rcu);
        rcu.call(|| ());
        let report = stalls.next(StallKind::Section);
        section.end();
        rcu.blocking_drain();
        let events = reports::events("traced", "async_rcu::stall");
        assert_eq!(events.len() as u64, rcu.stats().stalls);
        assert_eq!(events[0].level, tracing::Level::WARN);
        let field = |name: &str| events[0].fields[name].as_str();
        assert_eq!((field("kind"), field("pending")), ("Section", "1"));
        assert_eq!(field("message"), report.to_string());
    });
}

/// Runs this test binary again, for one test, with its part in the environment.
fn myself(test: &str, part: &str) -> Output {
    common::myself()
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .output()
        .expect("this test binary")
}

const PART: &str = "ASYNC_RCU_TEST_PART";

/// Makes one stall in a process with no subscriber, with one that takes events, or with one that
/// takes none.
fn a_stall_in_a_process(subscriber: &str) {
    match subscriber {
        "none" => {}
        "listens" => reports::record(),
        _ => tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new())
            .unwrap(),
    }
    let (send, stalls) = mpsc::channel();
    let rcu = Rcu::builder()
        .name("child")
        .stall_timeout(SHORT)
        .on_stall(move |report| drop(send.send(report.to_string())))
        .build()
        .unwrap();
    let section = Section::on_a_thread(&rcu);
    rcu.call(|| ());
    println!("told: {}", receive(&stalls));
    section.end();
    // The last call of the hook ends before the thread ends.
    rcu.blocking_shutdown();
    println!("stalls: {}", rcu.stats().stalls);
    if subscriber == "listens" {
        let events = reports::events("child", "async_rcu::stall");
        assert_eq!(events.len() as u64, rcu.stats().stalls);
    }
}

#[test]
fn on_standard_error_where_no_subscriber_takes_it() {
    if let Ok(part) = std::env::var(PART) {
        return a_stall_in_a_process(&part);
    }
    within(|| {
        for (subscriber, on_stderr) in [("none", true), ("deaf", true), ("listens", false)] {
            let name = "timing::on_standard_error_where_no_subscriber_takes_it";
            let child = myself(name, subscriber);
            let [out, err] = [&child.stdout, &child.stderr].map(|s| String::from_utf8_lossy(s));
            assert!(child.status.success(), "{out}\n{err}");
            let told =
                |text: &str| out.lines().find_map(|l| l.split_once(text).map(|p| p.1.to_owned()));
            let report = told("told: ").expect("the child's report");
            let lines = err.lines().filter(|l| l.starts_with("async-rcu: RCU domain \"child\""));
            let written = lines.count().to_string();
            let stalls = told("stalls: ").expect("the child's count");
            assert_eq!(written, if on_stderr { stalls.as_str() } else { "0" }, "{err}");
            assert_eq!(err.contains(&report), on_stderr, "{err}");
        }
    });
}

/// Fills standard error, a pipe that is not read, then makes a stall and ends it.
#[cfg(unix)]
fn a_stall_beside_a_full_standard_error() {
    // SAFETY: descriptor 2 is open, and the pointers and lengths are those of arrays.
    unsafe {
        let flags = libc::fcntl(2, libc::F_GETFL);
        libc::fcntl(2, libc::F_SETFL, flags | libc::O_NONBLOCK);
        for line in [&[b'x'; 512][..], &[b'x'; 1]] {
            while libc::write(2, line.as_ptr().cast(), line.len()) > 0 {}
        }
        libc::fcntl(2, libc::F_SETFL, flags);
    }
    let (send, stalls) = mpsc::channel();
    let hook = move |report: &StallReport| _ = send.send(report.kind);
    let rcu = Rcu::builder().name("full").stall_timeout(SHORT).on_stall(hook).build().unwrap();
    let section = Section::on_a_thread(&rcu);
    rcu.call(|| ());
    assert_eq!(receive(&stalls), StallKind::Section);
    section.end();
    for _ in 0..1000 {
        rcu.retire(Box::new(0));
    }
    rcu.blocking_drain();
    assert_eq!(rcu.stats().finished, 1001);
    rcu.blocking_shutdown();
}

#[test]
#[cfg(unix)]
fn into_a_console_that_takes_nothing_without_holding_up_callbacks() {
    if std::env::var_os(PART).is_some() {
        return a_stall_beside_a_full_standard_error();
    }
    within(|| {
        let name = "timing::into_a_console_that_takes_nothing_without_holding_up_callbacks";
        let mut child = common::myself()
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(PART, "full")
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("this test binary");
        let _not_read = child.stderr.take();
        assert!(child.wait().unwrap().success());
    });
}

/// Records the longest time between two signs of progress.
struct Gaps {
    last: Mutex<Instant>,
    longest: AtomicU64,
}

impl Gaps {
    fn new() -> Arc<Self> {
        Arc::new(Self { last: Mutex::new(Instant::now()), longest: AtomicU64::new(0) })
    }

    fn sign(&self) {
        let now = Instant::now();
        let gap = now - std::mem::replace(&mut *self.last.lock().unwrap(), now);
        let millis = u64::try_from(gap.as_millis()).unwrap();
        self.longest.fetch_max(millis, Ordering::SeqCst);
    }
}

#[test]
fn nothing_where_many_batches_wait_but_get_on() {
    const TIMEOUT: Duration = Duration::from_millis(800);
    const BATCHES: u32 = 150;
    const STEP: Duration = Duration::from_millis(16);
    // The executor begins each batch late, so that no batch runs between two batches.
    let hesitates = || {
        let (give, batches) = mpsc::channel::<Batch>();
        thread::spawn(move || {
            for batch in batches {
                thread::sleep(STEP);
                batch.run();
            }
        });
        move |batch| drop(give.send(batch))
    };
    within(move || {
        let driven = runtime(1);
        let lock = GlobalLock::new(());
        loop {
            let gaps: Vec<_> = (0..5).map(|_| Gaps::new()).collect();
            let domains = [
                Rcu::builder(),
                Rcu::builder().executor(InlineExecutor),
                Rcu::builder().executor(driven.handle().clone()),
                Rcu::builder().global_lock(&lock),
                Rcu::builder().executor(hesitates()),
            ]
            .map(|builder| {
                let (builder, stalls) = Stalls::of(builder.stall_timeout(TIMEOUT));
                (builder.build().unwrap(), stalls)
            });
            let begun = Instant::now();
            thread::scope(|scope| {
                for (place, ((rcu, _), gaps)) in domains.iter().zip(&gaps).enumerate() {
                    let takes = if place == 4 { Duration::ZERO } else { STEP };
                    scope.spawn(move || {
                        gaps.sign();
                        for _ in 0..BATCHES {
                            let before = rcu.stats().batches;
                            let gaps = Arc::clone(gaps);
                            rcu.call(move || {
                                thread::sleep(takes);
                                gaps.sign();
                            });
                            // Each callback has a batch of its own.
                            rcu.force();
                            until("its batch", || rcu.stats().batches > before);
                        }
                        rcu.blocking_drain();
                    });
                }
            });
            assert!(begun.elapsed() > 2 * TIMEOUT);
            let longest = gaps.iter().map(|g| g.longest.load(Ordering::SeqCst)).max();
            if Duration::from_millis(longest.unwrap()) > TIMEOUT / 2 {
                // The machine itself was stuck for so long that a report is correct. The attempt
                // proves nothing.
                continue;
            }
            for (rcu, stalls) in &domains {
                assert!(rcu.stats().batches > u64::from(BATCHES / 2));
                assert_eq!(rcu.stats().stalls, 0, "{:?}", stalls.so_far());
            }
            return;
        }
    });
}

#[test]
fn nothing_where_sections_take_turns() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    within(|| {
        loop {
            let (rcu, stalls) = Stalls::domain("turns", TIMEOUT);
            let begun = Instant::now();
            let mut longest = Duration::ZERO;
            // There is always a section, and always a grace period that it blocks.
            let mut section = (rcu.read_owned(), Instant::now());
            while begun.elapsed() < 3 * TIMEOUT {
                rcu.call(|| ());
                thread::sleep(TIMEOUT / 50);
                let ended = std::mem::replace(&mut section, (rcu.read_owned(), Instant::now()));
                drop(ended.0);
                longest = longest.max(ended.1.elapsed());
            }
            drop(section);
            rcu.blocking_drain();
            if longest < TIMEOUT / 2 {
                assert_eq!(rcu.stats().stalls, 0, "{:?}", stalls.so_far());
                return;
            }
        }
    });
}

/// Checks that `kind` is reported three times, and no async callback in between, since the drain
/// does not wait for the async callback.
#[track_caller]
fn assert_async_is_left_alone(stalls: &Stalls, kind: StallKind) {
    let mut seen = 0;
    while seen < 3 {
        for report in stalls.so_far() {
            assert_ne!(report.kind, StallKind::AsyncCallback, "{report}");
            seen += usize::from(report.kind == kind);
        }
        thread::sleep(SHORT / 10);
    }
}

/// Starts an async callback, which ends with the returned sender.
fn begin_async(rcu: &Rcu) -> oneshot::Sender<()> {
    let (began, has_begun) = mpsc::channel();
    let (end, may_end) = oneshot::channel::<()>();
    rcu.call_async(async move {
        began.send(()).unwrap();
        let _ = may_end.await;
    });
    receive(&has_begun);
    end
}

#[test]
fn no_async_callback_where_the_drain_is_over_and_only_not_looked_at() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("over", SHORT);
        let section = Section::owned(&rcu);
        rcu.call(|| ());
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        section.end();
        until("the end of the drain", || drain.is_woken());
        let end = begin_async(&rcu);
        let section = Section::owned(&rcu);
        rcu.call(|| ());
        assert_async_is_left_alone(&stalls, StallKind::Section);
        assert_ready!(drain.poll());
        section.end();
        end.send(()).unwrap();
        rcu.blocking_drain();
    });
}

#[test]
fn no_async_callback_that_was_queued_after_the_drain_began() {
    within(|| {
        let builder = Rcu::builder().name("later").stall_timeout(SHORT);
        let start = |batch: Batch| thread::spawn(move || batch.run());
        let (builder, stalls) = Stalls::of(builder.executor(start));
        let rcu = builder.build().unwrap();
        let (began, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        rcu.call(move || {
            began.send(()).unwrap();
            let _ = may_go_on.recv();
        });
        receive(&has_begun);
        let mut drain = task::spawn(rcu.drain());
        assert_pending!(drain.poll());
        // The turn that starts this callback has taken the drain's request, so later callbacks are
        // collected later.
        let cookie = rcu.start_grace_period();
        until("the end of the turn's grace period", || rcu.has_elapsed(cookie));
        let end = begin_async(&rcu);
        assert_async_is_left_alone(&stalls, StallKind::Callback);
        // The next drain waits for the async callback.
        let mut next = task::spawn(rcu.drain());
        assert_pending!(next.poll());
        assert!(stalls.next(StallKind::AsyncCallback).pending >= 1);
        assert_pending!(drain.poll());
        go_on.send(()).unwrap();
        until("the end of the first drain", || drain.is_woken());
        assert_ready!(drain.poll());
        assert_pending!(next.poll());
        end.send(()).unwrap();
        futures::executor::block_on(next.into_inner());
    });
}

#[test]
fn nothing_by_a_domain_that_is_used_and_at_rest() {
    within(|| {
        let (rcu, stalls) = Stalls::domain("rest", NEVER);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..1000 {
            let ran = Arc::clone(&ran);
            rcu.call(move || _ = ran.fetch_add(1, Ordering::Relaxed));
            drop((rcu.read(), rcu.read_owned()));
        }
        rcu.blocking_shutdown();
        assert_eq!(ran.load(Ordering::Relaxed), 1000);
        assert_eq!((stalls.called(), rcu.stats().stalls), (0, 0));
        assert!(reports::events("rest", "async_rcu::stall").is_empty());
    });
}
