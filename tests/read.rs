//! A section lasts from the first guard to the last, in any order of their drops, and ends in no
//! other way.

mod common;

use async_rcu::{OwnedReadGuard, Rcu, RcuCell, ReadGuard};
use common::{Drops, Probe, Tracked, elapses, newcomers_find_free_places, panic_message, started};
use std::mem;
use std::thread;

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
#[should_panic(expected = "no section blocks the grace period")]
fn the_probe_of_these_tests_can_fail() {
    Probe::new(&Rcu::new()).held_up();
}

#[test]
fn guards_nest_and_are_dropped_in_any_order() {
    let rcu = Rcu::new();
    for order in ORDERS {
        for dropped in 0..order.len() {
            let probe = Probe::new(&rcu);
            let mut guards = [Some(rcu.read()), Some(rcu.read()), Some(rcu.read())];
            for &i in &order[..dropped] {
                guards[i] = None;
            }
            let gp = probe.held_up();
            for &i in &order[dropped..] {
                guards[i] = None;
            }
            elapses(&rcu, gp);
        }
    }
}

#[test]
fn sections_of_one_thread_are_counted_over_all_clones_of_the_handle() {
    let rcu = Rcu::new();
    let clone = rcu.clone();
    let probe = Probe::new(&rcu);
    let first = rcu.read();
    let second = clone.read();
    drop(first);
    let gp = probe.held_up();
    assert!(!clone.has_elapsed(gp));
    drop(second);
    elapses(&clone, gp);
}

#[test]
fn a_section_begun_after_the_start_holds_nothing_up() {
    let rcu = Rcu::new();
    let before = rcu.read_owned();
    let gp = started(&rcu);
    let _after = rcu.read();
    drop(before);
    elapses(&rcu, gp);
}

#[test]
fn refresh_lets_grace_periods_pass_and_goes_on_protecting() {
    let rcu = Rcu::new();
    let mut guard = rcu.read();
    let before = started(&rcu);
    assert!(!rcu.has_elapsed(before));
    assert!(guard.refresh());
    elapses(&rcu, before);

    let probe = Probe::new(&rcu);
    assert!(guard.refresh());
    let after = probe.held_up();
    drop(guard);
    elapses(&rcu, after);
}

#[test]
fn refresh_of_a_nested_guard_does_nothing() {
    let rcu = Rcu::new();
    let probe = Probe::new(&rcu);
    let mut outer = rcu.read();
    let mut inner = rcu.read();
    let gp = started(&rcu);
    assert!(!outer.refresh());
    assert!(!inner.refresh());
    probe.held_up();
    assert!(!rcu.has_elapsed(gp));
    // The remaining guard is the outermost, whichever guard was first.
    drop(outer);
    assert!(!rcu.has_elapsed(gp));
    assert!(inner.refresh());
    elapses(&rcu, gp);
}

#[test]
fn a_guard_of_another_domain_does_not_keep_refresh_from_its_work() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let _other = other.read();
    let mut guard = rcu.read();
    let gp = started(&rcu);
    assert!(guard.refresh());
    elapses(&rcu, gp);
}

#[test]
fn a_refreshed_guard_sees_the_newest_version_and_the_old_one_goes() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let mut guard = rcu.read();
    let old = cell.load(&guard);
    cell.store(drops.value(2));
    probe.held_up();
    assert_eq!(cell.load(&guard).label(), 2);
    assert_eq!((old.label(), drops.count()), (1, 0));
    assert!(guard.refresh());
    drops.reach(1);
    assert_eq!(cell.load(&guard).label(), 2);
}

#[test]
fn a_guard_of_another_domain_gives_no_access() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let cell = RcuCell::new_in(&rcu, 7);
    let guard = other.read();
    let message = panic_message(|| {
        cell.load(&guard);
    });
    assert!(message.contains("another"), "{message}");
    let owned = other.read_owned();
    let message = panic_message(|| {
        cell.load(&owned);
    });
    assert!(message.contains("another"), "{message}");
    // An outer section of the cell's own domain makes no difference.
    let own = rcu.read();
    panic_message(|| {
        cell.load(&guard);
    });
    assert_eq!(*cell.load(&own), 7);
    assert_eq!(*cell.load(&rcu.clone().read_owned()), 7);
}

#[test]
fn a_leaked_guard_protects_for_ever() {
    let rcu: &'static Rcu = Box::leak(Box::new(Rcu::new()));
    let drops = Drops::default();
    let cell = RcuCell::new_in(rcu, drops.value(1));
    let probe = Probe::new(rcu);
    let guard: &'static ReadGuard<'static> = Box::leak(Box::new(rcu.read()));
    let value: &'static Tracked = cell.load(guard);
    drop(cell);
    probe.held_up();
    assert_eq!(drops.count(), 0);
    assert_eq!(value.label(), 1);
}

#[test]
fn a_leaked_guard_protects_for_ever_after_its_thread_has_ended() {
    type Leak = fn(&'static Rcu, &RcuCell<Tracked>) -> Option<&'static Tracked>;
    let leaks: [Leak; 4] = [
        |rcu, _| {
            mem::forget(rcu.read());
            None
        },
        |rcu, _| {
            mem::forget(rcu.read_owned());
            None
        },
        |rcu, cell| {
            let guard: &'static ReadGuard<'static> = Box::leak(Box::new(rcu.read()));
            Some(cell.load(guard))
        },
        |rcu, cell| {
            let guard: &'static OwnedReadGuard = Box::leak(Box::new(rcu.read_owned()));
            Some(cell.load(guard))
        },
    ];
    for leak in leaks {
        let rcu: &'static Rcu = Box::leak(Box::new(Rcu::new()));
        let drops = Drops::default();
        let cell = RcuCell::new_in(rcu, drops.value(1));
        let probe = Probe::new(rcu);
        let value = thread::scope(|scope| scope.spawn(|| leak(rcu, &cell)).join().unwrap());
        // Later threads do not take over the record of the leaked guard.
        newcomers_find_free_places(rcu);
        cell.store(drops.value(2));
        probe.held_up();
        assert_eq!(drops.count(), 0);
        if let Some(value) = value {
            assert_eq!(value.label(), 1);
        }
        assert_eq!(cell.read().label(), 2);
    }
}

#[test]
fn a_leaked_inner_guard_keeps_the_section_open() {
    let rcu: &'static Rcu = Box::leak(Box::new(Rcu::new()));
    let probe = Probe::new(rcu);
    let outer = rcu.read();
    mem::forget(rcu.read());
    drop(outer);
    let gp = probe.held_up();
    let mut guard = rcu.read();
    assert!(!guard.refresh(), "the refresh moved the section of the leaked guard");
    drop(guard);
    assert!(!rcu.has_elapsed(gp));
}

#[test]
fn two_domains_in_turn_keep_their_sections_apart() {
    let (a, b) = (Rcu::new(), Rcu::new());
    let (cell_a, cell_b) = (RcuCell::new_in(&a, 'a'), RcuCell::new_in(&b, 'b'));
    for _ in 0..3 {
        let probe = Probe::new(&a);
        let first = a.read();
        let in_b = b.read();
        let second = a.read();
        assert_eq!(
            (*cell_a.load(&first), *cell_b.load(&in_b), *cell_a.load(&second)),
            ('a', 'b', 'a')
        );
        drop(in_b);
        let gp_b = started(&b);
        elapses(&b, gp_b);
        drop(first);
        let gp_a = probe.held_up();
        drop(second);
        elapses(&a, gp_a);
    }
}

#[test]
fn many_domains_on_one_thread_keep_their_sections_apart() {
    let domains: Vec<Rcu> = (0..8).map(|_| Rcu::new()).collect();
    let probes: Vec<Probe> = domains.iter().map(Probe::new).collect();
    let mut outer: Vec<_> = domains.iter().map(|rcu| Some(rcu.read())).collect();
    let inner: Vec<_> = domains.iter().rev().map(Rcu::read).collect();
    drop(inner);
    let held: Vec<_> = probes.into_iter().map(Probe::held_up).collect();
    for i in [3, 0, 7, 5, 1, 6, 2, 4] {
        outer[i] = None;
        elapses(&domains[i], held[i]);
        for j in (0..domains.len()).filter(|&j| outer[j].is_some()) {
            assert!(!domains[j].has_elapsed(held[j]));
        }
    }
}

#[test]
fn register_thread_registers_until_it_is_dropped() {
    let rcu = Rcu::new();
    let before = rcu.stats().threads;
    let registration = rcu.register_thread();
    assert_eq!(rcu.stats().threads, before + 1);
    drop(rcu.read());
    assert_eq!(rcu.stats().threads, before + 1, "the registered thread has its record already");
    drop(registration);
    assert_eq!(rcu.stats().threads, before);
    // The next read takes a record by itself.
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    assert_eq!(rcu.stats().threads, before + 1);
    let gp = probe.held_up();
    drop(guard);
    elapses(&rcu, gp);
}

#[test]
fn a_registration_dropped_inside_a_section_does_not_end_it() {
    let rcu = Rcu::new();
    let probe = Probe::new(&rcu);
    let registration = rcu.register_thread();
    let guard = rcu.read();
    drop(registration);
    // The domain still knows that the thread is in a section.
    panic_message(|| rcu.blocking_synchronize());
    let mut inner = rcu.read();
    assert!(!inner.refresh());
    drop(guard);
    let gp = probe.held_up();
    drop(inner);
    elapses(&rcu, gp);
}
