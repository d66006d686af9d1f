//! Watchers of a cell: which thread installs, which thread looks, and which version a slot names.

use super::{ALL, Case, WEAK, broken, uaf};
use crate::explorer::expr::r;
use crate::explorer::program::{Failure, Program, Thread};
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

fn weaker(weak: bool, order: Ordering) -> Ordering {
    if weak { order } else { SeqCst }
}

/// `Watched::renew`, with the cell's pointer read under the lock.
fn renew_slot(t: &mut Thread, order: Ordering) {
    t.of("Watched::renew");
    t.lock("lock");
    t.load("now", "p", order);
    t.store("slot", r("now"), Relaxed);
    t.unlock("lock");
}

/// The first subscription to a cell, while a writer stores.
pub(crate) const SUBSCRIBE: Case = Case {
    name: "subscribe",
    build: |p| {
        p.variables(&[("p", 0), ("installed", 0), ("watchers", 0)]);
        p.variables(&[("lock", 0), ("slot", 0)]);
        p.thread("writer", |t| {
            let nobody = t.label();
            t.of("RcuCell::swap");
            let order = weaker(t.bad("the writer's swap is AcqRel"), AcqRel);
            t.rmw("old", "p", 1, order);
            t.of("WatchLink::watched");
            let order = weaker(t.bad("the writer's look for watchers is Acquire"), Acquire);
            t.load("slot", "installed", order);
            t.go_if(r("slot").not(), nobody);
            t.load("watchers", "watchers", order);
            t.go_if(r("watchers").not(), nobody);
            renew_slot(t, SeqCst);
            t.bind(nobody);
        });
        p.thread("watcher", |t| {
            t.of("WatchLink::install");
            if t.bad("the watcher installs itself by stores") {
                t.store("installed", 1, Release);
                t.of("RcuCell::subscribe");
                t.store("watchers", 1, Release);
            } else {
                let order = weaker(t.bad("the watcher's count is AcqRel"), AcqRel);
                t.cas("_", "installed", 0, 1, order);
                t.of("RcuCell::subscribe");
                t.rmw("_w", "watchers", r("_w").plus(1), order);
            }
            let unlocked = t.bad("the watcher reads the cell Acquire");
            renew_slot(t, weaker(unlocked, Acquire));
        });
        p.finally(
            Failure::Broken,
            "the slot names a replaced version, and no thread tells the watcher",
            |value| value("slot") == value("p"),
        );
    },
    floor: 50,
    faults: &[
        broken("the writer's swap is AcqRel", WEAK),
        broken("the writer's look for watchers is Acquire", WEAK),
        broken("the watcher's count is AcqRel", WEAK),
        broken("the watcher installs itself by stores", WEAK),
        broken("the watcher reads the cell Acquire", WEAK),
    ],
};

/// The slot's value after the cell was dropped.
const NULL: u8 = 3;

/// A thread that takes the version in the slot: `Watcher::latest`.
fn watcher(t: &mut Thread) {
    let gone = t.label();
    let late = t.bad("the watcher's section begins behind the lock");
    if !late {
        enter(t, "w");
    }
    t.of("Watcher::latest");
    t.lock("lock");
    t.load("p", "slot", Relaxed);
    t.unlock("lock");
    if late {
        enter(t, "w");
    }
    t.go_if(r("p").is(NULL), gone);
    look(t);
    t.bind(gone);
    close(t, "w");
}

fn watched(p: &mut Program) {
    domain(p);
    p.variables(&[("v2", ALIVE), ("w", 0), ("lock", 0), ("slot", 0)]);
}

/// Two writers swap. Each renews the slot, and then retires the version that it took out.
pub(crate) const SLOT: Case = Case {
    name: "slot",
    build: |p| {
        watched(p);
        p.thread("watcher", watcher);
        for (name, version) in [("writer a", 1), ("writer b", 2)] {
            p.thread(name, move |t| {
                t.of("RcuCell::swap");
                t.rmw("old", "p", version, SeqCst);
                let late = t.bad("the slot is told behind the grace period's start");
                let tell = |t: &mut Thread| {
                    if t.bad("the slot gets what its writer has published") {
                        t.lock("lock");
                        t.store("slot", version, Relaxed);
                        t.unlock("lock");
                    } else {
                        renew_slot(t, SeqCst);
                    }
                };
                if !late {
                    tell(t);
                }
                let kept = t.label();
                start(t);
                if late {
                    tell(t);
                }
                scan_until(t, &["w"]);
                // Each writer frees the version that it took out.
                t.of("the free");
                for (old, state) in [(0, "v0"), (1, "v1"), (2, "v2")] {
                    let other = t.label();
                    t.go_if(r("old").is(old).not(), other);
                    t.store(state, FREED, Relaxed);
                    t.go(kept);
                    t.bind(other);
                }
                t.bind(kept);
            });
        }
        p.finally(Failure::Broken, "the slot names a version that is replaced", |value| {
            value("slot") == value("p")
        });
    },
    floor: 5000,
    faults: &[
        uaf("the slot gets what its writer has published", ALL),
        uaf("the slot is told behind the grace period's start", ALL),
        uaf("the watcher's section begins behind the lock", ALL),
    ],
};

/// The cell is dropped while a watcher takes the latest version.
pub(crate) const CLOSED: Case = Case {
    name: "closed",
    build: |p| {
        watched(p);
        p.thread("watcher", watcher);
        p.thread("owner", |t| {
            let late = t.bad("the slot is closed behind the grace period's start");
            let close = |t: &mut Thread| {
                t.of("WatchLink::close");
                t.lock("lock");
                t.store("slot", NULL, Relaxed);
                t.unlock("lock");
            };
            if !late {
                close(t);
            }
            start(t);
            if late {
                close(t);
            }
            scan_until(t, &["w"]);
            free(t);
        });
    },
    floor: 200,
    faults: &[
        uaf("the slot is closed behind the grace period's start", ALL),
        uaf("the watcher's section begins behind the lock", ALL),
    ],
};
