//! In the child of a fork, the batches that the parent's threads were running or had queued still
//! run.

use crate::common::forked::fork;
use crate::common::{HANG_GUARD, alone, receive, until};
use async_rcu::{Batch, GlobalLock, Rcu, executor::InlineExecutor, report::StallKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// At the fork, the worker waits for the lock with one batch, and has other batches in its queue.
/// The worker vanishes with its batch.
#[test]
fn batches_that_wait_for_the_global_lock_run_in_both() {
    let _alone = alone();
    let lock = GlobalLock::new(0);
    let (send, waits) = mpsc::channel();
    let rcu = Rcu::builder()
        .global_lock(&lock)
        .stall_timeout(Duration::from_millis(10))
        .on_stall(move |report| {
            // An error says that the test has ended.
            let _ = send.send(report.kind);
        })
        .build()
        .unwrap();
    let mut held = Some(lock.blocking_lock());
    for batches in 1..=3 {
        lock.call(&rcu, |ran| *ran += 1);
        rcu.force();
        until("a batch", || rcu.stats().batches == batches);
        // The fork must come while the worker waits for the lock, as a new report says. While the
        // worker looks at its queue, a fork would lose the place of the waiting batch.
        waits.try_iter().for_each(drop);
        while receive(&waits) != StallKind::GlobalLock {}
    }
    fork(|| {
        drop(held.take());
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        assert_eq!(*lock.blocking_lock(), 3);
    });
    drop(held.take());
    rcu.blocking_drain();
    assert_eq!(*lock.blocking_lock(), 3);
}

/// The program's threads have the batches, and vanish with them. The domain keeps the order of the
/// batches. The threads must not have begun to wait for the lock. Otherwise the lock would be given
/// to them in the child.
#[test]
fn turns_under_the_global_lock_that_vanished_are_taken_again() {
    let _alone = alone();
    let lock = GlobalLock::new(0);
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let rcu = Rcu::builder()
        .global_lock(&lock)
        .executor({
            let gate = Arc::clone(&gate);
            move |batch: Batch| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    drop(gate.lock());
                    batch.run();
                })
            }
        })
        .build()
        .unwrap();
    for batches in 1..=2 {
        lock.call(&rcu, |ran| *ran += 1);
        rcu.force();
        until("a batch", || rcu.stats().batches == batches);
    }
    fork(|| {
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        assert_eq!(*lock.blocking_lock(), 2);
    });
    assert_eq!(*lock.blocking_lock(), 0);
    drop(closed);
    rcu.blocking_drain();
    assert_eq!(*lock.blocking_lock(), 2);
}

/// At the fork, the worker polls one async callback, and has another in its queue. The first
/// callback vanishes with the worker.
#[test]
fn an_async_callback_that_waits_for_the_worker_runs_in_both() {
    let _alone = alone();
    let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let (entered, is_in) = mpsc::channel();
    let (leave_it, may_leave) = mpsc::channel::<()>();
    rcu.call_async(std::future::poll_fn(move |_| {
        entered.send(()).unwrap();
        // An error says that the test has ended.
        let _ = may_leave.recv();
        Poll::Ready(())
    }));
    rcu.force();
    receive(&is_in);
    let count = Arc::clone(&ran);
    rcu.call_async(async move {
        count.fetch_add(1, Ordering::Relaxed);
    });
    rcu.force();
    until("the second batch", || rcu.stats().batches == 4);
    fork(|| {
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    drop(leave_it);
    rcu.blocking_drain();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}
