//! What the integration tests share.
#![allow(dead_code)] // each test binary uses a part of it

pub(crate) mod child;
pub(crate) mod executors;
pub(crate) mod patience;

use async_rcu::{InlineExecutor, Rcu, WorkerThread};
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

/// After this long, what is waited for is taken for lost. No test that passes waits for it.
pub(crate) const HANG_GUARD: Duration = patience::seconds(30);

/// Runs a test's body on a thread of its own, and fails it where it does not end.
pub(crate) fn within<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(body()).is_ok());
    match result.recv_timeout(HANG_GUARD) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("not done after {HANG_GUARD:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(_) => unreachable!("the body either sends or panics"),
        },
    }
}

/// Waits for a condition that comes with no event of its own.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG_GUARD, "does not come: {what}");
        thread::sleep(Duration::from_micros(100));
    }
}

/// The next message, which has to come.
#[track_caller]
pub(crate) fn receive<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(HANG_GUARD)
        .expect("a message that does not come")
}

/// A private domain on the default executor, whose threads are `rcu-NAME` and `rcu-NAME-cb`.
pub(crate) fn domain(name: &str) -> Rcu {
    Rcu::builder().name(name).build().expect("a domain")
}

/// The default executor.
pub(crate) fn worker() -> WorkerThread {
    WorkerThread
}

/// The one that runs callbacks on the GP thread.
pub(crate) fn inline() -> InlineExecutor {
    InlineExecutor
}

/// A tokio runtime with so many workers; 0 is a current_thread runtime, which somebody has to drive.
pub(crate) fn runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .worker_threads(workers.max(1))
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Starts this test binary again. Where that takes an emulator, `ASYNC_RCU_TEST_RUNNER` names it, with its arguments.
pub(crate) fn myself() -> Command {
    let binary = std::env::current_exe().expect("this test binary");
    let runner = std::env::var("ASYNC_RCU_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else {
        return Command::new(binary);
    };
    let mut command = Command::new(emulator);
    command.args(words).arg(binary);
    command
}

/// The name of the thread that asks.
pub(crate) fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// One counter for each of so many callbacks.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Arc<[AtomicUsize]>);

impl Tally {
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(crate) fn hit(&self, index: usize) {
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    /// A callback that counts itself.
    pub(crate) fn callback(&self, index: usize) -> impl FnOnce() + Send + 'static {
        let tally = self.clone();
        move || tally.hit(index)
    }

    /// How many ran, however often.
    pub(crate) fn ran(&self) -> usize {
        self.0
            .iter()
            .filter(|n| n.load(Ordering::Relaxed) > 0)
            .count()
    }

    #[track_caller]
    pub(crate) fn assert_each_once(&self) {
        for (index, count) in self.0.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            assert_eq!(
                count,
                1,
                "callback {index} of {} ran {count} times",
                self.0.len()
            );
        }
    }

    #[track_caller]
    pub(crate) fn assert_none(&self) {
        assert_eq!(self.ran(), 0, "callbacks ran too early");
    }
}

/// A read-side critical section that a test holds open.
pub(crate) struct Section {
    ended: Arc<AtomicBool>,
    end: Box<dyn FnOnce() + Send>,
}

impl Section {
    /// By a `ReadGuard` on another thread.
    pub(crate) fn on_a_thread(rcu: &Rcu) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel();
        let reader = thread::spawn({
            let (rcu, ended) = (rcu.clone(), Arc::clone(&ended));
            move || {
                let guard = rcu.read();
                entered.send(()).expect("the test waits for it");
                // An error is the end of a test that failed.
                let _ = may_leave.recv();
                ended.store(true, Ordering::Relaxed);
                drop(guard);
            }
        });
        receive(&has_entered);
        let end = Box::new(move || {
            leave.send(()).expect("the reader waits for it");
            reader.join().expect("the reader");
        });
        Self { ended, end }
    }

    /// By an `OwnedReadGuard` that this thread takes and another one drops.
    pub(crate) fn owned(rcu: &Rcu) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (guard, flag) = (rcu.read_owned(), Arc::clone(&ended));
        let end = Box::new(move || {
            let dropper = thread::spawn(move || {
                flag.store(true, Ordering::Relaxed);
                drop(guard);
            });
            dropper.join().expect("the dropper");
        });
        Self { ended, end }
    }

    /// Becomes true just before the section ends.
    pub(crate) fn ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ended)
    }

    pub(crate) fn end(self) {
        (self.end)();
    }
}

/// Waits until the domain, new before, has started its first grace period: sections entered from now on do not hold it up.
pub(crate) fn first_grace_period_has_started(rcu: &Rcu) {
    until("the first grace period", || rcu.stats().grace_periods >= 1);
}

/// A future that tells when it has been polled for the first time.
#[derive(Debug)]
pub(crate) struct CountFirstPoll<F> {
    inner: F,
    polled: Option<Arc<AtomicUsize>>,
}

impl<F> CountFirstPoll<F> {
    pub(crate) fn new(inner: F, polled: &Arc<AtomicUsize>) -> Self {
        Self {
            inner,
            polled: Some(Arc::clone(polled)),
        }
    }
}

impl<F: Future + Unpin> Future for CountFirstPoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let result = Pin::new(&mut self.inner).poll(cx);
        if let Some(polled) = self.polled.take() {
            polled.fetch_add(1, Ordering::SeqCst);
        }
        result
    }
}

/// The ids of this process's threads that have this name (Linux: no more than 15 bytes of it).
#[cfg(target_os = "linux")]
pub(crate) fn threads_named(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc/self/task");
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            // A thread may end between the two reads.
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            wanted(comm.trim_end()).then(|| task.file_name().to_string_lossy().into_owned())
        })
        .collect()
}
