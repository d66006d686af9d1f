//! `reserve` waits for room, in turn, and a permit holds the room until it is used or dropped.

use crate::common::executors::{Driven, on_every_executor};
use crate::common::{Tally, receive, runtime, until, within};
use crate::{Last, builder, limited, room};
use async_rcu::{
    GlobalLock, Rcu,
    backpressure::{Permit, Reserve},
};
use futures::executor::block_on;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready};

fn waiting(rcu: &Rcu) -> Spawn<Reserve> {
    let mut reserve = task::spawn(rcu.reserve());
    assert_pending!(reserve.poll());
    reserve
}

fn permit(rcu: &Rcu) -> Permit {
    assert_ready!(task::spawn(rcu.reserve()).poll())
}

#[test]
fn room_goes_to_the_waiters_in_the_order_of_their_arrival() {
    within(|| {
        let rcu = limited(2);
        let mut permits = vec![permit(&rcu), permit(&rcu)];
        let mut line: Vec<_> = (0..10).map(|_| waiting(&rcu)).collect();
        while !line.is_empty() {
            drop(permits.remove(0));
            let woken: Vec<_> = line.iter().map(Spawn::is_woken).collect();
            assert!(woken[0] && !woken[1..].contains(&true), "{woken:?}");
            // A poll of a later waiter gets no room.
            for other in &mut line[1..] {
                assert_pending!(other.poll());
            }
            permits.push(assert_ready!(line.remove(0).poll()));
        }
        drop(permits);
        assert_eq!(room(&rcu), 2);
    });
}

/// A new waiter took the room of an earlier waiter that had been woken and not polled yet.
#[test]
fn a_newcomer_does_not_take_the_room_of_a_woken_waiter() {
    within(|| {
        let rcu = limited(1);
        let held = permit(&rcu);
        let mut first = waiting(&rcu);
        drop(held);
        assert!(first.is_woken());
        let mut late = task::spawn(rcu.reserve());
        assert_pending!(late.poll(), "the room belongs to the first waiter");
        let held = assert_ready!(first.poll());
        assert!(!late.is_woken());
        drop(held);
        assert!(late.is_woken());
        drop(assert_ready!(late.poll()));
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_the_room_to_the_next() {
    within(|| {
        let rcu = limited(1);
        let held = permit(&rcu);
        let first = waiting(&rcu);
        let second = waiting(&rcu);
        let mut third = waiting(&rcu);
        let mut fourth = waiting(&rcu);
        // The waiter is dropped before the wake-up.
        drop(second);
        drop(held);
        assert!(first.is_woken() && !third.is_woken());
        // The waiter is dropped after the wake-up.
        drop(first);
        assert!(third.is_woken() && !fourth.is_woken());
        drop(assert_ready!(third.poll()));
        assert!(fourth.is_woken());
        drop(assert_ready!(fourth.poll()));
        assert_eq!(room(&rcu), 1);
    });
}

#[test]
fn as_many_are_woken_as_there_is_room_for() {
    within(|| {
        let rcu = limited(5);
        let section = rcu.read_owned();
        for _ in 0..5 {
            permit(&rcu).call(|| ());
        }
        let mut line: Vec<_> = (0..8).map(|_| waiting(&rcu)).collect();
        drop(section);
        until("five wake-ups", || line.iter().filter(|w| w.is_woken()).count() == 5);
        rcu.blocking_drain();
        let woken: Vec<_> = line.iter().map(Spawn::is_woken).collect();
        assert_eq!(woken, [true, true, true, true, true, false, false, false]);
        // Either waiter may come first.
        let permits: Vec<_> = [4, 0, 2, 1, 3].map(|i| assert_ready!(line[i].poll())).into();
        assert_pending!(line[5].poll());
        drop(permits);
        for late in &mut line[5..] {
            drop(assert_ready!(late.poll()));
        }
    });
}

#[test]
fn the_task_that_polled_last_is_woken() {
    within(|| {
        let rcu = limited(1);
        let held = permit(&rcu);
        let first = waiting(&rcu).into_inner();
        let mut second = task::spawn(first);
        assert_pending!(second.poll());
        drop(held);
        assert!(second.is_woken());
        drop(assert_ready!(second.poll()));
    });
}

/// A waker that records whether the lock is free, and whether the domain takes a wait here for the
/// wait of a callback.
struct Looks {
    rcu: Rcu,
    lock: GlobalLock<()>,
    found: mpsc::Sender<(bool, bool)>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let free = self.lock.try_lock().is_some();
        let mut drain = self.rcu.drain();
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut drain).poll(&mut context);
        let _ = self.found.send((free, self.rcu.stats().stalls == 0));
    }
}

/// The domain called wakers while it held the global lock, and as if they were callbacks.
#[test]
fn a_waiter_is_woken_when_the_lock_is_released_on_every_executor() {
    within(|| {
        let lock = GlobalLock::new(());
        on_every_executor(
            || builder(1).global_lock(&lock),
            |Driven { rcu, driver: _driver }| {
                let section = rcu.read_owned();
                rcu.call(|| ());
                let mut reserve = rcu.reserve();
                let (found, finds) = mpsc::channel();
                let looks =
                    Waker::from(Arc::new(Looks { rcu: rcu.clone(), lock: lock.clone(), found }));
                let mut context = Context::from_waker(&looks);
                assert!(Pin::new(&mut reserve).poll(&mut context).is_pending());
                drop(section);
                assert_eq!(receive(&finds), (true, true));
                drop(reserve);
                rcu.blocking_drain();
                assert_eq!(rcu.stats().stalls, 0);
            },
        );
    });
}

#[test]
fn over_the_limit_one_waits_until_there_is_room_again() {
    within(|| {
        let rcu = limited(2);
        let section = rcu.read_owned();
        (0..10).for_each(|_| rcu.call(|| ()));
        let mut reserve = waiting(&rcu);
        until("the request to the section", || section.is_release_requested());
        assert!(!reserve.is_woken());
        drop(section);
        until("room", || reserve.is_woken());
        drop(assert_ready!(reserve.poll()));
        rcu.blocking_drain();
        assert_eq!(room(&rcu), 2);
    });
}

#[test]
fn a_permit_is_good_for_one_callback_of_any_kind_on_every_executor() {
    within(|| {
        on_every_executor(
            || builder(3),
            |Driven { rcu, driver: _driver }| {
                for _ in 0..3 {
                    let tally = Tally::new(3);
                    let section = rcu.read_owned();
                    let [call, retire, future] = [(); 3].map(|()| permit(&rcu));
                    assert!(rcu.try_call(|| ()).is_err(), "permits do not count");
                    call.call(tally.callback(0));
                    retire.retire(Box::new(Last(Some(tally.callback(1)))));
                    let last = tally.callback(2);
                    future.call_async(async move { last() });
                    assert!(rcu.try_call(|| ()).is_err(), "the permits' callbacks do not count");
                    tally.assert_none();
                    drop(section);
                    rcu.blocking_drain();
                    tally.assert_each_once();
                    drop(permit(&rcu));
                    assert_eq!(room(&rcu), 3);
                }
            },
        );
    });
}

#[test]
fn async_callbacks_count_until_they_end_on_every_executor() {
    within(|| {
        on_every_executor(
            || builder(2),
            |Driven { rcu, driver: _driver }| {
                let (began, has_begun) = mpsc::channel();
                let (end, may_end) = oneshot::channel::<()>();
                rcu.call_async(async move {
                    began.send(()).unwrap();
                    let _ = may_end.await;
                });
                receive(&has_begun);
                let held = permit(&rcu);
                let mut reserve = waiting(&rcu);
                assert!(rcu.try_call(|| ()).is_err());
                end.send(()).unwrap();
                until("room", || reserve.is_woken());
                drop((assert_ready!(reserve.poll()), held));
                rcu.blocking_drain();
                assert_eq!(room(&rcu), 2);
            },
        );
    });
}

#[test]
fn a_permit_keeps_its_domain_and_may_be_used_when_all_other_handles_are_gone() {
    within(|| {
        let tally = Tally::new(1);
        let permit = block_on(limited(1).reserve());
        assert!(format!("{permit:?}").contains("Permit"));
        permit.call(tally.callback(0));
        until("the callback", || tally.ran() == 1);
        let rcu = limited(1);
        let reserve = rcu.reserve();
        assert!(format!("{reserve:?}").contains("Reserve"));
        drop(rcu);
        drop(block_on(reserve));
    });
}

/// Counts the holders of room, and checks that their number never exceeds the limit.
#[derive(Clone)]
struct InFlight {
    now: Arc<AtomicIsize>,
    most: Arc<AtomicIsize>,
}

impl InFlight {
    fn new() -> Self {
        let [now, most] = [(); 2].map(|()| Arc::new(AtomicIsize::new(0)));
        Self { now, most }
    }

    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    /// Returns a slow callback.
    fn leave(&self) -> impl FnOnce() + Send + 'static {
        let now = Arc::clone(&self.now);
        move || {
            thread::sleep(Duration::from_micros(20));
            now.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn many_threads_against_a_slow_executor_never_exceed_it() {
    const LIMIT: isize = 10;
    const EACH: usize = 300;
    within(|| {
        on_every_executor(
            || builder(LIMIT as usize),
            |Driven { rcu, driver: _driver }| {
                let flight = InFlight::new();
                thread::scope(|scope| {
                    for by in 0..4 {
                        let (rcu, flight) = (&rcu, flight.clone());
                        scope.spawn(move || {
                            for _ in 0..EACH {
                                if by % 2 == 0 {
                                    let permit = block_on(rcu.reserve());
                                    flight.enter();
                                    permit.call(flight.leave());
                                    continue;
                                }
                                while rcu.try_call(flight.leave()).is_err() {
                                    thread::yield_now();
                                }
                                // The callback does not count if it has ended by now.
                                flight.enter();
                            }
                        });
                    }
                });
                rcu.blocking_drain();
                let most = flight.most.load(Ordering::SeqCst);
                assert!(most <= LIMIT, "{most} callbacks had room at once");
                assert_eq!(flight.now.load(Ordering::SeqCst), 0);
                assert_eq!(rcu.stats().finished, 4 * EACH as u64);
                assert_eq!(room(&rcu), LIMIT as usize);
            },
        );
    });
}

#[test]
fn a_thousand_tasks_that_wait_all_get_their_turn() {
    within(|| {
        let runtime = runtime(2);
        let rcu = Rcu::builder().executor(runtime.handle().clone()).max_pending(8);
        let rcu = rcu.build().unwrap();
        let flight = InFlight::new();
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                let (rcu, flight) = (rcu.clone(), flight.clone());
                runtime.spawn(async move {
                    let mut reserve = rcu.reserve();
                    if i % 7 == 0 {
                        // Some waiters give up, before or after their wake-up.
                        let soon = Duration::from_micros(i);
                        let _ = tokio::time::timeout(soon, &mut reserve).await;
                        return;
                    }
                    let permit = reserve.await;
                    flight.enter();
                    permit.call(flight.leave());
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
            rcu.drain().await;
        });
        assert!(flight.most.load(Ordering::SeqCst) <= 8);
        assert_eq!(room(&rcu), 8);
    });
}

/// A permit may be used for a call, an async call or a retired value, or be dropped.
#[test]
fn a_permit_gives_its_room_back_by_whatever_it_is_used_for() {
    within(|| {
        let rcu = Rcu::builder().max_pending(1).build().unwrap();
        let reserve = || futures::executor::block_on(rcu.reserve());
        let (send, done) = mpsc::channel();
        let again = send.clone();
        reserve().call(move || send.send(1).unwrap());
        reserve().call_async(async move { again.send(2).unwrap() });
        reserve().retire(Box::new(3));
        drop(reserve());
        assert_eq!((receive(&done), receive(&done)), (1, 2));
        rcu.blocking_drain();
        assert!(rcu.try_call(|| ()).is_ok());
        until("the last callback", || rcu.stats().finished == 4);
    });
}
