//! Sections and grace periods: enter, leave, start, scan, cookies, collection, registration.

use super::{ALL, ASYMMETRIC, Case, FENCE, NOWHERE, WEAK, WEAK_ASYMMETRIC, uaf};
use crate::explorer::expr::r;
use crate::explorer::program::Program;
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A reader, and a writer that publishes a version, waits for a grace period of its own, and frees
/// the old version.
pub(crate) const SECTION: Case = Case {
    name: "section",
    build: |p| {
        domain(p);
        p.variable("w", 0);
        if p.bad("`elapsed` begins above the sequence") {
            *value(p, "elapsed") += 1;
        }
        *value(p, "v1") = UNBORN;
        reader(p, "reader", "w");
        p.thread("writer", |t| {
            t.of("the new version is made");
            t.store("v1", ALIVE, Relaxed);
            match t.bad("published Relaxed") {
                true => t.store("p", 1, Relaxed),
                false => unlink(t),
            }
            start(t);
            scan_until(t, &["w"]);
            free(t);
        });
    },
    floor: 200,
    faults: &[
        uaf("the sequence begins at 0", ALL),
        uaf("`elapsed` begins above the sequence", ALL),
        uaf("published Relaxed", WEAK),
        uaf("the sequence is read Relaxed", WEAK_ASYMMETRIC),
        uaf("the word is left Relaxed", WEAK),
        uaf("no light fence behind the word", FENCE),
        // In the mode with fences, the read-modify-writes of the start are strong enough here.
        uaf("no heavy fence", ASYMMETRIC),
        uaf("a light fence in place of the heavy one", ASYMMETRIC),
        uaf("a barrier that the system refuses is taken for done", ASYMMETRIC),
        uaf("the number is taken Relaxed", WEAK),
    ],
};

fn value<'a>(p: &'a mut Program, name: &str) -> &'a mut u8 {
    let place = p.variables.iter().position(|(other, _)| *other == name);
    &mut p.variables[place.expect("a variable")].1
}

/// A caller and the writer start grace periods and scan at the same time. The caller's scan must
/// not end the writer's grace period too early.
pub(crate) const TWO_STARTERS: Case = Case {
    name: "two_starters",
    build: |p| {
        domain(p);
        p.variable("w", 0);
        reader(p, "reader", "w");
        caller(p, &["w"]);
        p.thread("writer", |t| {
            unlink(t);
            start(t);
            scan_until(t, &["w"]);
            free(t);
        });
    },
    floor: 800,
    faults: &[
        uaf("the limit is the sequence", ASYMMETRIC),
        uaf("the limit is read last", ALL),
        uaf("the limit is read Relaxed", WEAK),
        uaf("`fenced` is raised before the fence", ASYMMETRIC),
        uaf("no heavy fence", ASYMMETRIC),
    ],
};

/// As `two_starters`, with a section that begins late, with the writer's number, and stays open.
pub(crate) const LATE_SECTION: Case = Case {
    name: "late_section",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("late", 0)]);
        reader(p, "reader", "w");
        p.thread("late reader", |t| enter(t, "late"));
        caller(p, &["w", "late"]);
        p.thread("writer", |t| {
            unlink(t);
            start(t);
            let held = t.label();
            scan(t, &["w", "late"]);
            t.go_if(r("e").below("g"), held);
            free(t);
            t.bind(held);
        });
    },
    floor: 20_000,
    faults: &[
        uaf("no limit where a section is open", ALL),
        // That number is never above `fenced`, so it ends no more grace periods than `fenced` does.
        uaf("the limit is the scanner's own number, after its own fence", NOWHERE),
    ],
};

/// A reader registers while a writer waits and another thread scans.
pub(crate) const REGISTRATION: Case = Case {
    name: "registration",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("head", 0)]);
        p.thread("reader", |t| {
            t.of("Registry::grow");
            t.store("head", 1, Release);
            enter(t, "w");
            read(t);
            close(t, "w");
        });
        p.thread("writer", |t| {
            unlink(t);
            start(t);
            t.of("GracePeriod, waited for");
            t.load("e", "elapsed", Acquire);
            let end = t.label();
            t.go_if(r("e").below("g"), end);
            free(t);
            t.bind(end);
        });
        p.thread("scanner", |t| {
            if !t.bad("the registry's head is read first") {
                limit(t);
            }
            t.of("Registry::records");
            t.load("head", "head", Acquire);
            if t.bad("the registry's head is read first") {
                limit(t);
            }
            let none = t.label();
            t.set("oldest", u8::MAX);
            t.go_if(r("head").not(), none);
            t.of("Engine::scan, the words");
            t.load("word", "w", Acquire);
            t.set("oldest", r("oldest").held("word"));
            t.bind(none);
            t.of("Engine::scan, the end");
            raise(t, "elapsed", r("oldest").min("limit"));
        });
    },
    floor: 800,
    faults: &[
        uaf("the registry's head is read first", ALL),
        uaf("the limit is read Relaxed", WEAK),
    ],
};

/// The writer takes a number, as a cookie, and does not start that grace period itself.
pub(crate) const COOKIE: Case = Case {
    name: "cookie",
    build: |p| {
        domain(p);
        p.variable("w", 0);
        reader(p, "reader", "w");
        caller(p, &["w"]);
        p.thread("writer", |t| {
            unlink(t);
            t.of("Sequence::next");
            if t.bad("the cookie is a load") {
                t.load("c", "seq", Acquire);
            } else if t.bad("the cookie is a load behind a light fence") {
                t.light();
                t.load("c", "seq", Acquire);
            } else if t.bad("the cookie is a load behind fence(SeqCst)") {
                t.fence();
                t.load("c", "seq", Acquire);
            } else if t.bad("the cookie is taken Relaxed") {
                t.rmw("c", "seq", r("c"), Relaxed);
            } else {
                t.rmw("c", "seq", r("c"), AcqRel);
            }
            t.of("Engine::has_elapsed");
            t.load("e", "elapsed", Acquire);
            let end = t.label();
            t.go_if(r("e").below(r("c").plus(1)), end);
            free(t);
            t.bind(end);
        });
    },
    floor: 800,
    faults: &[
        uaf("the cookie is a load", ALL),
        uaf("the cookie is a load behind a light fence", ASYMMETRIC),
        uaf("the cookie is a load behind fence(SeqCst)", NOWHERE),
        uaf("the cookie is taken Relaxed", WEAK),
    ],
};

/// A producer unlinks a version and queues a callback. The grace-period thread collects the
/// callback and gives it a number, while a caller starts and scans.
pub(crate) const COLLECTION: Case = Case {
    name: "collection",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("queued", 0)]);
        reader(p, "reader", "w");
        p.thread("producer", |t| {
            unlink(t);
            t.of("Queue::push");
            t.store("queued", 1, Release);
        });
        caller(p, &["w"]);
        p.thread("gp thread", |t| {
            let none = t.label();
            if t.bad("started before it is collected") {
                start(t);
            }
            t.of("Queue::collect");
            match t.bad("collected Relaxed") {
                true => t.load("queued", "queued", Relaxed),
                false => t.load("queued", "queued", Acquire),
            }
            t.go_if(r("queued").not(), none);
            if t.bad("the number is a load at the collection") {
                t.load("g", "seq", Acquire);
                t.set("g", r("g").plus(1));
                t.of("Engine::has_elapsed");
                t.load("e", "elapsed", Acquire);
                t.go_if(r("e").below("g"), none);
            } else {
                if !t.bad("started before it is collected") {
                    start(t);
                }
                scan_until(t, &["w"]);
            }
            free(t);
            t.bind(none);
        });
    },
    floor: 2000,
    faults: &[
        uaf("started before it is collected", ALL),
        uaf("the number is a load at the collection", NOWHERE),
        uaf("collected Relaxed", NOWHERE),
    ],
};
