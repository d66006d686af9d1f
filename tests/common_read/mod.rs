//! What the tests of the reading side share: waiting without sleeping, values that know when they are dropped, and a
//! probe that shows a section to hold up grace periods.
#![allow(dead_code, reason = "each test file uses some of it")]

mod patience {
    include!("../common/patience.rs");
}

use async_rcu::{GracePeriod, OwnedReadGuard, Rcu};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// How long an event that must come may take before the test counts as hung. Nothing is asserted about time otherwise.
pub(crate) const HANG: Duration = patience::seconds(30);

/// Waits until something has come about that nobody can announce.
#[track_caller]
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG;
    while !reached() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::yield_now();
    }
}

/// Runs on a plain thread what may block, and fails where it never ends. A panic of `f` goes on here.
#[track_caller]
pub(crate) fn finishes<R: Send + 'static>(what: &str, f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(f());
    });
    match wait.recv_timeout(HANG) {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(RecvTimeoutError::Timeout) => panic!("never ended: {what}"),
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().unwrap_err()),
    }
}

/// Drives a future to its end on a runtime of its own.
#[track_caller]
pub(crate) fn settle<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(HANG, future).await })
        .expect("the future never ended")
}

/// What `f` panics with.
#[track_caller]
pub(crate) fn panic_message(f: impl FnOnce()) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it was to panic");
    };
    payload
        .downcast_ref::<&'static str>()
        .map(|message| (*message).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("a message")
}

/// Counts the drops of the values it made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub(crate) fn value(&self, label: u32) -> Tracked {
        Tracked {
            stamp: AtomicU64::new(ALIVE),
            label,
            drops: self.clone(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until so many have been dropped; it must not become more.
    #[track_caller]
    pub(crate) fn reach(&self, count: usize) {
        until("a drop", || self.count() >= count);
        assert_eq!(self.count(), count);
    }
}

const ALIVE: u64 = 0x0a11_7e5f_0a11_7e5f;

/// A value that is poisoned and counted when it is dropped.
#[derive(Debug)]
pub(crate) struct Tracked {
    stamp: AtomicU64,
    label: u32,
    drops: Drops,
}

impl Tracked {
    /// The label, of a value that has not been dropped.
    #[track_caller]
    pub(crate) fn label(&self) -> u32 {
        assert_eq!(
            self.stamp.load(Ordering::Relaxed),
            ALIVE,
            "read after the drop"
        );
        self.label
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let stamp = self.stamp.swap(0, Ordering::Relaxed);
        assert_eq!(stamp, ALIVE, "dropped twice");
        self.drops.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks for a grace period and waits until it has started. Forced, because one that is only asked for waits its turn where
/// others are unfinished.
#[track_caller]
pub(crate) fn started(rcu: &Rcu) -> GracePeriod {
    let gp = rcu.start_grace_period();
    rcu.force();
    until("the start of a grace period", || rcu.grace_period() > gp);
    gp
}

/// Waits until a grace period that was asked for has elapsed. The calling thread may be in a section.
#[track_caller]
pub(crate) fn elapses(rcu: &Rcu, gp: GracePeriod) {
    until("the end of a grace period", || rcu.has_elapsed(gp));
}

/// Shows that a section which began after the probe holds up grace periods, without waiting for what must not come.
///
/// The probe opens a section of its own and starts a first grace period, which nothing else holds up. Later it starts a
/// second one and lets its section go. As soon as the first has elapsed, every reader has been looked at since the second
/// started: the second has elapsed too, unless some section younger than the first holds it up.
#[derive(Debug)]
pub(crate) struct Probe {
    rcu: Rcu,
    section: OwnedReadGuard,
    first: GracePeriod,
}

impl Probe {
    /// Where the domain has no open section, or such only as were moved by `refresh` before the check.
    #[track_caller]
    pub(crate) fn new(rcu: &Rcu) -> Self {
        Self {
            rcu: rcu.clone(),
            section: rcu.read_owned(),
            first: started(rcu),
        }
    }

    /// Checks that a section made since [`new`](Self::new) is open; gives the grace period that it holds up.
    #[track_caller]
    pub(crate) fn held_up(self) -> GracePeriod {
        let Self {
            rcu,
            section,
            first,
        } = self;
        let second = started(&rcu);
        drop(section);
        elapses(&rcu, first);
        assert!(!rcu.has_elapsed(second), "no section holds it up");
        second
    }
}

/// Checks that threads which come anew find places in which nobody's section is open, though others were given up.
#[track_caller]
pub(crate) fn newcomers_find_free_places(rcu: &Rcu) {
    let all_there = Barrier::new(4);
    thread::scope(|scope| {
        let newcomers = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut guard = rcu.read();
                all_there.wait();
                let outermost = guard.refresh();
                drop(guard);
                drop(rcu.read_owned());
                outermost
            })
        });
        let alone = newcomers.map(|newcomer| newcomer.join().unwrap());
        assert_eq!(alone, [true; 4], "a place is somebody else's too");
    });
}
