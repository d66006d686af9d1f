//! Doing nothing.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit};
use crate::probe::probe;
use crate::urcu::flavours;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "idle",
    about: "Context switches of all threads but the main one, in 10 s in which nothing is done, after some work; in a process of its own.",
    unit: Unit::Count,
    goals: &[Goal::Below(0.0)],
    most_rounds: 1,
    set_up: idle,
}];

fn idle() -> Vec<Candidate> {
    let of = |name: &str, what: &'static str| {
        Candidate::new(name, move || {
            probe(what).map_or(f64::NAN, |figures| figures[0])
        })
    };
    let mut all = vec![of(OURS, "idle-ours")];
    if !flavours().is_empty() {
        all.push(of("liburcu memb", "idle-memb"));
        all.push(of("liburcu memb, real-time worker", "idle-memb-rt"));
    }
    all
}
