//! The programs, by theme, and the faults of each.

pub(crate) mod cells;
pub(crate) mod litmus;
pub(crate) mod owned;
pub(crate) mod requests;
pub(crate) mod sections;
pub(crate) mod sleep;
pub(crate) mod stop;

use super::program::{Failure, Program};

/// The models and barrier modes under which a fault shows, as bits.
pub(crate) type Seen = u8;
pub(crate) const TSO_ASYMMETRIC: Seen = 1;
pub(crate) const TSO_FENCE: Seen = 2;
pub(crate) const WEAK_ASYMMETRIC: Seen = 4;
pub(crate) const WEAK_FENCE: Seen = 8;
pub(crate) const ALL: Seen = 15;
pub(crate) const WEAK: Seen = WEAK_ASYMMETRIC | WEAK_FENCE;
pub(crate) const ASYMMETRIC: Seen = TSO_ASYMMETRIC | WEAK_ASYMMETRIC;
pub(crate) const FENCE: Seen = TSO_FENCE | WEAK_FENCE;
/// The fault does not show in these models. With it the program is wrong only by the rules of the
/// language, or on a processor that is not multi-copy atomic, or the program is still correct.
pub(crate) const NOWHERE: Seen = 0;

/// A program, its faults, and the least number of states that a search must have seen (`floor`).
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) build: fn(&mut Program),
    pub(crate) floor: usize,
    pub(crate) faults: &'static [Fault],
}

/// A fault of a program, how the program fails with it, and where (`seen`). The program must not
/// fail elsewhere. So the tables say which faults only one model or one mode can show.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) failure: Failure,
    pub(crate) seen: Seen,
}

pub(crate) const fn uaf(name: &'static str, seen: Seen) -> Fault {
    Fault { name, failure: Failure::UseAfterFree, seen }
}

pub(crate) const fn hang(name: &'static str, seen: Seen) -> Fault {
    Fault { name, failure: Failure::Hang, seen }
}

pub(crate) const fn lost(name: &'static str, seen: Seen) -> Fault {
    Fault { name, failure: Failure::LostWork, seen }
}

pub(crate) const fn broken(name: &'static str, seen: Seen) -> Fault {
    Fault { name, failure: Failure::Broken, seen }
}
