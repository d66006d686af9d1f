//! A fork, without an exec behind it: the child goes on, and so does the parent.
#![cfg(feature = "rt")]
#![cfg(unix)]

mod common;

use async_rcu::{InlineExecutor, Rcu, RcuCell};
use common::forked::{ALARM, begin, fork, leave, wait};
use common::{HANG_GUARD, alone, receive, runtime, until, within};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Readers, callers and drains are under way while another thread forks, again and again; both sides go on.
#[test]
fn a_thousand_forks_in_the_middle_of_everything() {
    let _alone = alone();
    let rcu = Rcu::builder().stall_timeout(Duration::MAX).build().unwrap();
    let limited = Rcu::builder()
        .executor(InlineExecutor)
        .stall_timeout(Duration::MAX)
        .max_pending(1000)
        .build()
        .unwrap();
    let cell = Arc::new(RcuCell::new_in(&rcu, 0usize));
    let over = Arc::new(AtomicBool::new(false));
    let queued = Arc::new(AtomicUsize::new(0));
    let ran = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (cell, over) = (Arc::clone(&cell), Arc::clone(&over));
        threads.push(thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let guard = cell.rcu().read();
                let owned = cell.read_owned();
                assert!(*cell.load(&guard) >= *owned || *owned > 0);
                thread::yield_now();
            }
        }));
    }
    for rcu in [rcu.clone(), limited.clone()] {
        let (cell, over) = (Arc::clone(&cell), Arc::clone(&over));
        let (queued, ran) = (Arc::clone(&queued), Arc::clone(&ran));
        threads.push(thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    queued.fetch_add(1, Ordering::Relaxed);
                    let ran = Arc::clone(&ran);
                    rcu.call(move || {
                        ran.fetch_add(1, Ordering::Relaxed);
                    });
                }
                cell.update(|n| n + 1);
                rcu.blocking_drain();
            }
        }));
    }
    threads.push(thread::spawn({
        let (rcu, over) = (rcu.clone(), Arc::clone(&over));
        move || {
            while !over.load(Ordering::Relaxed) {
                drop(Rcu::new());
                rcu.blocking_synchronize();
                rcu.blocking_shutdown();
            }
        }
    }));
    for round in 0..1000 {
        fork(|| {
            // SAFETY: this thread has nothing of the others'.
            unsafe { Rcu::after_fork_in_child() };
            let seen = *cell.read();
            cell.store(seen + 1);
            assert_eq!(cell.with(|n| *n), seen + 1);
            for rcu in [&rcu, &limited, &Rcu::new()] {
                let done = Arc::new(AtomicBool::new(false));
                let flag = Arc::clone(&done);
                rcu.call(move || flag.store(true, Ordering::Relaxed));
                rcu.blocking_drain_timeout(HANG_GUARD)
                    .expect("a drain in the child");
                assert!(done.load(Ordering::Relaxed), "round {round}");
                rcu.blocking_synchronize();
            }
            assert!(limited.try_call(|| ()).is_ok());
        });
    }
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        within(move || thread.join()).unwrap();
    }
    rcu.blocking_drain();
    limited.blocking_drain();
    assert_eq!(queued.load(Ordering::Relaxed), ran.load(Ordering::Relaxed));
}

#[test]
fn what_is_queued_runs_in_both() {
    let _alone = alone();
    let rcu = Rcu::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let guard = rcu.read_owned();
    for _ in 0..1000 {
        let ran = Arc::clone(&ran);
        rcu.call(move || {
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    rcu.force();
    let guard = std::cell::Cell::new(Some(guard));
    fork(|| {
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        drop(guard.take());
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1000);
    });
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    drop(guard.take());
    rcu.blocking_drain();
    assert_eq!(ran.load(Ordering::Relaxed), 1000);
}

/// Sections of vanished threads hold on until somebody vouches for them, and are reported meanwhile; those that the
/// forking thread has are its own.
#[test]
fn sections_of_vanished_threads_are_kept_reported_and_cleared() {
    let _alone = alone();
    let (send, reports) = mpsc::channel();
    let send = Mutex::new(send);
    let rcu = Rcu::builder()
        .stall_timeout(Duration::from_millis(20))
        .on_stall(move |report| drop(send.lock().unwrap().send(report.clone())))
        .build()
        .unwrap();
    let cell = Arc::new(RcuCell::new_in(&rcu, 1));
    let (ready, is_ready) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let reader = thread::Builder::new()
        .name("left-behind".into())
        .spawn({
            let cell = Arc::clone(&cell);
            move || {
                let guard = cell.rcu().read();
                ready.send(()).unwrap();
                let _ = may_leave.recv();
                drop(guard);
            }
        })
        .unwrap();
    receive(&is_ready);
    fork(|| {
        let mine = cell.read();
        cell.store(2);
        assert_eq!(*mine, 1);
        rcu.call(|| ());
        rcu.force();
        until("the grace period", || rcu.stats().grace_periods > 0);
        assert_eq!(*mine, 1, "the section of the forking thread is its own");
    });
    fork(|| {
        cell.store(2);
        rcu.call(|| ());
        assert!(
            rcu.blocking_drain_timeout(Duration::from_millis(1))
                .is_err()
        );
        let report = receive(&reports);
        let holder = &report.holders[0];
        assert!(
            holder.thread_ended && holder.thread.as_deref() == Some("left-behind"),
            "{report}"
        );
        assert!(report.to_string().contains("left-behind"));
        // SAFETY: this thread has nothing of the other's.
        unsafe { Rcu::after_fork_in_child() };
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    leave.send(()).unwrap();
    reader.join().unwrap();
    rcu.blocking_drain();
}

/// A guard that a vanished thread made, and the forking thread has: it protects in the child as before.
#[test]
fn a_guard_that_was_handed_over_still_protects() {
    let _alone = alone();
    let rcu = Rcu::new();
    let cell = Arc::new(RcuCell::new_in(&rcu, vec![7; 1000]));
    let handed = {
        let cell = Arc::clone(&cell);
        thread::spawn(move || cell.read_owned()).join().unwrap()
    };
    cell.store(Vec::new());
    let handed = std::cell::Cell::new(Some(handed));
    fork(|| {
        let timeout = Duration::from_millis(20);
        assert!(rcu.blocking_drain_timeout(timeout).is_err());
        let held = handed.take().unwrap();
        assert!(held.iter().all(|n| *n == 7) && held.len() == 1000);
        drop(held);
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    drop(handed.take());
    rcu.blocking_drain();
}

/// A callback forks: on the worker, on the grace-period thread, on a runtime. In the child that thread goes on as what it was.
#[test]
fn a_callback_may_fork() {
    let _alone = alone();
    let tokio = runtime(1);
    let domains = [
        Rcu::new(),
        Rcu::builder().executor(InlineExecutor).build().unwrap(),
        Rcu::builder()
            .executor(tokio.handle().clone())
            .build()
            .unwrap(),
    ];
    for rcu in domains {
        let (send, pids) = mpsc::channel();
        let other = Rcu::new();
        let inside = rcu.clone();
        rcu.call(move || {
            let pid = begin(|| {
                inside.call(|| ());
                other.call(|| ());
                // Not of this domain, and not on a grace-period thread: that would be a deadlock here as anywhere.
                assert!(!other.has_elapsed(other.grace_period()));
                assert!(*RcuCell::new_in(&inside, 3).read() == 3);
            });
            send.send(pid).unwrap();
        });
        rcu.blocking_drain();
        wait(receive(&pids));
        rcu.call(|| ());
        rcu.blocking_drain();
    }
}

/// A domain whose last handle is gone has nobody to start its thread in the child but others that start theirs.
#[test]
fn a_domain_without_handles_finishes_in_the_child_too() {
    let _alone = alone();
    let ran = Arc::new(AtomicBool::new(false));
    let rcu = Rcu::new();
    let held = rcu.read_owned();
    let flag = Arc::clone(&ran);
    rcu.call(move || flag.store(true, Ordering::Relaxed));
    rcu.force();
    drop(rcu);
    let held = std::cell::Cell::new(Some(held));
    fork(|| {
        drop(held.take());
        let other = Rcu::new();
        until("the callback, in the child", || ran.load(Ordering::Relaxed));
        other.blocking_drain();
    });
    assert!(!ran.load(Ordering::Relaxed));
    drop(held.take());
    until("the callback", || ran.load(Ordering::Relaxed));
}

/// Children of children.
#[test]
fn a_child_may_fork_too() {
    let _alone = alone();
    let rcu = Rcu::new();
    let busy = thread::spawn({
        let rcu = rcu.clone();
        move || (0..200).for_each(|_| rcu.blocking_synchronize())
    });
    fork(|| {
        rcu.call(|| ());
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        fork(|| {
            rcu.call(|| ());
            rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        });
        rcu.blocking_shutdown();
        rcu.call(|| ());
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    busy.join().unwrap();
}

/// The lock that std has around standard error stays locked in the child, where a thread had it that is no longer there.
#[test]
fn stalls_are_told_though_a_vanished_thread_holds_standard_error() {
    let _alone = alone();
    let rcu = Rcu::builder()
        .stall_timeout(Duration::from_millis(10))
        .build()
        .unwrap();
    let (ready, is_ready) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let holder = thread::spawn({
        let rcu = rcu.clone();
        move || {
            let guard = rcu.read();
            let stderr = std::io::stderr().lock();
            ready.send(()).unwrap();
            let _ = may_leave.recv();
            drop((stderr, guard));
        }
    });
    receive(&is_ready);
    let child = begin(|| {
        rcu.call(|| ());
        rcu.force();
        until("a stall report", || rcu.stats().stalls > 0);
        // SAFETY: this thread has nothing of the other's.
        unsafe { Rcu::after_fork_in_child() };
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    wait(child);
    leave.send(()).unwrap();
    holder.join().unwrap();
}

/// A waker that takes a lock.
struct Locks(Arc<Mutex<()>>);

impl Wake for Locks {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock());
    }
}

/// In the child the batch counts as done, so the drain is over: but a waker that another thread has locked out for ever must
/// neither keep `fork` from returning there, nor the domain's thread from going on.
#[test]
fn wakers_of_vanished_threads_are_not_called() {
    let _alone = alone();
    let rcu = Rcu::new();
    let lock = Arc::new(Mutex::new(()));
    let (ready, is_ready) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let in_callback = Arc::clone(&lock);
    rcu.call(move || {
        let held = in_callback.lock();
        ready.send(()).unwrap();
        let _ = may_leave.recv();
        drop(held);
    });
    rcu.force();
    receive(&is_ready);
    let elsewhere = rcu.clone();
    let polled = thread::spawn(move || {
        let waker = Waker::from(Arc::new(Locks(lock)));
        let mut context = Context::from_waker(&waker);
        let mut drain = elsewhere.drain();
        assert!(Pin::new(&mut drain).poll(&mut context).is_pending());
        let held = elsewhere.read_owned();
        let mut wait = elsewhere.synchronize();
        assert!(Pin::new(&mut wait).poll(&mut context).is_pending());
        (drain, wait, held)
    });
    let (drain, wait, held) = polled.join().unwrap();
    let held = std::cell::Cell::new(Some(held));
    let child = begin(|| {
        drop(held.take());
        rcu.call(|| ());
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    self::wait(child);
    leave.send(()).unwrap();
    drop((drain, wait, held));
    rcu.blocking_drain();
}

/// Tasks of the forking thread itself go on waiting in the child, and whoever uses the domain there moves them on.
#[test]
fn futures_of_the_forking_thread_go_on() {
    let _alone = alone();
    let rcu = Rcu::builder().max_pending(1).build().unwrap();
    let held = std::cell::Cell::new(Some(rcu.read_owned()));
    // In front of what waits here, one that is gone in the child.
    rcu.call(|| ());
    let (send, waits) = mpsc::channel();
    let elsewhere = thread::spawn({
        let rcu = rcu.clone();
        move || {
            let mut reserve = rcu.reserve();
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut reserve).poll(&mut context).is_pending());
            send.send(()).unwrap();
            futures::executor::block_on(reserve)
        }
    });
    receive(&waits);
    let all = futures::future::join3(rcu.synchronize(), rcu.drain(), rcu.reserve());
    let mut all = tokio_test::task::spawn(all);
    assert!(all.poll().is_pending());
    let all = std::cell::RefCell::new(all);
    let wait_for_all = || {
        let mut all = all.borrow_mut();
        loop {
            if let Poll::Ready((_, _, permit)) = all.poll() {
                return permit;
            }
            until("being woken", || all.is_woken());
        }
    };
    fork(|| {
        drop(held.take());
        // SAFETY: this thread has nothing of the other's.
        unsafe { Rcu::after_fork_in_child() };
        let permit = wait_for_all();
        let mut next = tokio_test::task::spawn(rcu.reserve());
        assert!(next.poll().is_pending());
        drop(permit);
        assert!(next.is_woken() && next.poll().is_ready());
    });
    drop(held.take());
    drop(elsewhere.join().unwrap());
    drop(wait_for_all());
}

/// A guard whose maker had ended, held by a thread that did not come along: nobody is left to drop it.
#[test]
fn sections_of_ended_threads_are_cleared_too() {
    let _alone = alone();
    let rcu = Rcu::new();
    let maker = rcu.clone();
    let guard = thread::spawn(move || maker.read_owned()).join().unwrap();
    let (leave, may_leave) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let _ = may_leave.recv();
        drop(guard);
    });
    // SAFETY: in no child, it does nothing.
    unsafe { Rcu::after_fork_in_child() };
    rcu.call(|| ());
    let soon = Duration::from_millis(5);
    assert!(rcu.blocking_drain_timeout(soon).is_err());
    fork(|| {
        // SAFETY: this thread has nothing of the others'.
        unsafe { Rcu::after_fork_in_child() };
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    assert!(rcu.blocking_drain_timeout(soon).is_err());
    leave.send(()).unwrap();
    holder.join().unwrap();
    rcu.blocking_drain();
}

/// A callback forks, and goes on in the child: a drain there waits for what comes behind it in its batch.
#[test]
fn in_the_child_of_a_callback_a_drain_waits_for_its_batch() {
    let _alone = alone();
    let rcu = Rcu::new();
    let held = rcu.read_owned();
    let (send, pids) = mpsc::channel();
    let ran = Arc::new(AtomicBool::new(false));
    let (inside, flag) = (rcu.clone(), Arc::clone(&ran));
    let (drains, is_drained) = mpsc::channel();
    rcu.call(move || {
        // SAFETY: the child does what children of forks are allowed by the crate and the C library that the test runs on.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: kills the child where it hangs.
                unsafe { libc::alarm(ALARM) };
                let mut drain = inside.drain();
                let mut context = Context::from_waker(Waker::noop());
                let mut early = Pin::new(&mut drain).poll(&mut context).is_ready();
                // By the end of the second, the drain has its number.
                for _ in 0..2 {
                    let wait = std::cell::RefCell::new(inside.synchronize());
                    until("a grace period", || {
                        let mut wait = wait.borrow_mut();
                        let poll =
                            Pin::new(&mut *wait).poll(&mut Context::from_waker(Waker::noop()));
                        poll.is_ready()
                    });
                }
                early |= Pin::new(&mut drain).poll(&mut context).is_ready();
                drains.send((drain, early)).unwrap();
            }
            pid => send.send(pid).unwrap(),
        }
    });
    rcu.call(move || flag.store(true, Ordering::Relaxed));
    let flag = Arc::clone(&ran);
    rcu.call(move || {
        // In the child alone there is one.
        let Ok((drain, early)) = is_drained.try_recv() else {
            return;
        };
        let late = futures::FutureExt::now_or_never(drain).is_some();
        let right = !early && !late && flag.load(Ordering::Relaxed);
        leave(!right)
    });
    drop(held);
    rcu.blocking_drain();
    wait(receive(&pids));
}

/// The waker of a shutdown runs on the thread that goes, when another one may have been started: in the child there is neither.
#[test]
fn a_thread_that_goes_may_fork() {
    struct Forks {
        rcu: Rcu,
        pids: Mutex<mpsc::Sender<libc::pid_t>>,
    }
    impl Wake for Forks {
        fn wake(self: Arc<Self>) {
            self.rcu.call(|| ());
            let pid = begin(|| {
                self.rcu.call(|| ());
                self.rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
            });
            self.pids.lock().unwrap().send(pid).unwrap();
        }
    }
    let _alone = alone();
    let rcu = Rcu::new();
    let (send, pids) = mpsc::channel();
    let waker = Waker::from(Arc::new(Forks {
        rcu: rcu.clone(),
        pids: Mutex::new(send),
    }));
    let mut context = Context::from_waker(&waker);
    let mut shutdown = rcu.shutdown();
    while Pin::new(&mut shutdown).poll(&mut context).is_ready() {
        // It had stopped before the waker was looked for.
        rcu.blocking_drain();
        rcu.call(|| ());
        rcu.blocking_drain();
        shutdown = rcu.shutdown();
    }
    wait(receive(&pids));
    drop(shutdown);
    rcu.blocking_drain();
}
