//! Tests of the models: the well-known litmus tests. The correct program is the strongest form of
//! each test. Weaker forms are its faults, which show exactly where the processor's manual allows
//! it. Without the litmus tests, a protocol program that passes could mean that the models find
//! nothing.

use super::{ALL, ASYMMETRIC, Case, WEAK, broken, hang, lost};
use crate::explorer::expr::r;
use crate::explorer::program::{Failure, Program, Thread};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// Adds variables in which the threads tell their registers to the check at the end.
fn told(p: &mut Program, all: &[&'static str]) {
    p.variables(&[("x", 0), ("y", 0)]);
    all.iter().for_each(|name| p.variable(name, u8::MAX));
}

fn tell(t: &mut Thread, register: &'static str) {
    t.store(register, r(register), Relaxed);
}

/// Each thread stores to its variable, then loads the other thread's. At least one of them sees the
/// other's store.
pub(crate) const STORE_BUFFERING: Case = Case {
    name: "store_buffering",
    build: |p| {
        told(p, &["a", "b"]);
        for (name, mine, other, seen) in [("one", "x", "y", "a"), ("two", "y", "x", "b")] {
            p.thread(name, |t| {
                let strong = match t.bad("release and acquire") {
                    true => (Release, Acquire),
                    false => (SeqCst, SeqCst),
                };
                if t.bad("light against light") {
                    t.store(mine, 1, Relaxed);
                    t.light();
                    t.load(seen, other, Relaxed);
                } else if t.bad("an AcqRel read-modify-write for a fence") {
                    t.rmw("_", mine, 1, AcqRel);
                    t.load(seen, other, Acquire);
                } else {
                    t.store(mine, 1, strong.0);
                    t.load(seen, other, strong.1);
                }
                tell(t, seen);
            });
        }
        p.finally(Failure::Broken, "neither saw the other", |v| v("a") != 0 || v("b") != 0);
    },
    floor: 10,
    faults: &[
        broken("release and acquire", ALL),
        broken("light against light", ASYMMETRIC),
        broken("an AcqRel read-modify-write for a fence", WEAK),
    ],
};

/// As `store_buffering`, with a light fence in one thread and a heavy one in the other.
pub(crate) const LIGHT_AND_HEAVY: Case = Case {
    name: "light_and_heavy",
    build: |p| {
        told(p, &["a", "b"]);
        p.thread("light", |t| {
            t.store("x", 1, Relaxed);
            t.light();
            t.load("a", "y", Relaxed);
            tell(t, "a");
        });
        p.thread("heavy", |t| {
            t.store("y", 1, Relaxed);
            match t.bad("a fence for the heavy one") {
                true => t.fence(),
                false => t.heavy(),
            }
            t.load("b", "x", Relaxed);
            tell(t, "b");
        });
        p.finally(Failure::Broken, "neither saw the other", |v| v("a") != 0 || v("b") != 0);
    },
    floor: 10,
    faults: &[broken("a fence for the heavy one", ASYMMETRIC)],
};

/// One thread writes data, then a flag. The other reads the flag, branches, and reads the data.
pub(crate) const MESSAGE: Case = Case {
    name: "message",
    build: |p| {
        told(p, &["a"]);
        p.thread("sender", |t| {
            t.store("x", 1, Relaxed);
            match t.bad("the flag is stored Relaxed") {
                true => t.store("y", 1, Relaxed),
                false => t.store("y", 1, Release),
            }
        });
        p.thread("receiver", |t| {
            let none = t.label();
            match t.bad("the flag is loaded Relaxed, and a branch taken on it") {
                true => t.load("flag", "y", Relaxed),
                false => t.load("flag", "y", Acquire),
            }
            t.go_if(r("flag").not(), none);
            t.load("a", "x", Relaxed);
            tell(t, "a");
            t.bind(none);
        });
        p.finally(Failure::Broken, "the receiver sees the flag without the data", |v| v("a") != 0);
    },
    floor: 5,
    faults: &[
        broken("the flag is stored Relaxed", WEAK),
        broken("the flag is loaded Relaxed, and a branch taken on it", WEAK),
    ],
};

/// Each thread loads one variable, then stores to the other one. Not both loads see the other
/// thread's store. A dependency of the store on the load is enough for that.
pub(crate) const LOAD_BUFFERING: Case = Case {
    name: "load_buffering",
    build: |p| {
        told(p, &["a", "b"]);
        for (name, from, to, seen) in [("one", "x", "y", "a"), ("two", "y", "x", "b")] {
            p.thread(name, |t| {
                t.load(seen, from, Relaxed);
                match t.bad("the store depends on nothing") {
                    true => t.store(to, 1, Relaxed),
                    false => t.store(to, r(seen).plus(1).min(1), Relaxed),
                }
                tell(t, seen);
            });
        }
        p.finally(Failure::Broken, "both loads see the other thread's later store", |v| {
            v("a") != 1 || v("b") != 1
        });
    },
    floor: 5,
    faults: &[broken("the store depends on nothing", WEAK)],
};

/// Two readers of two independent stores agree on which store came first, because a store reaches
/// all processors at once.
pub(crate) const COPIES: Case = Case {
    name: "copies",
    build: |p| {
        told(p, &["a", "b", "c", "d"]);
        p.thread("store x", |t| t.store("x", 1, Relaxed));
        p.thread("store y", |t| t.store("y", 1, Relaxed));
        let order = |t: &Thread| -> Ordering {
            match t.bad("loads are Relaxed") {
                true => Relaxed,
                false => Acquire,
            }
        };
        p.thread("x, y", |t| {
            t.load("a", "x", order(t));
            t.load("b", "y", order(t));
            tell(t, "a");
            tell(t, "b");
        });
        p.thread("y, x", |t| {
            t.load("c", "y", order(t));
            t.load("d", "x", order(t));
            tell(t, "c");
            tell(t, "d");
        });
        p.finally(Failure::Broken, "the readers disagree on the order of the stores", |v| {
            (v("a"), v("b"), v("c"), v("d")) != (1, 0, 1, 0)
        });
    },
    floor: 50,
    faults: &[broken("loads are Relaxed", WEAK)],
};

/// Two threads increment a variable, and a third reads it twice. No increment is lost, and the
/// second read does not see an older value.
pub(crate) const ATOMIC: Case = Case {
    name: "atomic",
    build: |p| {
        told(p, &["a", "b"]);
        for name in ["one", "two"] {
            p.thread(name, |t| {
                if t.bad("a load and a store") {
                    t.load("x", "x", Acquire);
                    t.store("x", r("x").plus(1), Release);
                } else {
                    t.rmw("x", "x", r("x").plus(1), Relaxed);
                }
            });
        }
        p.thread("reader", |t| {
            t.load("a", "x", Relaxed);
            t.load("b", "x", Relaxed);
            t.check(r("b").reaches("a"), Failure::Broken, "the second load returns an older value");
        });
        p.finally(Failure::LostWork, "one increment is lost", |v| v("x") == 2);
    },
    floor: 10,
    faults: &[lost("a load and a store", ALL)],
};

/// A Relaxed store may become visible before an earlier increment of another variable.
pub(crate) const PASSING: Case = Case {
    name: "passing",
    build: |p| {
        told(p, &["a"]);
        p.thread("one", |t| {
            t.rmw("_", "x", 1, AcqRel);
            match t.bad("the store is Relaxed") {
                true => t.store("y", 1, Relaxed),
                false => t.store("y", 1, Release),
            }
        });
        p.thread("two", |t| {
            let none = t.label();
            t.load("y", "y", Acquire);
            t.go_if(r("y").not(), none);
            t.load("a", "x", Acquire);
            tell(t, "a");
            t.bind(none);
        });
        p.finally(Failure::Broken, "the store is visible without the earlier increment", |v| {
            v("a") != 0
        });
    },
    floor: 5,
    faults: &[broken("the store is Relaxed", WEAK)],
};

/// Two threads take two locks in turn. The faults hang: crossed locks, a wait that never ends, and
/// a loop that never ends.
pub(crate) const LOCKS: Case = Case {
    name: "locks",
    build: |p| {
        p.variables(&[("x", 0), ("y", 0), ("never", 0)]);
        let crossed = p.bad("taken the other way round");
        for (name, swapped) in [("one", false), ("two", crossed)] {
            p.thread(name, |t| {
                let (first, second) = if swapped { ("y", "x") } else { ("x", "y") };
                t.lock(first);
                t.lock(second);
                t.unlock(second);
                t.unlock(first);
                if t.bad("somebody goes in circles") {
                    let top = t.here();
                    t.load("n", "never", Relaxed);
                    t.go_if(r("n").not(), top);
                }
                if t.bad("somebody waits for nothing") {
                    t.wait("n", "never", r("n"));
                }
            });
        }
    },
    floor: 10,
    faults: &[
        hang("taken the other way round", ALL),
        hang("somebody waits for nothing", ALL),
        hang("somebody goes in circles", ALL),
    ],
};
