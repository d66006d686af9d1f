//! `RcuCell`: readers see whole versions, writers replace them, and each version is freed once,
//! when no reader can see it.

mod common;

use async_rcu::{Rcu, RcuCell, RcuPtr, cell::RetireOnDrop};
use common::{Drops, HANG_GUARD, Probe, panic_message, settle, until};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn every_way_to_read_sees_the_version_in_place() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    for value in [1, 2, 3] {
        if value > 1 {
            cell.store(value);
        }
        assert_eq!(cell.with(|v| *v), value);
        assert_eq!(*cell.read(), value);
        assert_eq!(*cell.read_owned(), value);
        assert_eq!(*cell.load(&rcu.read()), value);
        assert_eq!(*cell.load(&rcu.read_owned()), value);
    }
}

#[test]
fn new_is_in_the_global_domain_and_new_in_in_the_one_given() {
    let rcu = Rcu::new();
    let global = RcuCell::new(1);
    let own = RcuCell::new_in(&rcu, 2);
    assert_eq!(*global.load(&Rcu::global().read()), 1);
    assert_eq!(*global.load(&global.rcu().read()), 1);
    assert_eq!(*own.load(&rcu.read()), 2);
    assert_eq!(*own.load(&own.rcu().read()), 2);
    panic_message(|| {
        own.load(&Rcu::global().read());
    });
    panic_message(|| {
        global.load(&rcu.read());
    });
}

#[test]
fn one_guard_opens_all_cells_of_its_domain() {
    let rcu = Rcu::new();
    let cells: Vec<_> = (0..10).map(|i| RcuCell::new_in(&rcu, i)).collect();
    let guard = rcu.read();
    let values: Vec<i32> = cells.iter().map(|cell| *cell.load(&guard)).collect();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

#[test]
fn store_frees_the_old_version_when_its_readers_have_left() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let old = cell.load(&guard);
    cell.store(drops.value(2));
    probe.held_up();
    assert_eq!((old.label(), drops.count()), (1, 0));
    assert_eq!(cell.load(&guard).label(), 2);
    drop(guard);
    drops.reach(1);
    assert_eq!(cell.with(|value| value.label()), 2);
}

#[test]
fn swap_gives_the_old_version_and_frees_it_later() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let section = rcu.read();
    let old = cell.swap(drops.value(2));
    assert_eq!((old.label(), cell.read().label()), (1, 2));
    drop(old);
    probe.held_up();
    assert_eq!(drops.count(), 0);
    drop(section);
    drops.reach(1);
}

#[test]
fn update_publishes_what_it_made_of_the_current_version() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let old = cell.update(|current| drops.value(current.label() + 10));
    assert_eq!((old.label(), cell.read().label()), (1, 11));
    drop(old);
    drops.reach(1);
}

#[test]
fn update_is_repeated_where_another_writer_was_first() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let rounds = Cell::new(0);
    let old = cell.update(|current| {
        rounds.set(rounds.get() + 1);
        let seen = current.label();
        if rounds.get() == 1 {
            cell.store(drops.value(100));
            // The replaced version is still there.
            assert_eq!(current.label(), 1);
        }
        drops.value(seen + 10)
    });
    assert_eq!(rounds.get(), 2);
    assert_eq!((old.label(), cell.read().label()), (100, 110));
    drop(old);
    drop(cell);
    // The dropped values are 1, 100, 110, and the 11 that was never published.
    drops.reach(4);
}

/// Each attempt has a section of its own. So a grace period that started during an attempt ends
/// during the next one.
#[test]
fn an_update_that_loses_again_and_again_holds_up_no_grace_period() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    let mut earlier = None;
    let mut tries = 0;
    drop(cell.update(|n| {
        if let Some(earlier) = earlier {
            until("the end of the last attempt's grace period", || rcu.has_elapsed(earlier));
        }
        tries += 1;
        if tries < 4 {
            cell.store(n + 1);
            let started = rcu.start_grace_period();
            until("the start", || rcu.grace_period() > started);
            earlier = Some(started);
        }
        n + 1
    }));
    assert_eq!((tries, *cell.read()), (4, 4));
}

#[test]
fn try_update_leaves_everything_where_the_closure_refuses() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let Err(error) = cell.try_update(|current| Err(current.label() + 1)) else {
        panic!("the update was not refused");
    };
    assert_eq!(error, 2);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!((cell.read().label(), drops.count()), (1, 0));

    // The update is refused at the second attempt, and the value of the first attempt is dropped.
    let rounds = Cell::new(0);
    let result = cell.try_update(|current| {
        rounds.set(rounds.get() + 1);
        if rounds.get() == 1 {
            cell.store(drops.value(100));
            return Ok(drops.value(11));
        }
        Err(current.label())
    });
    assert_eq!(result.map(|_| ()), Err(100));
    assert_eq!(cell.read().label(), 100);
    drops.reach(2);

    let Ok(old) = cell.try_update(|current| Ok::<_, ()>(drops.value(current.label() + 1))) else {
        panic!("the update was refused");
    };
    assert_eq!((old.label(), cell.read().label()), (100, 101));
}

#[test]
fn an_update_that_panics_loses_nothing() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    for panics_in in [1, 2] {
        let stored = cell.read().label() + 1;
        let rounds = Cell::new(0);
        panic_message(|| {
            cell.update(|_| {
                rounds.set(rounds.get() + 1);
                assert_ne!(rounds.get(), panics_in, "the closure fails");
                cell.store(drops.value(stored));
                drops.value(77)
            });
        });
        assert_eq!(rounds.get(), panics_in);
    }
    // The second update has stored version 2 and made another version that was not published.
    assert_eq!(cell.read().label(), 2);
    drops.reach(2);
    panic_message(|| {
        let _ = cell.try_update(|_| -> Result<_, ()> { panic!("this one too") });
    });
    // No section is left open: this call would panic in a section.
    rcu.blocking_synchronize();
    assert_eq!((cell.read().label(), drops.count()), (2, 2));
    drop(cell);
    drops.reach(3);
}

#[test]
fn with_ends_its_section_where_the_closure_panics() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    panic_message(|| cell.with(|_| panic!("in the section")));
    rcu.blocking_synchronize();
    assert_eq!(cell.with(|value| *value), 1);
}

#[test]
fn into_retired_gives_the_last_version() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let value = cell.load(&guard);
    let retired = cell.into_retired();
    assert_eq!(retired.label(), 1);
    drop(retired);
    probe.held_up();
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(guard);
    drops.reach(1);
}

#[test]
fn dropping_a_cell_frees_its_value_after_a_grace_period() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let section = rcu.read();
    drop(cell);
    probe.held_up();
    assert_eq!(drops.count(), 0);
    drop(section);
    drops.reach(1);
}

#[test]
fn load_full_shares_the_value_beyond_the_section() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, Arc::new(drops.value(1)));
    let full = cell.load_full();
    assert!(Arc::ptr_eq(&full, &cell.read()));
    assert_eq!(Arc::strong_count(&full), 2);
    // The handle is not a section: a grace period elapses, and only the cell drops its share.
    cell.store(Arc::new(drops.value(2)));
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(Arc::strong_count(&full), 1);
    assert_eq!((full.label(), drops.count()), (1, 0));
    drop(full);
    assert_eq!(drops.count(), 1);
    drop(cell);
    drops.reach(2);
}

#[test]
fn concurrent_updates_lose_none_and_free_each_version_once() {
    const WRITERS: u32 = 4;
    const UPDATES: u32 = 300;
    let rcu = Rcu::new();
    let drops = Drops::default();
    let made = AtomicUsize::new(1);
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    let next = |label| {
        made.fetch_add(1, Ordering::Relaxed);
        drops.value(label)
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (cell, next) = (&cell, &next);
            scope.spawn(move || {
                for i in 0..UPDATES {
                    if (i + writer) % 2 == 0 {
                        let old = cell.update(|current| next(current.label() + 1));
                        old.label();
                    } else {
                        let result = cell.try_update(|current| match current.label() {
                            u32::MAX => Err(()),
                            label => Ok(next(label + 1)),
                        });
                        assert!(result.is_ok());
                    }
                    assert!(cell.with(|value| value.label()) > i);
                }
            });
        }
    });
    assert_eq!(cell.read().label(), WRITERS * UPDATES);
    drop(cell);
    drops.reach(made.into_inner());
}

#[test]
fn concurrent_stores_and_swaps_free_each_version_once() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(0));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (cell, drops) = (&cell, &drops);
            scope.spawn(move || {
                for i in 0..300 {
                    match (i + writer) % 3 {
                        0 => cell.store(drops.value(i)),
                        1 => drop(cell.swap(drops.value(i))),
                        _ => drop(cell.swap(drops.value(i)).wait()),
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    cell.with(|value| value.label());
                    cell.read_owned().label();
                }
            });
        }
    });
    drop(cell);
    drops.reach(901);
}

#[test]
fn a_value_without_a_size_in_memory_is_a_value_like_any_other() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static MADE: AtomicUsize = AtomicUsize::new(0);
    struct Nothing;
    impl Nothing {
        fn new() -> Self {
            MADE.fetch_add(1, Ordering::SeqCst);
            Nothing
        }
    }
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, Nothing::new());
    let section = rcu.read_owned();
    cell.store(Nothing::new());
    drop(cell.swap(Nothing::new()));
    drop(cell.update(|_| Nothing::new()));
    assert_eq!(DROPS.load(Ordering::SeqCst), 0);
    drop(section);
    let last = cell.swap(Nothing::new()).blocking_wait();
    drop(last);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..100).for_each(|_| drop(cell.update(|_| Nothing::new()))));
        }
    });
    drop(settle(cell.into_retired().wait()));
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(DROPS.load(Ordering::SeqCst), MADE.load(Ordering::SeqCst));
}

#[test]
fn a_value_may_be_large_or_of_unusual_alignment() {
    #[derive(Clone, Copy)]
    #[repr(align(256))]
    struct Page([u8; 8192]);
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, Page([1; 8192]));
    cell.store(Page([2; 8192]));
    let page = cell.swap(Page([3; 8192])).blocking_wait();
    assert!(page.0.iter().all(|&byte| byte == 2));
    let value = cell.read();
    assert!(std::ptr::from_ref(&*value).is_aligned());
    assert_eq!(value.0[8191], 3);
}

#[test]
fn cells_have_the_usual_traits() {
    #[derive(Debug, Default)]
    struct Named {
        answer: u32,
    }
    let cell = RcuCell::from(Named { answer: 42 });
    assert!(format!("{cell:?}").contains("Named { answer: 42 }"));
    assert_eq!(RcuCell::<Named>::default().read().answer, 0);
    assert!(format!("{:?}", cell.read()).contains("42"));
    assert!(format!("{:?}", cell.read_owned()).contains("42"));
}

#[test]
fn objects_of_a_domain_return_the_domain() {
    let rcu = Rcu::default();
    let other = Rcu::new();
    assert!(!rcu.same_domain(&other));
    let cell = RcuCell::new_in(&rcu, 1);
    assert!(cell.swap(2).rcu().same_domain(&rcu));
    let deferred = RetireOnDrop::new_in(&rcu, 1);
    assert!(RetireOnDrop::rcu(&deferred).same_domain(&rcu));
    assert!(RcuPtr::<u32>::default().rcu().same_domain(Rcu::global()));
    assert!(RcuPtr::from(Box::new(1)).rcu().same_domain(Rcu::global()));
}
