//! Small things that no larger promise has a test for: ways to make things, parts of them, and rare turns of the paths.

mod common;

use async_rcu::{
    Deferred, GlobalLock, InlineExecutor, OwnedRcuRef, Rcu, RcuCell, RcuList, RcuMap, RcuPtr,
    RcuVec,
};
use common::{receive, runtime, until, within};
use futures::FutureExt;
use std::hash::RandomState;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn what_is_in_a_domain_tells_which() {
    let rcu = Rcu::default();
    let other = Rcu::new();
    assert!(!rcu.same_domain(&other));
    let cell = RcuCell::new_in(&rcu, 1);
    assert!(cell.swap(2).rcu().same_domain(&rcu));
    let deferred = Deferred::new_in(&rcu, 1);
    assert!(Deferred::rcu(&deferred).same_domain(&rcu));
    assert!(RcuPtr::<u32>::default().rcu().same_domain(Rcu::global()));
    assert!(RcuPtr::from(Box::new(1)).rcu().same_domain(Rcu::global()));
}

#[test]
fn an_owned_reference_to_a_part_that_is_not_there_is_given_back() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, vec![1, 2]);
    let whole = cell.read_owned();
    let whole = OwnedRcuRef::filter_map(whole, |all| all.get(2)).unwrap_err();
    let part = OwnedRcuRef::filter_map(whole, |all| all.get(1)).unwrap();
    drop(cell);
    assert_eq!(*part, 2);
    drop(part);
    rcu.blocking_drain();
}

#[test]
fn copies_of_walks_go_on_by_themselves() {
    let rcu = Rcu::new();
    let guard = rcu.read();
    let list = RcuList::new_in(&rcu);
    let array = RcuVec::new_in(&rcu);
    for n in 0..3 {
        list.push_back(n);
        array.push(n);
    }
    let mut walk = list.iter(&guard);
    let whole = walk.clone();
    assert_eq!(walk.next(), Some(&0));
    let rest = walk.clone();
    walk.by_ref().for_each(drop);
    assert!(rest.eq(&[1, 2]));
    assert_eq!(walk.clone().next(), None);
    assert!(whole.eq(&[0, 1, 2]));
    let view = array.load(&guard);
    #[expect(clippy::clone_on_copy, reason = "generic code clones")]
    let same = view.clone();
    array.clear();
    assert!(view.iter().eq(same.iter()));
    let mut writer = array.write();
    assert!(writer.is_empty());
    writer.push(1);
    assert!(!writer.is_empty());
}

#[test]
fn a_map_hashes_as_it_was_told_to() {
    let hasher = RandomState::new();
    let map = RcuMap::<&str, u32, _>::with_hasher(hasher.clone());
    use std::hash::BuildHasher;
    assert_eq!(map.hasher().hash_one("key"), hasher.hash_one("key"));
}

#[test]
fn what_is_replaced_while_retain_looks_at_it_is_shown_to_it_again() {
    let map = RcuMap::from([(1, "old"), (2, "other")]);
    let mut shown = Vec::new();
    map.retain(|key, value| {
        shown.push(*value);
        if *value == "old" {
            drop(map.insert(*key, "new"));
        }
        *key != 1
    });
    shown.sort_unstable();
    assert_eq!(shown, ["new", "old", "other"]);
    let guard = map.rcu().read();
    assert!(map.iter(&guard).eq([(&2, &"other")]));
}

/// More words than a caller looks at by itself: its first poll leaves them to the grace-period thread.
#[test]
fn a_wait_behind_thousands_of_owned_guards_ends() {
    within(|| {
        let rcu = Rcu::new();
        let held: Vec<_> = (0..10_000).map(|_| rcu.read_owned()).collect();
        assert!(rcu.synchronize().now_or_never().is_none());
        assert_eq!(rcu.stats().owned_guards, held.len());
        drop(held);
        runtime(0).block_on(async {
            rcu.synchronize().await;
            rcu.synchronize().await;
        });
    });
}

#[test]
fn a_shutdown_that_is_over_stays_so() {
    within(|| {
        let rcu = Rcu::new();
        runtime(0).block_on(async {
            let mut shutdown = rcu.shutdown();
            (&mut shutdown).await;
            assert!((&mut shutdown).now_or_never().is_some());
        });
        // It has started again by then.
        rcu.blocking_synchronize();
    });
}

#[test]
fn locking_the_lock_that_a_batch_holds_panics() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
        let (send, messages) = mpsc::channel();
        let inner = lock.clone();
        rcu.call(move || {
            let panic = catch_unwind(AssertUnwindSafe(|| drop(inner.blocking_lock())));
            let message = panic.unwrap_err().downcast::<&str>();
            send.send(message.map(|text| text.to_string())).unwrap();
        });
        rcu.blocking_drain();
        let message = receive(&messages).unwrap();
        assert!(message.contains("deadlock: blocking_lock"), "{message}");
    });
}

#[test]
fn locking_on_a_grace_period_thread_panics() {
    within(|| {
        let lock = GlobalLock::new(0);
        let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
        let (send, messages) = mpsc::channel();
        rcu.call(move || {
            let panic = catch_unwind(AssertUnwindSafe(|| drop(lock.blocking_lock())));
            let message = panic.unwrap_err().downcast::<&str>();
            send.send(message.map(|text| text.to_string())).unwrap();
        });
        rcu.blocking_drain();
        let message = receive(&messages).unwrap();
        assert!(message.contains("on a grace-period thread"), "{message}");
    });
}

/// The end of an async callback is the drop of its future too, and that may panic.
#[test]
fn a_future_that_panics_in_its_drop_is_counted_and_reported() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the drop of a future");
        }
    }
    within(|| {
        let (send, reports) = mpsc::channel();
        let rcu = Rcu::builder()
            .on_panic(move |report| drop(send.send(report.to_string())))
            .build()
            .unwrap();
        let bomb = Bomb;
        rcu.call_async(std::future::poll_fn(move |_| {
            let _is_dropped_with_the_future = &bomb;
            std::task::Poll::Ready(())
        }));
        rcu.blocking_drain();
        let report = receive(&reports);
        assert!(report.contains("in the drop of a future"), "{report}");
        assert_eq!(rcu.stats().panicked, 1);
    });
}

/// A report names some sections, and how many more there are.
#[test]
fn a_report_of_many_sections_is_short() {
    within(|| {
        let (send, events) = mpsc::channel();
        let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
        let _notifier = rcu.on_force(move |event| {
            let shown = event.to_string();
            drop(send.send((event.holders.len(), event.holders_total, shown)));
        });
        let held: Vec<_> = (0..100).map(|_| rcu.read_owned()).collect();
        rcu.call(|| ());
        rcu.force();
        let (named, total, shown) = receive(&events);
        assert_eq!(total, held.len());
        assert!(named < total);
        let more = format!("; and {} more", total - named);
        assert!(shown.contains(&more), "{shown}");
        drop(held);
        rcu.blocking_drain();
    });
}

/// What a permit was for may change one's mind.
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
        until("the last one", || rcu.stats().finished == 4);
    });
}

#[test]
fn a_drain_with_no_time_tells_at_once_whether_it_is_over() {
    let rcu = Rcu::new();
    assert!(rcu.blocking_drain_timeout(Duration::ZERO).is_ok());
    let held = rcu.read_owned();
    rcu.call(|| ());
    let timeout = rcu.blocking_drain_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(timeout.to_string(), "timed out");
    drop(held);
    rcu.blocking_drain();
}
