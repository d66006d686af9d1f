//! After a fork without an exec, domains work in the child and in the parent.
#![cfg(feature = "rt")]
#![cfg(unix)]

#[path = "fork/batches.rs"]
mod batches;
mod common;
#[path = "fork/sections.rs"]
mod sections;

use async_rcu::{Rcu, RcuCell, executor::InlineExecutor};
use common::forked::{ALARM, begin, fork, leave, wait};
use common::{HANG_GUARD, alone, receive, runtime, until, within};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Readers, callers and drains are under way while another thread forks, again and again. Both
/// processes go on.
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
            // SAFETY: this thread holds nothing that belongs to the other threads.
            unsafe { Rcu::after_fork_in_child() };
            let seen = *cell.read();
            cell.store(seen + 1);
            assert_eq!(cell.with(|n| *n), seen + 1);
            for rcu in [&rcu, &limited, &Rcu::new()] {
                let done = Arc::new(AtomicBool::new(false));
                let flag = Arc::clone(&done);
                rcu.call(move || flag.store(true, Ordering::Relaxed));
                rcu.blocking_drain_timeout(HANG_GUARD).expect("a drain in the child");
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

/// A callback forks on the worker, on the grace-period thread, and on a runtime. The forking thread
/// keeps its role in the child.
#[test]
fn a_callback_may_fork() {
    let _alone = alone();
    let tokio = runtime(1);
    let domains = [
        Rcu::new(),
        Rcu::builder().executor(InlineExecutor).build().unwrap(),
        Rcu::builder().executor(tokio.handle().clone()).build().unwrap(),
    ];
    for rcu in domains {
        let (send, pids) = mpsc::channel();
        let other = Rcu::new();
        let inside = rcu.clone();
        rcu.call(move || {
            let pid = begin(|| {
                inside.call(|| ());
                other.call(|| ());
                // The child does not drain here. A drain in a callback of its own domain, or on a
                // grace-period thread, is a deadlock in any process.
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

/// In the child, a domain without handles gets its thread back only when another domain starts its
/// own thread.
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

/// A child of a fork forks too.
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

/// If another thread holds std's lock of standard error at the fork, the lock stays locked in the
/// child, which does not have that thread.
#[test]
fn stalls_are_told_though_a_vanished_thread_holds_standard_error() {
    let _alone = alone();
    let rcu = Rcu::builder().stall_timeout(Duration::from_millis(10)).build().unwrap();
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
        // SAFETY: this thread holds nothing that belongs to the other thread.
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

/// In the child the batch counts as done, so the drain is over. The drain's waker waits for ever
/// for another thread's lock. The waker must neither keep `fork` from returning, nor stop the
/// domain's thread.
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

/// Tasks of the forking thread continue to wait in the child. Any use of the domain there lets them
/// make progress.
#[test]
fn futures_of_the_forking_thread_go_on() {
    let _alone = alone();
    let rcu = Rcu::builder().max_pending(1).build().unwrap();
    let held = std::cell::Cell::new(Some(rcu.read_owned()));
    // In the queue, a wait of a thread that the child does not have comes before the task's wait.
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
            until("the wake-up of all", || all.is_woken());
        }
    };
    fork(|| {
        drop(held.take());
        // SAFETY: this thread holds nothing that belongs to the other thread.
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

/// A callback forks and goes on in the child. A drain in the child waits for the later callbacks of
/// the batch.
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
        // SAFETY: the child does only what the crate and the C library allow in a forked child.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: `alarm` is allowed at any time. Its signal kills a child that hangs.
                unsafe { libc::alarm(ALARM) };
                let mut drain = inside.drain();
                let mut context = Context::from_waker(Waker::noop());
                let mut early = Pin::new(&mut drain).poll(&mut context).is_ready();
                // At the end of the second callback, the drain has its number.
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
        // Only the child has a drain.
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

/// The grace-period thread calls the waker of a shutdown when it ends. By then another grace-period
/// thread may have been started. The child has neither thread.
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
    let waker = Waker::from(Arc::new(Forks { rcu: rcu.clone(), pids: Mutex::new(send) }));
    let mut context = Context::from_waker(&waker);
    let mut shutdown = rcu.shutdown();
    while Pin::new(&mut shutdown).poll(&mut context).is_ready() {
        // The thread stopped before it looked for the waker, so the test tries again.
        rcu.blocking_drain();
        rcu.call(|| ());
        rcu.blocking_drain();
        shutdown = rcu.shutdown();
    }
    wait(receive(&pids));
    drop(shutdown);
    rcu.blocking_drain();
}
