//! A reference into a cell, to the whole value or to a part, has a section of its own and may
//! outlive the cell.

mod common;

use async_rcu::{Rcu, RcuCell, RcuRef, cell::OwnedRcuRef};
use common::{Drops, Probe, Tracked, elapses, panic_message, started};

struct Pair {
    left: Tracked,
    right: Option<Tracked>,
}

fn pair(drops: &Drops, left: u32, right: Option<u32>) -> Pair {
    Pair { left: drops.value(left), right: right.map(|label| drops.value(label)) }
}

#[test]
fn a_reference_is_a_section() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let value = cell.read();
    cell.store(drops.value(2));
    let gp = probe.held_up();
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(value);
    elapses(&rcu, gp);
    drops.reach(1);
}

#[test]
fn map_leads_to_a_part_and_keeps_the_section() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, pair(&drops, 1, None));
    let probe = Probe::new(&rcu);
    let left: RcuRef<'_, Tracked> = RcuRef::map(cell.read(), |pair| &pair.left);
    cell.store(pair(&drops, 2, None));
    let gp = probe.held_up();
    assert_eq!((left.label(), drops.count()), (1, 0));
    drop(left);
    elapses(&rcu, gp);
    drops.reach(1);
}

#[test]
fn filter_map_leads_to_a_part_or_gives_the_reference_back() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, pair(&drops, 1, Some(2)));
    let right = RcuRef::filter_map(cell.read(), |pair| pair.right.as_ref());
    assert_eq!(right.map(|right| right.label()).ok(), Some(2));

    cell.store(pair(&drops, 3, None));
    drops.reach(2);
    let probe = Probe::new(&rcu);
    let Err(whole) = RcuRef::filter_map(cell.read(), |pair| pair.right.as_ref()) else {
        panic!("there is no right part");
    };
    cell.store(pair(&drops, 4, None));
    let gp = probe.held_up();
    assert_eq!((whole.left.label(), drops.count()), (3, 2));
    drop(whole);
    elapses(&rcu, gp);
    drops.reach(3);
}

#[test]
fn a_map_that_panics_ends_the_section() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    panic_message(|| {
        let _ = RcuRef::map(cell.read(), |_| -> &u32 { panic!("no such part") });
    });
    panic_message(|| {
        let _ = OwnedRcuRef::map(cell.read_owned(), |_| -> &u32 { panic!("no such part") });
    });
    // No section is left open. The call would panic in a section of this thread, and would never
    // end if an owned section was open.
    rcu.blocking_synchronize();
}

#[test]
fn the_guard_of_a_reference_opens_other_cells_of_the_domain() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let (first, second) = (RcuCell::new_in(&rcu, 1), RcuCell::new_in(&rcu, 2));
    let foreign = RcuCell::new_in(&other, 3);

    let value = first.read();
    assert_eq!(*second.load(RcuRef::guard(&value)), 2);
    panic_message(|| {
        foreign.load(RcuRef::guard(&value));
    });
    let owned = first.read_owned();
    assert_eq!(*second.load(OwnedRcuRef::guard(&owned)), 2);
    panic_message(|| {
        foreign.load(OwnedRcuRef::guard(&owned));
    });
}

#[test]
fn an_owned_reference_is_a_section_wherever_it_is() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, pair(&drops, 1, None));
    let probe = Probe::new(&rcu);
    let left: OwnedRcuRef<Tracked> = OwnedRcuRef::map(cell.read_owned(), |pair| &pair.left);
    cell.store(pair(&drops, 2, None));
    let gp = probe.held_up();
    let left = std::thread::spawn(move || {
        assert_eq!(left.label(), 1);
        left
    })
    .join()
    .unwrap();
    assert!(!rcu.has_elapsed(gp));
    assert_eq!((left.label(), drops.count()), (1, 0));
    std::thread::spawn(move || drop(left)).join().unwrap();
    elapses(&rcu, gp);
    drops.reach(1);
}

#[test]
fn reload_moves_an_owned_reference_to_the_newest_version() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let mut value = cell.read_owned();
    cell.store(drops.value(2));
    // A section that is reloaded before the start would block the grace period too. So the reload
    // comes after the start.
    started(&rcu);
    assert_eq!((value.label(), drops.count()), (1, 0));
    OwnedRcuRef::reload(&mut value, &cell);
    assert_eq!(value.label(), 2);
    drops.reach(1);

    // The reference moves to another cell of the domain, and protects the new value as before.
    let second = RcuCell::new_in(&rcu, drops.value(3));
    let probe = Probe::new(&rcu);
    OwnedRcuRef::reload(&mut value, &second);
    drop(second);
    probe.held_up();
    assert_eq!((value.label(), drops.count()), (3, 1));
    drop(value);
    drops.reach(2);
}

#[test]
fn reload_from_another_domain_panics_and_leaves_the_reference() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let foreign = RcuCell::new_in(&other, drops.value(2));
    let probe = Probe::new(&rcu);
    let mut value = cell.read_owned();
    cell.store(drops.value(3));
    let gp = started(&rcu);
    let message = panic_message(|| OwnedRcuRef::reload(&mut value, &foreign));
    assert!(message.contains("another"), "{message}");
    // The reference's section is unchanged.
    probe.held_up();
    assert!(!rcu.has_elapsed(gp));
    assert_eq!((value.label(), drops.count()), (1, 0));
}

#[test]
fn a_reference_under_a_guard_outlives_its_cell() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let value = cell.load(&guard);
    drop(cell);
    let gp = probe.held_up();
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(guard);
    elapses(&rcu, gp);
    drops.reach(1);
}

#[test]
fn a_reference_under_an_owned_guard_outlives_its_cell() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let cell = RcuCell::new_in(&rcu, drops.value(1));
    let probe = Probe::new(&rcu);
    let guard = rcu.read_owned();
    let value = cell.load(&guard);
    drop(cell);
    probe.held_up();
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(guard);
    drops.reach(1);
}

#[test]
fn an_owned_reference_outlives_its_cell_and_every_handle() {
    let drops = Drops::default();
    let value = {
        let rcu = Rcu::new();
        let cell = RcuCell::new_in(&rcu, drops.value(1));
        let probe = Probe::new(&rcu);
        let value = cell.read_owned();
        drop(cell);
        probe.held_up();
        value
    };
    assert_eq!((value.label(), drops.count()), (1, 0));
    drop(value);
    drops.reach(1);
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
