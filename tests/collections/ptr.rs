//! `RcuPtr`: a loaded value stays for the whole section, and an exchange compares addresses
//! exactly.

use crate::common::{Drops, HANG_GUARD, Probe, panic_message, settle};
use async_rcu::{Rcu, RcuPtr, Retired};
use proptest::prelude::*;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn boxed<T>(value: T) -> Option<Box<T>> {
    Some(Box::new(value))
}

#[test]
fn a_static_pointer_begins_null_and_takes_values() {
    static POINTER: RcuPtr<String> = RcuPtr::null();
    assert!(POINTER.is_null());
    let rcu = Rcu::global();
    assert!(POINTER.load(&rcu.read()).is_none());
    assert!(POINTER.swap(boxed("one".to_owned())).is_none());
    assert!(!POINTER.is_null());
    assert_eq!(POINTER.load(&rcu.read_owned()).unwrap(), "one");
    let old = POINTER.swap(None).unwrap();
    assert_eq!(*old, "one");
    assert_eq!(*old.blocking_wait(), "one");
    assert_eq!(format!("{POINTER:?}"), "RcuPtr(None)");
}

#[test]
fn a_guard_of_another_domain_is_refused() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let pointer = RcuPtr::new_in(&rcu, boxed(1));
    for message in [
        panic_message(|| assert!(pointer.load(&other.read()).is_none())),
        panic_message(|| {
            let _ = pointer.compare_exchange(None, None, &other.read_owned());
        }),
        panic_message(|| assert!(RcuPtr::<u32>::null().load(&other.read()).is_none())),
    ] {
        assert!(message.contains("another Rcu than the RcuPtr"), "{message}");
    }
    assert!(rcu.same_domain(pointer.rcu()));
    assert_eq!(pointer.load(&rcu.read()), Some(&1));
}

#[test]
fn what_is_stored_over_is_dropped_when_its_readers_have_left() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let pointer = RcuPtr::new_in(&rcu, boxed(drops.value(1)));
    let probe = Probe::new(&rcu);
    let guard = rcu.read();
    let old = pointer.load(&guard).unwrap();
    pointer.store(boxed(drops.value(2)));
    probe.held_up();
    assert_eq!((old.label(), drops.count()), (1, 0));
    drop(guard);
    drops.reach(1);
    // A reference outlives the pointer.
    let guard = rcu.read();
    let last = pointer.load(&guard).unwrap();
    let retired = pointer.into_retired().unwrap();
    assert_eq!((last.label(), retired.label()), (2, 2));
    drop(guard);
    drop(settle(retired.wait()));
    drops.reach(2);
}

#[test]
fn an_exchange_succeeds_if_no_other_writer_came_between() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let pointer = RcuPtr::null_in(&rcu);
    let guard = rcu.read();
    assert!(pointer.compare_exchange(None, boxed(drops.value(1)), &guard).unwrap().is_none());
    let seen = pointer.load(&guard);
    let lost = pointer.compare_exchange(None, boxed(drops.value(2)), &guard).unwrap_err();
    assert_eq!(lost.to_string(), "the pointer was changed meanwhile");
    assert!(std::ptr::eq(lost.current.unwrap(), seen.unwrap()));
    let old = pointer.compare_exchange(seen, lost.new, &guard).unwrap().unwrap();
    assert_eq!((old.label(), pointer.load(&guard).unwrap().label()), (1, 2));
    // The exchanged value is still readable, and is not the current one.
    assert!(pointer.compare_exchange(Some(&old), None, &guard).is_err());
    assert!(pointer.compare_exchange(seen, None, &guard).is_err());
    drop(old);
    let now = pointer.load(&guard);
    assert_eq!(pointer.compare_exchange(now, None, &guard).unwrap().unwrap().label(), 2);
    assert!(pointer.is_null());
    drop(guard);
    drops.reach(2);
}

/// A type without a size that counts its drops.
#[derive(Debug)]
struct Nothing;
static NOTHINGS: AtomicUsize = AtomicUsize::new(0);
impl Drop for Nothing {
    fn drop(&mut self) {
        NOTHINGS.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn values_without_a_size_are_told_apart() {
    assert_eq!(size_of::<Nothing>(), 0);
    let rcu = Rcu::new();
    let pointer = RcuPtr::new_in(&rcu, boxed(Nothing));
    let guard = rcu.read();
    let first = pointer.load(&guard);
    // All boxes of such a type have the same address. The loaded value is not the current one.
    let retired = pointer.swap(boxed(Nothing)).unwrap();
    assert!(pointer.compare_exchange(first, None, &guard).is_err());
    assert!(pointer.compare_exchange(Some(&retired), None, &guard).is_err());
    let second = pointer.load(&guard);
    // A value of the type that never was in a pointer is not the current one either.
    let elsewhere = Box::new(Nothing);
    let beside = (Nothing, 1u8, Nothing);
    for foreign in [&*elsewhere, &beside.0, &beside.2] {
        assert!(pointer.compare_exchange(Some(foreign), None, &guard).is_err());
    }
    let lost = pointer.compare_exchange(None, boxed(Nothing), &guard).unwrap_err();
    assert!(std::ptr::eq(lost.current.unwrap(), second.unwrap()));
    // A refused exchange returns the new value's own box, and the exchange with the current value
    // succeeds.
    let old: Retired<Nothing> =
        pointer.compare_exchange(second, lost.new, &guard).unwrap().unwrap();
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 0);
    drop((elsewhere, beside));
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 3);
    drop(guard);
    drop(old.blocking_wait());
    drop(settle(retired.wait()));
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 5);
    drop(pointer);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(NOTHINGS.load(Ordering::SeqCst), 6);
}

#[test]
fn a_type_without_a_size_may_be_aligned() {
    #[derive(Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned;
    let pointer = RcuPtr::new(boxed(Aligned));
    let guard = Rcu::global().read();
    let seen = pointer.load(&guard).unwrap();
    assert!(std::ptr::from_ref(seen).is_aligned());
    let old = pointer.compare_exchange(Some(seen), None, &guard).unwrap().unwrap();
    drop(guard);
    assert_eq!(*old.blocking_wait(), Aligned);
}

#[test]
fn a_chain_is_freed_from_its_head_on_without_recursion() {
    struct Node {
        _value: crate::common::Tracked,
        next: RcuPtr<Node>,
    }
    let rcu = Rcu::new();
    let drops = Drops::default();
    let head: RcuPtr<Node> = RcuPtr::null_in(&rcu);
    for label in 0..100 {
        // A node can be linked only before it is published, so the chain is built from its end.
        let tail = RcuPtr::null_in(&rcu);
        let node = Node { _value: drops.value(label), next: tail };
        let guard = rcu.read();
        let mut place = &head;
        while let Some(node) = place.load(&guard) {
            place = &node.next;
        }
        assert!(place.compare_exchange(None, boxed(node), &guard).is_ok());
    }
    drop(head);
    rcu.force();
    drops.reach(100);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_what_an_option_of_a_box_does(
        steps in prop::collection::vec((0u8..4, any::<u32>()), 1..60),
    ) {
        let pointer = RcuPtr::<u32>::null();
        let mut model: Option<u32> = None;
        for (step, value) in steps {
            let guard = Rcu::global().read();
            let seen = pointer.load(&guard);
            prop_assert_eq!(seen, model.as_ref());
            match step {
                0 => {
                    let old = pointer.swap(boxed(value));
                    prop_assert_eq!(old.map(|old| *old), model.replace(value));
                }
                1 => {
                    let old = pointer.swap(None);
                    prop_assert_eq!(old.map(|old| *old), model.take());
                }
                2 => {
                    let old = pointer.compare_exchange(seen, boxed(value), &guard).unwrap();
                    prop_assert_eq!(old.map(|old| *old), model.replace(value));
                }
                _ => {
                    let other = Box::new(value);
                    let lost = pointer.compare_exchange(Some(&other), None, &guard).unwrap_err();
                    prop_assert_eq!(lost.current, model.as_ref());
                }
            }
        }
    }
}

/// Threads exchange concurrently, and readers read each value twice.
#[test]
fn torture() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let pointer = RcuPtr::new_in(&rcu, boxed(drops.value(0)));
    let made = AtomicUsize::new(1);
    crate::common::torture::torture(
        2,
        |run| {
            while run.goes_on() {
                let guard = rcu.read();
                if let Some(value) = pointer.load(&guard) {
                    let label = value.label();
                    thread::yield_now();
                    assert_eq!(value.label(), label);
                    run.saw(1);
                }
            }
        },
        |run, _| {
            let mut new = None;
            for round in run.rounds() {
                let guard = rcu.read();
                let seen = pointer.load(&guard);
                let value = new.take().unwrap_or_else(|| {
                    made.fetch_add(1, Ordering::Relaxed);
                    Box::new(drops.value(round))
                });
                match pointer.compare_exchange(seen, Some(value), &guard) {
                    Ok(old) => {
                        let seen = seen.map(std::ptr::from_ref);
                        assert_eq!(old.as_deref().map(std::ptr::from_ref), seen);
                    }
                    Err(lost) => new = lost.new,
                }
            }
        },
    );
    drop(pointer);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    drops.reach(made.load(Ordering::Relaxed));
}
