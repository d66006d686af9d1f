//! A replaced version is still readable. After a grace period it is freed or returned. No version
//! is lost.

mod common;

use async_rcu::{Rcu, RcuCell, Retired, cell::RetireOnDrop};
use common::{Drops, Probe, Tracked, elapses, panic_message, settle};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

fn retire_one(rcu: &Rcu, drops: &Drops, label: u32) -> Retired<Tracked> {
    RcuCell::new_in(rcu, drops.value(label)).into_retired()
}

#[test]
fn a_retired_version_is_readable_and_freed_after_a_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let probe = Probe::new(&rcu);
    let section = rcu.read();
    let retired = retire_one(&rcu, &drops, 1);
    assert_eq!(retired.label(), 1);
    drop(retired);
    probe.held_up();
    assert_eq!(drops.count(), 0);
    drop(section);
    drops.reach(1);
}

#[test]
fn wait_gives_the_value_after_a_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    let mut reclaim = retire_one(&rcu, &drops, 1).wait();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut reclaim).poll(&mut context).is_pending());
    probe.held_up();
    assert!(Pin::new(&mut reclaim).poll(&mut context).is_pending());
    drop(section);
    let value: Box<Tracked> = settle(reclaim);
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn blocking_wait_gives_the_value_after_a_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let reference = cell.read_owned();
    let retired = cell.into_retired();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| retired.blocking_wait());
        let gp = probe.held_up();
        assert!(!waiter.is_finished());
        assert_eq!(reference.label(), 1);
        drop(reference);
        let value = waiter.join().unwrap();
        elapses(&rcu, gp);
        assert_eq!((value.label(), drops.count()), (1, 0));
    });
    assert_eq!(drops.count(), 1);
}

#[test]
fn try_take_gives_the_value_once_its_grace_period_is_over() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    let Err(retired) = retire_one(&rcu, &drops, 1).try_take() else {
        panic!("a section is open");
    };
    let gp = probe.held_up();
    let Err(retired) = retired.try_take() else {
        panic!("a section is open");
    };
    assert_eq!((retired.label(), drops.count()), (1, 0));
    drop(section);
    elapses(&rcu, gp);
    let value: Box<Tracked> = retired.try_take().expect("a grace period has passed");
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_later_section_does_not_keep_the_value_from_being_taken() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let before = rcu.read_owned();
    let retired = retire_one(&rcu, &drops, 1);
    let gp = common::started(&rcu);
    let _after = rcu.read_owned();
    drop(before);
    elapses(&rcu, gp);
    let value = retired.try_take().expect("no section can see the value");
    assert_eq!(value.label(), 1);
}

#[test]
fn a_wait_that_is_given_up_still_frees() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    // The future is dropped before the first poll.
    drop(retire_one(&rcu, &drops, 1).wait());
    drops.reach(1);
    // The future is dropped while it waits.
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    let mut reclaim = retire_one(&rcu, &drops, 2).wait();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut reclaim).poll(&mut context).is_pending());
    drop(reclaim);
    probe.held_up();
    assert_eq!(drops.count(), 1);
    drop(section);
    drops.reach(2);
    // The future is dropped after it could have been ready.
    let section = rcu.read_owned();
    let mut reclaim = retire_one(&rcu, &drops, 3).wait();
    assert!(Pin::new(&mut reclaim).poll(&mut context).is_pending());
    drop(section);
    rcu.blocking_synchronize();
    assert_eq!(drops.count(), 2);
    drop(reclaim);
    drops.reach(3);
}

#[test]
fn a_blocking_wait_that_panics_still_frees() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let section = rcu.read();
    let retired = retire_one(&rcu, &drops, 1);
    panic_message(|| {
        retired.blocking_wait();
    });
    assert_eq!(drops.count(), 0);
    drop(section);
    drops.reach(1);
}

#[test]
fn a_retired_version_outlives_its_cell_and_every_handle() {
    let drops = Drops::default();
    let rcu = Rcu::new();
    let retired: Vec<_> = (0..3).map(|label| retire_one(&rcu, &drops, label)).collect();
    drop(rcu);
    let [dropped, waited, blocked] = retired.try_into().unwrap();
    drop(dropped);
    drops.reach(1);
    assert_eq!(settle(waited.wait()).label(), 1);
    assert_eq!(blocked.blocking_wait().label(), 2);
    assert_eq!(drops.count(), 3);
}

#[test]
fn reclaim_all_keeps_the_order_and_uses_one_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let all: Vec<_> = (0..100).map(|label| retire_one(&rcu, &drops, label)).collect();
    let before = rcu.stats().grace_periods;
    let values: Vec<Box<Tracked>> = settle(rcu.reclaim_all(all));
    let periods = rcu.stats().grace_periods - before;
    assert!(periods <= 1, "{periods} grace periods");
    let labels: Vec<u32> = values.iter().map(|value| value.label()).collect();
    assert_eq!(labels, (0..100).collect::<Vec<_>>());
    assert_eq!(drops.count(), 0);
    drop(values);
    assert_eq!(drops.count(), 100);
}

#[test]
fn reclaim_all_waits_for_the_youngest() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let first = retire_one(&rcu, &drops, 1);
    rcu.blocking_synchronize();
    let section = rcu.read_owned();
    let second = retire_one(&rcu, &drops, 2);
    let mut all = rcu.reclaim_all([first, second]);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut all).poll(&mut context).is_pending());
    drop(section);
    assert_eq!(settle(all).len(), 2);
    assert!(settle(rcu.reclaim_all(Vec::<Retired<Tracked>>::new())).is_empty());
}

#[test]
fn a_reclaim_all_that_is_given_up_still_frees() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    drop(rcu.reclaim_all((0..3).map(|label| retire_one(&rcu, &drops, label))));
    drops.reach(3);
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    let mut all = rcu.reclaim_all((0..3).map(|label| retire_one(&rcu, &drops, label)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut all).poll(&mut context).is_pending());
    drop(all);
    probe.held_up();
    assert_eq!(drops.count(), 3);
    drop(section);
    drops.reach(6);
}

#[test]
fn reclaim_all_refuses_another_domain_and_loses_nothing() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let drops = Drops::default();
    let section = other.read_owned();
    let all =
        [retire_one(&rcu, &drops, 1), retire_one(&other, &drops, 2), retire_one(&rcu, &drops, 3)];
    let message = panic_message(|| drop(rcu.reclaim_all(all)));
    assert!(message.contains("another"), "{message}");
    drops.reach(2);
    drop(section);
    drops.reach(3);
}

#[test]
fn a_deferred_value_is_dropped_through_its_domain() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let probe = Probe::new(&rcu);
    let section = rcu.read();
    let deferred = RetireOnDrop::new_in(&rcu, drops.value(1));
    assert_eq!(deferred.label(), 1);
    assert!(format!("{deferred:?}").contains("Tracked"));
    drop(deferred);
    probe.held_up();
    assert_eq!(drops.count(), 0);
    drop(section);
    drops.reach(1);
    drop(RetireOnDrop::new(drops.value(2)));
    drops.reach(2);
}

#[test]
fn the_last_share_of_a_deferred_value_defers_its_drop() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let shared = Arc::new(RetireOnDrop::new_in(&rcu, drops.value(1)));
    let cell = RcuCell::new_in(&rcu, Arc::clone(&shared));
    let probe = Probe::new(&rcu);
    let section = rcu.read_owned();
    drop(cell);
    drop(shared);
    let gp = probe.held_up();
    assert_eq!(drops.count(), 0);
    drop(section);
    elapses(&rcu, gp);
    drops.reach(1);

    // The thread that frees the cell's value drops the last share, which defers the inner value.
    let cell = RcuCell::new_in(&rcu, Arc::new(RetireOnDrop::new_in(&rcu, drops.value(2))));
    cell.with(|shared| assert_eq!(shared.label(), 2));
    drop(cell);
    drops.reach(2);
}
