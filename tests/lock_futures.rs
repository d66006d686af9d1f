//! Futures of the global lock, poll by poll: waiters get the lock in turn, and no turn is lost when
//! a future is dropped.

mod common;

use async_rcu::{GlobalLock, Rcu};
use common::{Drops, settle, until};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};

#[test]
fn lock_is_ready_where_the_lock_is_free_and_woken_when_it_becomes_so() {
    let lock = GlobalLock::new(1);
    let mut guard = assert_ready!(spawn(lock.lock()).poll());
    *guard += 1;
    let mut second = spawn(lock.clone().lock());
    assert_pending!(second.poll());
    assert!(!second.is_woken());
    assert!(lock.try_lock().is_none());
    drop(guard);
    assert!(second.is_woken());
    assert_eq!(*assert_ready!(second.poll()), 2);
}

#[test]
fn waiters_get_the_lock_in_turn() {
    let lock = GlobalLock::new(());
    let guard = lock.try_lock().unwrap();
    let mut first = spawn(lock.lock());
    let mut second = spawn(lock.lock());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(guard);
    assert!(first.is_woken() && !second.is_woken());
    assert!(lock.try_lock().is_none(), "the lock belongs to the first waiter");
    drop(assert_ready!(first.poll()));
    assert!(second.is_woken());
    drop(assert_ready!(second.poll()));
    assert!(lock.try_lock().is_some());
}

#[test]
fn a_lock_that_is_given_up_passes_its_turn_on() {
    let lock = GlobalLock::new(());
    // The future is dropped before its first poll, while it waits, and when it already has the
    // lock.
    drop(lock.lock());
    let guard = lock.try_lock().unwrap();
    let mut waiting = spawn(lock.lock());
    let mut given = spawn(lock.lock());
    let mut last = spawn(lock.lock());
    assert_pending!(waiting.poll());
    assert_pending!(given.poll());
    assert_pending!(last.poll());
    drop(waiting);
    drop(guard);
    assert!(given.is_woken() && !last.is_woken());
    drop(given);
    assert!(last.is_woken());
    drop(assert_ready!(last.poll()));
    assert!(lock.try_lock().is_some());
}

#[test]
fn drain_lets_the_lock_go_waits_and_locks_again() {
    let lock = GlobalLock::new(0);
    let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
    let section = rcu.read_owned();
    lock.call(&rcu, |value| *value += 1);
    let mut drain = spawn(lock.try_lock().unwrap().drain(&rcu));
    assert_pending!(drain.poll());
    // This thread and the callback take the lock meanwhile.
    *lock.try_lock().expect("the lock is free") += 10;
    drop(section);
    let mut guard = loop {
        until("a wake-up", || drain.is_woken());
        if let std::task::Poll::Ready(guard) = drain.poll() {
            break guard;
        }
    };
    assert_eq!(*guard, 11);
    *guard += 100;
    assert!(lock.try_lock().is_none());
    drop(guard);
    assert_eq!(*lock.blocking_lock(), 111);
}

#[test]
fn drain_waits_for_the_lock_where_another_has_it_by_then() {
    let lock = GlobalLock::new(());
    let rcu = Rcu::new();
    let section = rcu.read_owned();
    rcu.call(|| ());
    let mut drain = spawn(lock.try_lock().unwrap().drain(&rcu));
    let mut synchronize = spawn(lock.try_lock().expect("the lock is free").synchronize(&rcu));
    assert_pending!(drain.poll());
    assert_pending!(synchronize.poll());
    let other = lock.try_lock().expect("the lock is free");
    drop(section);
    settle(rcu.drain());
    assert_pending!(drain.poll());
    assert_pending!(synchronize.poll());
    drop(other);
    until("the lock's wake-up", || drain.is_woken() || synchronize.is_woken());
    // Either future may be first in the queue. Neither blocks the other for ever.
    settle(async {
        tokio::join!(async { drop(drain.into_inner().await) }, async {
            drop(synchronize.into_inner().await)
        },)
    });
    assert!(lock.try_lock().is_some());
}

#[test]
fn a_drain_that_is_given_up_leaves_the_lock_free() {
    let lock = GlobalLock::new(());
    let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
    let drops = Drops::default();
    for polls in [0, 1, 2] {
        let section = rcu.read_owned();
        rcu.retire(Box::new(drops.value(1)));
        let mut drain = spawn(lock.try_lock().unwrap().drain(&rcu));
        for _ in 0..polls {
            assert_pending!(drain.poll());
        }
        drop(drain);
        drop(lock.try_lock().expect("the lock is free"));
        drop(section);
        settle(rcu.drain());
    }
    assert_eq!(drops.count(), 3, "the number of callbacks that ran");
}
