//! The programs, by theme, and what each must find.

pub(crate) mod cells;
pub(crate) mod litmus;
pub(crate) mod owned;
pub(crate) mod requests;
pub(crate) mod sections;
pub(crate) mod sleep;
pub(crate) mod stop;

use super::program::{Failure, Program};

/// Under which models and barriers something is found, as bits.
pub(crate) type Seen = u8;
pub(crate) const TSO_ASYMMETRIC: Seen = 1;
pub(crate) const TSO_FENCE: Seen = 2;
pub(crate) const WEAK_ASYMMETRIC: Seen = 4;
pub(crate) const WEAK_FENCE: Seen = 8;
pub(crate) const ALL: Seen = 15;
pub(crate) const WEAK: Seen = WEAK_ASYMMETRIC | WEAK_FENCE;
pub(crate) const ASYMMETRIC: Seen = TSO_ASYMMETRIC | WEAK_ASYMMETRIC;
pub(crate) const FENCE: Seen = TSO_FENCE | WEAK_FENCE;
/// Right on these processors: wrong by the rules of the language, or on one that is not multi-copy
/// atomic, or needless.
pub(crate) const NOWHERE: Seen = 0;

/// A program, the least states that a search of it must have seen, and its faults.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) build: fn(&mut Program),
    pub(crate) floor: usize,
    pub(crate) faults: &'static [Fault],
}

/// What is left out or weakened, how that shows, and where. Where it is not listed, it must not
/// show: so the tables say what only one of the models, or one of the modes, can tell.
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
