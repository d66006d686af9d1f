//! Past bugs, each with a test named after it.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{Batch, GlobalLock, Rcu};
use common::{HANG_GUARD, until};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A waker whose call does not return, on the grace-period thread, until the test releases it.
struct Held {
    called: Barrier,
    let_go: Barrier,
}

impl Wake for Held {
    fn wake(self: Arc<Self>) {
        self.called.wait();
        self.let_go.wait();
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// A blocking caller ended a grace period by its own scan while the grace-period thread was between
/// its turn and its sleep. The thread took the end of that grace period for one that it had
/// handled, and slept although a waiter and a callback were due.
#[test]
fn a_grace_period_ended_by_a_caller_is_not_overlooked() {
    let rcu = Rcu::new();
    let first = rcu.read_owned();
    let held = Arc::new(Held { called: Barrier::new(2), let_go: Barrier::new(2) });
    let holding = Waker::from(Arc::clone(&held));
    let mut one = rcu.synchronize();
    assert!(Pin::new(&mut one).poll(&mut Context::from_waker(&holding)).is_pending());
    until("the start of the first grace period", || rcu.stats().grace_periods >= 1);

    // One more grace period, which `second` blocks, has a callback and a waiter.
    let second = rcu.read_owned();
    let next = rcu.grace_period();
    let (send, ran) = mpsc::channel();
    rcu.call(move || send.send(()).unwrap());
    until("the collection of the callback", || rcu.stats().grace_periods >= 2);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut two = rcu.wait_for(next);
    assert!(Pin::new(&mut two).poll(&mut Context::from_waker(&waker)).is_pending());

    drop(first);
    held.called.wait(); // the grace-period thread is in the waker, after its scan
    drop(second);
    rcu.blocking_synchronize(); // starts and scans by itself
    held.let_go.wait();

    ran.recv_timeout(HANG_GUARD).expect("the callback runs without another wake-up of the thread");
    until("the waiter's wake-up, without another wake-up of the thread", || {
        flag.0.load(Ordering::Acquire)
    });
    assert!(Pin::new(&mut two).poll(&mut Context::from_waker(&waker)).is_ready());
}

/// An executor that runs batches in place made the grace-period thread block on async callbacks.
#[test]
fn an_executor_in_place_does_not_block_grace_periods_on_async_callbacks() {
    let rcu = Rcu::builder().executor(|batch: Batch| batch.run()).build().unwrap();
    let inner = rcu.clone();
    rcu.call_async(async move { inner.synchronize().await });
    assert_eq!(rcu.blocking_drain_timeout(HANG_GUARD), Ok(()));
}

/// The same happened under a global lock whose holder waits for a grace period.
#[test]
fn an_executor_in_place_does_not_block_grace_periods_on_the_global_lock() {
    let lock = GlobalLock::new(0);
    let rcu =
        Rcu::builder().executor(|batch: Batch| batch.run()).global_lock(&lock).build().unwrap();
    let guard = lock.blocking_lock();
    lock.call(&rcu, |n| *n += 1);
    rcu.force();
    rcu.blocking_synchronize();
    rcu.blocking_synchronize();
    drop(guard);
    assert_eq!(rcu.blocking_drain_timeout(HANG_GUARD), Ok(()));
    assert_eq!(*lock.blocking_lock(), 1);
}

/// Under a global lock a later batch, on another task, overtook an earlier batch between two slices
/// of the earlier one.
#[test]
fn batches_under_a_global_lock_do_not_overtake_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let lock = GlobalLock::new(Vec::<u32>::new());
    let rcu = Rcu::builder()
        .executor(runtime.handle().clone())
        .global_lock(&lock)
        .batch_interval(Duration::ZERO)
        .build()
        .unwrap();
    // Each callback takes a good part of a slice, so that a batch needs several slices.
    let slow = || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(100) {
            std::hint::spin_loop();
        }
    };
    for n in 0..400 {
        lock.call(&rcu, move |seen| {
            seen.push(n);
            slow();
        });
        slow();
    }
    assert_eq!(rcu.blocking_drain_timeout(HANG_GUARD), Ok(()));
    assert!(lock.blocking_lock().iter().copied().eq(0..400));
}

/// Every blocking caller started a grace period of its own.
#[test]
fn blocking_callers_share_grace_periods() {
    const CALLERS: usize = 50;
    let rcu = Rcu::new();
    let guard = rcu.read_owned();
    let entered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (rcu, entered) = (rcu.clone(), Arc::clone(&entered));
            std::thread::spawn(move || {
                entered.fetch_add(1, Ordering::Relaxed);
                rcu.blocking_synchronize();
            })
        })
        .collect();
    until("all callers", || entered.load(Ordering::Relaxed) == CALLERS);
    let under_the_reader = rcu.stats().grace_periods;
    assert!(under_the_reader <= 4, "{under_the_reader} grace periods under one reader");
    drop(guard);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

/// Work that was queued at the drop of the last handle waited for the rest of the batch interval.
#[test]
fn the_end_does_not_wait_for_the_batch_interval() {
    let rcu = Rcu::builder().batch_interval(Duration::from_secs(3600)).build().unwrap();
    rcu.call(|| ());
    rcu.blocking_drain();
    let (send, ran) = mpsc::channel();
    rcu.call(move || send.send(()).unwrap());
    drop(rcu);
    ran.recv_timeout(HANG_GUARD).expect("the callback runs at the end of the domain");
}

/// A shutdown requested while another shutdown stopped the thread was never answered, or started
/// the thread again.
#[test]
fn shutdowns_beside_each_other_all_end() {
    let rcu = Rcu::new();
    for _ in 0..100 {
        rcu.call(|| ());
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let rcu = rcu.clone();
                std::thread::spawn(move || rcu.blocking_shutdown())
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    }
}

/// The domain dropped a waker's clone under the waiters' lock if its waiter had just been woken.
/// The drop of this waker takes the lock again.
#[test]
fn a_waker_whose_drop_uses_the_domain_does_not_deadlock() {
    struct Meddles(Rcu);
    impl Wake for Meddles {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Meddles {
        fn drop(&mut self) {
            let mut wait = self.0.synchronize();
            let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    let rcu = Rcu::new();
    for _ in 0..200 {
        let mut wait = rcu.synchronize();
        let begun = Instant::now();
        loop {
            let waker = Waker::from(Arc::new(Meddles(rcu.clone())));
            let poll = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
            if poll == Poll::Ready(()) {
                break;
            }
            assert!(begun.elapsed() < HANG_GUARD, "the wait has not ended");
        }
    }
}

/// Under a global lock, a drain was ready before the report of an executor that dropped its batch
/// and then panicked, since the report did not hold the batch's ticket.
#[test]
fn a_drain_waits_for_the_report_of_an_executor_under_a_global_lock() {
    let lock = GlobalLock::new(());
    let (send, ran) = mpsc::channel();
    let ran = std::sync::Mutex::new(ran);
    let reports = Arc::new(AtomicUsize::new(0));
    let reported = Arc::clone(&reports);
    let rcu = Rcu::builder()
        .global_lock(&lock)
        .executor(move |batch: Batch| {
            drop(batch);
            ran.lock().unwrap().recv_timeout(HANG_GUARD).unwrap();
            // The sleep gives the worker time to release the batch's ticket. Too short a sleep
            // hides the bug and fails no test.
            (0..1000).for_each(|_| std::thread::yield_now());
            std::panic::resume_unwind(Box::new("an executor that panics"));
        })
        .on_panic(move |_| {
            reported.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    lock.call(&rcu, move |()| send.send(()).unwrap());
    assert_eq!(rcu.blocking_drain_timeout(HANG_GUARD), Ok(()));
    assert_eq!(reports.load(Ordering::Relaxed), 1);
}

/// The thread tried to stop only when it had nothing to do, so a shutdown waited as long as every
/// turn found work.
#[test]
fn a_shutdown_does_not_wait_for_a_flood_to_end() {
    let begun = Instant::now();
    let (ask, asked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    let end = ask.clone();
    let over = Arc::new(AtomicBool::new(false));
    let executor = {
        let (over, answered) = (Arc::clone(&over), std::sync::Mutex::new(answered));
        move |batch: Batch| {
            batch.run();
            // Each turn brings work for the next turn.
            if !over.load(Ordering::Relaxed) && begun.elapsed() < HANG_GUARD {
                ask.send(true).unwrap();
                answered.lock().unwrap().recv_timeout(HANG_GUARD).unwrap();
            }
        }
    };
    let rcu = Rcu::builder().executor(executor).build().unwrap();
    let flood = std::thread::spawn({
        let rcu = rcu.clone();
        move || {
            while asked.recv().unwrap() {
                rcu.call(|| ());
                rcu.force();
                answer.send(()).unwrap();
            }
        }
    });
    rcu.call(|| ());
    futures::executor::block_on(rcu.shutdown());
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    rcu.blocking_drain();
    assert!(took < HANG_GUARD, "the shutdown ended only after the flood");
    end.send(false).unwrap();
    flood.join().unwrap();
}
