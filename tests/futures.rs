//! Futures, poll by poll. A future starts no work before its first poll, is woken when a poll can
//! make progress, takes another waker at any time, and may be dropped at any point.

mod common;

use async_rcu::{GlobalLock, OwnedReadGuard, Rcu, RcuCell};
use common::{Drops, HANG_GUARD, Probe, settle, until};
use futures::StreamExt;
use futures::future::select;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns the future with its output dropped.
fn quiet<F: Future + Send + 'static>(future: F) -> Boxed
where
    F::Output: Send,
{
    Box::pin(async move {
        future.await;
    })
}

type Make = fn(&Rcu) -> Boxed;

/// Every future that waits for sections to end, with its name.
const WAITS: [(&str, Make); 8] = [
    ("synchronize", |rcu| quiet(rcu.synchronize())),
    ("wait_for", |rcu| quiet(rcu.wait_for(rcu.grace_period()))),
    ("drain", |rcu| {
        rcu.call(|| ());
        quiet(rcu.drain())
    }),
    ("shutdown", |rcu| {
        rcu.call(|| ());
        quiet(rcu.shutdown())
    }),
    ("wait", |rcu| quiet(RcuCell::new_in(rcu, 1).into_retired().wait())),
    ("reclaim_all", |rcu| {
        let all = [(); 3].map(|()| RcuCell::new_in(rcu, 1).into_retired());
        quiet(rcu.reclaim_all(all))
    }),
    ("GlobalLockGuard::drain", |rcu| {
        rcu.call(|| ());
        let guard = GlobalLock::new(()).try_lock().unwrap();
        quiet(guard.drain(rcu))
    }),
    ("GlobalLockGuard::synchronize", |rcu| {
        let guard = GlobalLock::new(()).try_lock().unwrap();
        quiet(guard.synchronize(rcu))
    }),
];

/// Returns a future of each kind, and an open section that the future waits for.
fn pending_ones() -> impl Iterator<Item = (&'static str, Rcu, OwnedReadGuard, Boxed)> {
    WAITS.into_iter().map(|(name, make)| {
        let rcu = Rcu::new();
        let section = rcu.read_owned();
        let future = make(&rcu);
        (name, rcu, section, future)
    })
}

/// Polls the future to its end. Polls it only when it is woken.
#[track_caller]
fn ready_when_woken<F: Future>(task: &mut Spawn<F>) -> F::Output {
    loop {
        until("a wake-up", || task.is_woken());
        if let Poll::Ready(output) = task.poll() {
            return output;
        }
    }
}

/// Polls the future to its end: once at first, and then when it is woken.
#[track_caller]
fn ready<F: Future>(task: &mut Spawn<F>) -> F::Output {
    match task.poll() {
        Poll::Ready(output) => output,
        Poll::Pending => ready_when_woken(task),
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

fn poll_with(future: &mut Boxed, waker: &Waker) -> Poll<()> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn pending_until_the_sections_have_ended_and_woken_then() {
    for (name, rcu, section, future) in pending_ones() {
        let mut task = spawn(future);
        assert_pending!(task.poll(), "{name}");
        // A poll without a wake-up leaves the future pending.
        assert_pending!(task.poll(), "{name}");
        drop(section);
        ready_when_woken(&mut task);
        settle(rcu.drain());
    }
}

#[test]
fn a_section_entered_before_the_first_poll_holds_synchronize_up() {
    let rcu = Rcu::new();
    let before = rcu.stats().grace_periods;
    let mut task = spawn(rcu.synchronize());
    let lock = GlobalLock::new(());
    let mut unlocked = spawn(lock.try_lock().unwrap().synchronize(&rcu));
    assert_eq!(
        rcu.stats().grace_periods,
        before,
        "a future started a grace period before its first poll"
    );
    // Earlier grace periods do not count, and do not make the future ready.
    rcu.blocking_synchronize();
    let section = rcu.read_owned();
    assert_pending!(task.poll());
    assert_pending!(unlocked.poll());
    drop(section);
    ready_when_woken(&mut task);
    drop(ready_when_woken(&mut unlocked));
}

#[test]
fn a_section_entered_after_the_start_does_not_hold_synchronize_up() {
    let rcu = Rcu::new();
    let older = rcu.read_owned();
    let gp = rcu.grace_period();
    let mut task = spawn(rcu.synchronize());
    assert_pending!(task.poll());
    until("the start", || rcu.grace_period() > gp);
    let _younger = rcu.read_owned();
    drop(older);
    ready_when_woken(&mut task);
}

#[test]
fn ready_at_the_latest_when_woken_where_nothing_holds_it_up() {
    for (_, make) in WAITS {
        let rcu = Rcu::new();
        for _ in 0..3 {
            ready(&mut spawn(make(&rcu)));
        }
    }
}

#[test]
fn drain_and_shutdown_with_nothing_queued_are_soon_ready() {
    let rcu = Rcu::new();
    let section = rcu.read_owned();
    ready(&mut spawn(rcu.drain()));
    ready(&mut spawn(rcu.shutdown()));
    ready(&mut spawn(rcu.shutdown()));
    ready(&mut spawn(rcu.drain()));
    drop(section);
    // The domain starts again with the next work.
    let drops = Drops::default();
    rcu.retire(Box::new(drops.value(1)));
    drops.reach(1);
}

#[test]
fn a_shut_down_domain_starts_again_for_every_kind_of_wait() {
    let rcu = Rcu::new();
    for (_, make) in WAITS {
        ready(&mut spawn(rcu.shutdown()));
        let section = rcu.read_owned();
        let mut task = spawn(make(&rcu));
        assert_pending!(task.poll());
        drop(section);
        ready_when_woken(&mut task);
    }
}

#[test]
fn may_be_dropped_before_the_first_poll() {
    for (_, rcu, section, future) in pending_ones() {
        drop(future);
        drop(section);
        settle(rcu.drain());
        settle(rcu.synchronize());
    }
}

#[test]
fn may_be_dropped_while_pending_and_forgets_its_waker() {
    for (name, rcu, section, mut future) in pending_ones() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let known = Arc::strong_count(&count);
        let probe = Probe::new(&rcu);
        assert!(poll_with(&mut future, &waker).is_pending());
        assert!(Arc::strong_count(&count) > known, "{name} does not keep the waker");
        drop(future);
        assert_eq!(Arc::strong_count(&count), known, "{name} still has the waker");
        drop(probe);
        drop(section);
        settle(rcu.synchronize());
        settle(rcu.drain());
        assert_eq!(count.woken(), 0, "{name}");
    }
}

#[test]
fn may_be_dropped_after_it_was_woken_and_after_it_was_ready() {
    for (name, rcu, section, future) in pending_ones() {
        let mut task = spawn(future);
        assert_pending!(task.poll());
        drop(section);
        until(name, || task.is_woken());
        drop(task);
        settle(rcu.drain());
    }
    for (_, rcu, section, future) in pending_ones() {
        let mut task = spawn(future);
        assert_pending!(task.poll());
        drop(section);
        ready_when_woken(&mut task);
        drop(task);
        settle(rcu.drain());
    }
}

#[test]
fn many_are_dropped_while_they_are_being_woken() {
    for (_, make) in WAITS {
        let rcu = Rcu::new();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let section = rcu.read_owned();
                        let mut task = spawn(make(&rcu));
                        assert_pending!(task.poll());
                        drop(section);
                        drop(task);
                    }
                });
            }
        });
        settle(rcu.drain());
        settle(rcu.synchronize());
    }
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    for (name, _rcu, section, mut future) in pending_ones() {
        let counts = [(); 3].map(|()| Arc::new(Count::default()));
        let wakers = counts.clone().map(Waker::from);
        for waker in &wakers {
            assert!(poll_with(&mut future, waker).is_pending());
        }
        for old in &counts[..2] {
            assert_eq!(Arc::strong_count(old), 2, "{name} has kept an old waker");
        }
        drop(section);
        let [first, second, last] = counts;
        until(name, || last.woken() > 0);
        settle(future);
        assert_eq!((first.woken(), second.woken()), (0, 0), "{name}");
    }
}

#[test]
fn shutdown_keeps_one_waker_and_forgets_it_while_the_thread_is_busy() {
    let (busy, is_busy) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let hook = move || {
        let _ = busy.send(());
        let _ = wait.lock().unwrap().recv();
    };
    let rcu = Rcu::builder().on_idle(hook).build().unwrap();
    rcu.call(|| ());
    is_busy.recv_timeout(HANG_GUARD).unwrap();
    let counts = [(); 2].map(|()| Arc::new(Count::default()));
    let [first, second] = counts.clone().map(Waker::from);
    let mut future = quiet(rcu.shutdown());
    assert!(poll_with(&mut future, &first).is_pending());
    assert!(poll_with(&mut future, &second).is_pending());
    assert_eq!(Arc::strong_count(&counts[0]), 2, "the future has kept an old waker");
    drop(future);
    assert_eq!(Arc::strong_count(&counts[1]), 2, "the future has lost its waker");
    let mut task = spawn(rcu.shutdown());
    assert_pending!(task.poll());
    drop(go_on);
    ready_when_woken(&mut task);
}

#[test]
fn may_move_to_another_thread_between_polls() {
    for (_, _rcu, section, mut future) in pending_ones() {
        assert!(poll_with(&mut future, Waker::noop()).is_pending());
        let future = thread::spawn(move || {
            assert!(poll_with(&mut future, Waker::noop()).is_pending());
            drop(section);
            future
        })
        .join()
        .unwrap();
        settle(future);
    }
}

#[test]
fn a_waker_that_panics_does_not_harm_others() {
    for (name, make) in WAITS {
        let rcu = Rcu::new();
        let section = rcu.read_owned();
        let mut before = spawn(make(&rcu));
        let mut panics = make(&rcu);
        let mut after = spawn(make(&rcu));
        assert_pending!(before.poll(), "{name}");
        let panicking = Waker::from(Arc::new(Panics));
        assert!(poll_with(&mut panics, &panicking).is_pending());
        assert_pending!(after.poll(), "{name}");
        drop(section);
        ready_when_woken(&mut before);
        ready_when_woken(&mut after);
        // The panicking waker loses its wake-up. With a good waker the future goes on.
        settle(panics);
        settle(rcu.synchronize());
        settle(rcu.drain());
    }
}

#[test]
fn any_executor_drives_them() {
    for (_, rcu, section, future) in pending_ones() {
        drop(section);
        futures::executor::block_on(future);
        drop(rcu);
    }
    for (_, _rcu, section, future) in pending_ones() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let task = runtime.spawn(future);
        drop(section);
        settle(task).unwrap();
    }
}

#[test]
fn a_wait_keeps_its_domain_going_without_other_handles() {
    for (_, rcu, section, future) in pending_ones() {
        drop(rcu);
        let mut task = spawn(future);
        assert_pending!(task.poll());
        drop(section);
        ready_when_woken(&mut task);
    }
}

#[test]
fn drain_waits_for_callbacks_and_not_only_for_their_grace_period() {
    let rcu = Rcu::new();
    let (end, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    rcu.call(move || {
        begun.send(()).unwrap();
        let _ = wait.recv();
    });
    let mut drain = spawn(rcu.drain());
    let mut shutdown = spawn(rcu.shutdown());
    assert_pending!(drain.poll());
    assert_pending!(shutdown.poll());
    has_begun.recv_timeout(HANG_GUARD).unwrap();
    settle(rcu.synchronize());
    assert_pending!(drain.poll());
    assert_pending!(shutdown.poll());
    end.send(()).unwrap();
    ready_when_woken(&mut drain);
    ready_when_woken(&mut shutdown);
}

#[test]
fn reclaimed_values_are_handed_out_by_the_poll_that_is_ready() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let section = rcu.read_owned();
    let one = RcuCell::new_in(&rcu, drops.value(1)).into_retired();
    let all = (2..5).map(|label| RcuCell::new_in(&rcu, drops.value(label)).into_retired());
    let mut all = spawn(rcu.reclaim_all(all));
    let mut one = spawn(one.wait());
    assert_pending!(one.poll());
    assert_pending!(all.poll());
    drop(section);
    assert_eq!(ready_when_woken(&mut one).label(), 1);
    let labels: Vec<_> = ready_when_woken(&mut all).iter().map(|value| value.label()).collect();
    assert_eq!(labels, [2, 3, 4]);
    drop((one, all));
    assert_eq!(drops.count(), 4);
}

/// A task waits in a loop, and each wait is ready at once. The other part of the task must get its
/// turn all the same: inside a tokio runtime, and elsewhere.
#[test]
fn a_wait_that_is_ready_at_once_gives_the_thread_away_at_times() {
    const MANY: usize = 10_000;
    macro_rules! gives_away {
        ($what:literal, $wait:expr) => {
            for in_tokio in [true, false] {
                let turns = AtomicUsize::new(0);
                let other = std::future::poll_fn(|_| {
                    turns.fetch_add(1, Ordering::Relaxed);
                    Poll::<()>::Pending
                });
                let waits = pin!(async {
                    for _ in 0..MANY {
                        _ = $wait.await;
                    }
                });
                let both = select(waits, other);
                match in_tokio {
                    true => drop(settle(both)),
                    false => drop(futures::executor::block_on(both)),
                }
                let turns = turns.load(Ordering::Relaxed);
                assert!(turns > MANY / 500, "{}: {turns} turns, in tokio: {in_tokio}", $what);
            }
        };
    }
    let rcu = Rcu::new();
    gives_away!("synchronize", rcu.synchronize());
    gives_away!("wait_for", rcu.wait_for(rcu.grace_period()));
    gives_away!("drain", rcu.drain());
    let cell = RcuCell::new_in(&rcu, 0);
    gives_away!("wait", cell.swap(1).wait());
    gives_away!("reclaim_all", rcu.reclaim_all([cell.swap(1)]));
    let mut watcher = cell.subscribe();
    gives_away!("changed", {
        cell.store(1);
        watcher.changed()
    });
    gives_away!("a watcher's stream", {
        cell.store(1);
        watcher.next()
    });
    let limited = Rcu::builder().max_pending(10).build().unwrap();
    gives_away!("reserve", limited.reserve());
    let lock = GlobalLock::new(());
    gives_away!("GlobalLockGuard::synchronize", lock.try_lock().unwrap().synchronize(&rcu));
    gives_away!("GlobalLockGuard::drain", lock.try_lock().unwrap().drain(&rcu));
    let held = rcu.read_owned();
    rcu.call(|| ());
    rcu.force();
    until("the request", || held.is_release_requested());
    gives_away!("release_requested", held.release_requested());
    drop(held);
    rcu.blocking_shutdown();
    gives_away!("shutdown", rcu.shutdown());
}

/// tokio's budget stays empty until the outer poll ends.
#[test]
fn a_nested_executor_inside_a_task_without_budget_goes_on() {
    let rcu = Rcu::new();
    settle(async {
        for _ in 0..400 {
            futures::executor::block_on(rcu.synchronize());
        }
    });
}

#[test]
fn a_blocking_wait_with_no_time_left_does_not_give_the_thread_away() {
    let rcu = Rcu::new();
    for _ in 0..1000 {
        assert!(rcu.blocking_drain_timeout(Duration::ZERO).is_ok());
    }
}

#[test]
fn an_elapsed_wait_is_ready_at_the_first_poll() {
    let rcu = Rcu::new();
    let retired = RcuCell::new_in(&rcu, 7).into_retired();
    let gp = rcu.grace_period();
    rcu.blocking_synchronize();
    let _section = rcu.read_owned();
    assert_ready!(spawn(rcu.wait_for(gp)).poll());
    assert_eq!(*assert_ready!(spawn(retired.wait()).poll()), 7);
}
