//! `RcuCell::none()` for statics: the cell's first version is a constant, which a writer replaces
//! like any other version, and which is never freed.

mod common;

use async_rcu::{Rcu, RcuCell};
use common::{Drops, HANG_GUARD, Tracked, panic_message, settle};
use std::sync::Mutex;

static SWAPPED: RcuCell<Option<Tracked>> = RcuCell::none();

#[test]
fn a_static_cell_begins_empty_and_takes_versions() {
    let drops = Drops::default();
    assert!(SWAPPED.with(Option::is_none));
    assert!(SWAPPED.read().is_none());
    assert!(SWAPPED.read_owned().is_none());
    assert!(SWAPPED.load(&Rcu::global().read()).is_none());
    assert!(SWAPPED.load(&SWAPPED.rcu().read()).is_none());

    let first = SWAPPED.swap(Some(drops.value(1)));
    assert!(first.is_none());
    drop(first);
    SWAPPED.rcu().blocking_synchronize();
    assert_eq!(SWAPPED.read().as_ref().map(Tracked::label), Some(1));
    SWAPPED.store(Some(drops.value(2)));
    drops.reach(1);
    let second = SWAPPED.swap(None);
    assert_eq!(second.as_ref().map(Tracked::label), Some(2));
    drop(second);
    drops.reach(2);
    assert!(SWAPPED.with(Option::is_none));
}

#[test]
fn every_way_to_replace_the_first_version_leaves_the_constant_alone() {
    type Replace = fn(RcuCell<Option<String>>);
    let some = || Some("some".to_owned());
    let ways: [Replace; 10] = [
        drop,
        |cell| drop(cell.into_retired()),
        |cell| assert!(cell.into_retired().blocking_wait().is_none()),
        |cell| assert!(settle(cell.into_retired().wait()).is_none()),
        |cell| drop(cell.into_retired().wait()),
        |cell| cell.store(None),
        |cell| drop(cell.swap(None)),
        |cell| assert!(cell.swap(None).blocking_wait().is_none()),
        |cell| drop(cell.update(|old| old.clone())),
        |cell| assert!(cell.try_update(|_| Err::<Option<String>, ()>(())).is_err()),
    ];
    for way in ways {
        way(RcuCell::none());
        // The type's constant is unchanged.
        let cell = RcuCell::<Option<String>>::none();
        Rcu::global().blocking_drain_timeout(HANG_GUARD).unwrap();
        assert!(cell.with(Option::is_none));
        assert!(cell.swap(some()).is_none());
        assert_eq!(*cell.read(), some());
    }
    Rcu::global().blocking_drain_timeout(HANG_GUARD).unwrap();
}

#[test]
fn the_first_version_can_be_taken_once_its_grace_period_is_over() {
    let cell = RcuCell::<Option<String>>::none();
    let section = Rcu::global().read_owned();
    let first = cell.swap(Some("some".to_owned()));
    let Err(first) = first.try_take() else {
        panic!("a section is open");
    };
    assert!(first.is_none());
    drop(section);
    Rcu::global().blocking_synchronize();
    let taken = first.try_take().expect("a grace period has passed");
    assert!(taken.is_none());
}

#[test]
fn first_versions_are_reclaimed_with_others() {
    let cells = [(); 3].map(|()| RcuCell::<Option<String>>::none());
    cells[1].store(Some("one".to_owned()));
    let all = cells.map(|cell| cell.swap(None));
    let all = settle(Rcu::global().reclaim_all(all));
    let all: Vec<_> = all.iter().map(|value| value.as_deref()).collect();
    assert_eq!(all, [None, Some("one"), None]);
}

#[test]
fn a_reference_to_the_first_version_stays_good() {
    let cell = RcuCell::<Option<String>>::none();
    let guard = Rcu::global().read();
    let first = cell.load(&guard);
    let owned = cell.read_owned();
    drop(cell);
    assert!(first.is_none());
    drop(guard);
    assert!(owned.is_none());
}

#[test]
fn a_type_without_a_size_in_memory_can_be_absent_too() {
    let cell = RcuCell::<Option<()>>::none();
    assert!(cell.swap(Some(())).is_none());
    assert_eq!(*cell.swap(None).blocking_wait(), Some(()));
    assert!(cell.into_retired().blocking_wait().is_none());
}

#[test]
fn what_is_put_in_may_be_changed_by_its_readers() {
    static CELL: RcuCell<Option<Mutex<u32>>> = RcuCell::none();
    assert!(CELL.with(Option::is_none));
    CELL.store(Some(Mutex::new(1)));
    CELL.with(|value| *value.as_ref().unwrap().lock().unwrap() += 1);
    let old = CELL.swap(None).blocking_wait().unwrap();
    assert_eq!(old.into_inner().unwrap(), 2);
    assert!(CELL.with(Option::is_none));
}

#[test]
fn a_guard_of_another_domain_gives_no_access_to_a_static() {
    static CELL: RcuCell<Option<u32>> = RcuCell::none();
    let other = Rcu::new();
    let message = panic_message(|| {
        CELL.load(&other.read());
    });
    assert!(message.contains("another"), "{message}");
    CELL.store(Some(1));
    panic_message(|| {
        CELL.load(&other.read_owned());
    });
    assert_eq!(*CELL.read(), Some(1));
}
