//! Replacing a value that owns memory: what the drop frees was allocated by the writer.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit};
use crate::common::timed;
use async_rcu::executor::CallingThread;
use async_rcu::{Rcu, RcuCell};
use crossbeam_epoch as epoch;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "replace a string",
    about: "Replace a String of 32 bytes and retire the old one, without a reader; the cost for \
            the writer's thread.",
    unit: Unit::Nanoseconds,
    goals: &[Goal::AtMost(1.0, "seize")],
    most_rounds: usize::MAX,
    set_up,
}];

fn value(n: u64) -> String {
    let mut value = String::with_capacity(32);
    value.push(char::from(b'a' + (n % 26) as u8));
    value
}

fn boxed(n: u64) -> *mut String {
    Box::into_raw(Box::new(value(n)))
}

fn ours(name: &str, rcu: Rcu) -> Candidate {
    let cell = RcuCell::new_in(&rcu, value(0));
    Candidate::looped(name, move |n| {
        let took = timed(n, || cell.store(value(n)));
        rcu.blocking_drain();
        took
    })
}

fn set_up() -> Vec<Candidate> {
    let calling = Rcu::builder().executor(CallingThread).build().expect("a domain");
    let shared = epoch::Atomic::new(value(0));
    let collector = seize::Collector::new();
    let (seized, plain) = (AtomicPtr::new(boxed(0)), AtomicPtr::new(boxed(0)));
    vec![
        ours(OURS, calling),
        ours("async-rcu, WorkerThread", Rcu::new()),
        Candidate::looped("crossbeam-epoch", move |n| {
            timed(n, || {
                let guard = epoch::pin();
                let old = shared.swap(epoch::Owned::new(value(n)), Ordering::AcqRel, &guard);
                // SAFETY: the value was taken out here, once.
                unsafe { guard.defer_destroy(old) };
            })
        }),
        Candidate::looped("seize", move |n| {
            timed(n, || {
                let old = seized.swap(boxed(n), Ordering::AcqRel);
                // SAFETY: the value comes from a box, and was taken out here, once.
                unsafe { collector.retire(old, seize::reclaim::boxed) };
            })
        }),
        Candidate::looped("exchange and free (nothing protects it)", move |n| {
            timed(n, || {
                let old = plain.swap(boxed(n), Ordering::AcqRel);
                // SAFETY: the value was taken out here, once, and nothing reads it.
                drop(unsafe { Box::from_raw(old) });
            })
        }),
    ]
}
