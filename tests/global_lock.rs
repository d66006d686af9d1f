//! Callbacks run alone under the global lock. Grace periods make progress while the lock is held.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{GlobalLock, Rcu};
use common::executors::{Driven, on_every_executor};
use common::{Tally, domain, inline, panic_message, receive, runtime, until, within};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio_test::{assert_pending, task};

fn under<T: Send + 'static>(lock: &GlobalLock<T>) -> Rcu {
    let builder = Rcu::builder().name("locked").global_lock(lock);
    builder.build().unwrap()
}

/// The number of callbacks under the lock now, and the greatest number so far.
#[derive(Clone, Default)]
struct Holders(Arc<(AtomicUsize, AtomicUsize)>);

impl Holders {
    fn inside(&self, body: impl FnOnce()) {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        body();
        now.fetch_sub(1, Ordering::SeqCst);
    }

    #[track_caller]
    fn assert_alone(&self) {
        assert_eq!(self.0.1.load(Ordering::SeqCst), 1, "the number of callbacks under the lock");
    }
}

#[test]
fn callbacks_run_alone_under_it_on_every_executor() {
    within(|| {
        let lock = GlobalLock::new(0_usize);
        on_every_executor(
            || Rcu::builder().name("locked").global_lock(&lock),
            |Driven { rcu, driver }| {
                let (holders, tally) = (Holders::default(), Tally::new(3 * 200));
                thread::scope(|scope| {
                    for thread in 0..3 {
                        let (rcu, holders, tally, lock) = (&rcu, &holders, &tally, &lock);
                        scope.spawn(move || {
                            for i in 0..200 {
                                let (inside, callback) =
                                    (holders.clone(), tally.callback(thread * 200 + i));
                                match i % 3 {
                                    0 => rcu.call(move || inside.inside(callback)),
                                    1 => lock.call(rcu, move |n| {
                                        *n += 1;
                                        inside.inside(callback);
                                    }),
                                    _ => {
                                        let mut guard = lock.blocking_lock();
                                        *guard += 1;
                                        inside.inside(callback);
                                    }
                                }
                                if i % 50 == 0 {
                                    rcu.force();
                                }
                            }
                        });
                    }
                });
                rcu.blocking_drain();
                tally.assert_each_once();
                holders.assert_alone();
                assert_eq!(std::mem::take(&mut *lock.blocking_lock()), 3 * 133);
                drop(driver);
            },
        );
    });
}

#[test]
fn lock_call_gets_the_value_in_order_and_after_its_sections() {
    within(|| {
        let lock = GlobalLock::new(Vec::new());
        let rcu = under(&lock);
        let section = rcu.read_owned();
        for i in 0..1_000 {
            lock.call(&rcu, move |log| log.push(i));
        }
        rcu.force();
        assert!(lock.blocking_lock().is_empty());
        drop(section);
        rcu.blocking_drain();
        assert!(lock.blocking_lock().iter().copied().eq(0..1_000));
    });
}

#[test]
fn retired_values_are_dropped_under_it() {
    struct Device(Holders, GlobalLock<()>, mpsc::Sender<bool>);
    impl Drop for Device {
        fn drop(&mut self) {
            let locked = self.1.try_lock().is_none();
            self.0.inside(|| self.2.send(locked).unwrap());
        }
    }

    within(|| {
        let lock = GlobalLock::new(());
        for builder in [Rcu::builder(), Rcu::builder().executor(inline())] {
            let rcu = builder.global_lock(&lock).build().unwrap();
            let (holders, (tell, told)) = (Holders::default(), mpsc::channel());
            for _ in 0..100 {
                let device = Device(holders.clone(), lock.clone(), tell.clone());
                rcu.retire(Box::new(device));
            }
            for _ in 0..100 {
                assert!(receive(&told), "the value was dropped without the lock");
            }
            holders.assert_alone();
            rcu.blocking_drain();
        }
    });
}

#[test]
fn grace_periods_go_on_while_the_lock_is_held_and_callbacks_wait() {
    within(|| {
        let runtime = runtime(1);
        let builder = || Rcu::builder().name("kept");
        for builder in
            [builder(), builder().executor(inline()), builder().executor(runtime.handle().clone())]
        {
            let lock = GlobalLock::new(());
            let rcu = builder.global_lock(&lock).build().unwrap();
            let tally = Tally::new(50);
            let guard = lock.blocking_lock();
            for i in 0..50 {
                rcu.call(tally.callback(i));
                let cookie = rcu.start_grace_period();
                rcu.blocking_synchronize();
                futures::executor::block_on(rcu.synchronize());
                until("the end of the grace period", || rcu.has_elapsed(cookie));
            }
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            until("a batch", || rcu.stats().batches > 0);
            tally.assert_none();
            drop(guard);
            futures::executor::block_on(drain.into_inner());
            tally.assert_each_once();
        }
    });
}

#[test]
fn guard_drain_unlocks_waits_and_locks_again() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = under(&lock);
        let runtime = runtime(0);
        for round in 1..=50 {
            runtime.block_on(async {
                let mut guard = lock.lock().await;
                *guard = round;
                lock.call(&rcu, |n| *n += 1_000);
                rcu.call(|| {});
                let mut guard = guard.drain(&rcu).await;
                assert_eq!(*guard, 1_000 + round);
                assert!(lock.try_lock().is_none());
                *guard = 0;
            });
            assert!(lock.try_lock().is_some());
        }
    });
}

#[test]
fn guard_synchronize_unlocks_waits_and_locks_again() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = under(&lock);
        for _ in 0..50 {
            let mut guard = lock.blocking_lock();
            *guard = 1;
            let section = rcu.read_owned();
            let mut waiting = task::spawn(guard.synchronize(&rcu));
            assert_pending!(waiting.poll());
            // Other callers take the lock in the meantime.
            assert_eq!(std::mem::replace(&mut *lock.blocking_lock(), 2), 1);
            assert_pending!(waiting.poll());
            drop(section);
            let guard = futures::executor::block_on(waiting.into_inner());
            assert_eq!(*guard, 2);
            assert!(lock.try_lock().is_none());
        }
    });
}

#[test]
fn guard_blocking_drain_unlocks_waits_and_locks_again() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = under(&lock);
        let mut guard = lock.blocking_lock();
        for round in 1..=50 {
            lock.call(&rcu, |n| *n += 1);
            guard = guard.blocking_drain(&rcu);
            assert_eq!(*guard, round);
            assert!(lock.try_lock().is_none());
        }
    });
}

#[test]
fn many_tasks_drain_under_it_at_once() {
    within(|| {
        let runtime = runtime(2);
        let lock = GlobalLock::new(0_u32);
        let rcu = under(&lock);
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (lock, rcu) = (lock.clone(), rcu.clone());
                runtime.spawn(async move {
                    let guard = lock.lock().await;
                    lock.call(&rcu, |n| *n += 1);
                    let guard = guard.drain(&rcu).await;
                    let guard = guard.synchronize(&rcu).await;
                    assert!(*guard >= 1);
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(*lock.blocking_lock(), 50);
    });
}

#[test]
fn dropped_half_way_the_waiting_guards_leave_the_lock_free() {
    within(|| {
        let lock = GlobalLock::new(());
        let rcu = under(&lock);
        let section = rcu.read_owned();
        rcu.call(|| {});
        drop(lock.blocking_lock().drain(&rcu));
        assert!(lock.try_lock().is_some(), "the future was never polled");
        let mut drain = task::spawn(lock.blocking_lock().drain(&rcu));
        assert_pending!(drain.poll());
        drop(drain);
        assert!(lock.try_lock().is_some(), "dropped while it waited for the drain");
        let mut waiting = task::spawn(lock.blocking_lock().synchronize(&rcu));
        assert_pending!(waiting.poll());
        let kept = lock.blocking_lock();
        drop(section);
        // The batch will wait for the lock soon.
        rcu.blocking_synchronize();
        assert_pending!(waiting.poll());
        drop(waiting);
        drop(kept);
        // The callback's batch has its turn under the lock, and then the lock is free.
        rcu.blocking_drain();
        assert!(lock.try_lock().is_some(), "dropped while it waited for the lock");
    });
}

#[test]
fn lock_call_on_a_domain_of_another_lock_runs_all_the_same_and_under_the_lock() {
    within(|| {
        let lock = GlobalLock::new(0);
        let other = GlobalLock::new("of the same type or not");
        let same_type = GlobalLock::new(7);
        for rcu in [domain("bare"), under(&other), under(&same_type)] {
            *lock.blocking_lock() = 0;
            let section = rcu.read_owned();
            for _ in 0..100 {
                lock.call(&rcu, |n| *n += 1);
            }
            rcu.force();
            assert_eq!(*lock.blocking_lock(), 0, "a callback ran before the section ended");
            // The drain waits for the callbacks, also while they wait for the lock.
            let guard = lock.blocking_lock();
            drop(section);
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            assert_eq!(*guard, 0);
            drop(guard);
            futures::executor::block_on(drain.into_inner());
            assert_eq!(*lock.blocking_lock(), 100);
            let stats = rcu.stats();
            assert_eq!((stats.queued, stats.finished, stats.cancelled), (100, 100, 0));
        }
        assert_eq!(*same_type.blocking_lock(), 7);
    });
}

#[test]
fn lock_call_elsewhere_survives_the_runtime_it_was_called_in() {
    within(|| {
        let lock = GlobalLock::new(0);
        let runtime = runtime(1);
        let rcu = Rcu::builder().executor(runtime.handle().clone()).build().unwrap();
        let section = rcu.read_owned();
        {
            let _current = runtime.enter();
            for _ in 0..100 {
                lock.call(&rcu, |n| *n += 1);
            }
        }
        runtime.shutdown_background();
        drop(section);
        rcu.blocking_drain();
        assert_eq!(*lock.blocking_lock(), 100);
        assert_eq!(rcu.stats().cancelled, 0);
    });
}

#[test]
fn one_lock_may_serve_several_domains() {
    within(|| {
        let lock = GlobalLock::new(0);
        let domains = [under(&lock), under(&lock), under(&lock)];
        let holders = Holders::default();
        for _ in 0..300 {
            for rcu in &domains {
                let inside = holders.clone();
                lock.call(rcu, move |n| inside.inside(|| *n += 1));
            }
        }
        for rcu in &domains {
            rcu.blocking_drain();
        }
        holders.assert_alone();
        assert_eq!(*lock.blocking_lock(), 900);
    });
}

#[test]
fn a_panic_under_it_does_not_poison_it() {
    within(|| {
        let lock = GlobalLock::new(0);
        let (locked, bare) = (under(&lock), domain("bare"));
        for rcu in [&locked, &bare] {
            for i in 0..20 {
                lock.call(rcu, move |n| {
                    *n += 1;
                    assert!(i % 2 == 0, "under the lock");
                });
            }
            rcu.blocking_drain();
            assert_eq!(rcu.stats().panicked, 10);
        }
        assert_eq!(*lock.blocking_lock(), 40);
        let holder = lock.clone();
        let panicked = thread::spawn(move || {
            let _guard = holder.blocking_lock();
            panic!("a holder that panics");
        });
        assert!(panicked.join().is_err());
        lock.call(&locked, |n| *n += 1);
        locked.blocking_drain();
        assert_eq!(*lock.blocking_lock(), 41);
    });
}

#[test]
fn it_is_the_tokio_mutex_it_was_made_of() {
    within(|| {
        let mutex = Arc::new(tokio::sync::Mutex::new(String::from("a")));
        let lock = GlobalLock::from(Arc::clone(&mutex));
        let rcu = under(&lock);
        lock.call(&rcu, |s| s.push('b'));
        rcu.blocking_drain();
        assert_eq!(*mutex.blocking_lock(), "ab");
        let guard = mutex.blocking_lock();
        assert!(lock.try_lock().is_none());
        assert!(lock.clone().try_lock().is_none());
        drop(guard);
        let mut guard = lock.try_lock().expect("the lock is free");
        guard.push('c');
        assert!(mutex.try_lock().is_err());
        drop(guard);
        assert_eq!(*mutex.blocking_lock(), "abc");
    });
}

#[test]
fn waiting_for_it_is_a_future_that_can_be_dropped() {
    within(|| {
        let lock = GlobalLock::new(());
        let guard = lock.blocking_lock();
        let mut given_up = task::spawn(lock.lock());
        let mut waiting = task::spawn(lock.lock());
        assert_pending!(given_up.poll());
        assert_pending!(waiting.poll());
        drop(given_up);
        drop(guard);
        until("the waiter's turn", || waiting.is_woken());
        drop(futures::executor::block_on(waiting.into_inner()));
        assert!(lock.try_lock().is_some());
    });
}

/// Returns the message of the panic of `blocking_lock` in a callback of `rcu`.
fn panic_of_blocking_lock(rcu: &Rcu, lock: GlobalLock<i32>) -> String {
    let (send, messages) = mpsc::channel();
    rcu.call(move || {
        let message = panic_message(|| drop(lock.blocking_lock()));
        send.send(message).unwrap();
    });
    rcu.blocking_drain();
    receive(&messages)
}

#[test]
fn locking_the_lock_that_a_batch_holds_panics() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
        let message = panic_of_blocking_lock(&rcu, lock.clone());
        assert!(message.contains("deadlock: blocking_lock"), "{message}");
    });
}

#[test]
fn locking_on_a_grace_period_thread_panics() {
    within(|| {
        let rcu = Rcu::builder().executor(inline()).build().unwrap();
        let message = panic_of_blocking_lock(&rcu, GlobalLock::new(0));
        assert!(message.contains("on a grace-period thread"), "{message}");
    });
}
