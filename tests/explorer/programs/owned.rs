//! Guards that nest, leak or go to another thread, blocks that scans skip, and records and
//! registries that are used again.

use super::{ALL, ASYMMETRIC, Case, NOWHERE, broken, uaf};
use crate::explorer::expr::r;
use crate::explorer::program::{Failure, Program, Thread};
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Adds the writer. Its scans read these words.
fn writer(p: &mut Program, words: &'static [&'static str]) {
    p.thread("writer", |t| {
        unlink(t);
        start(t);
        scan_until(t, words);
        free(t);
    });
}

/// A thread makes two guards, calls `refresh`, and drops the guards in the order in which it made
/// them.
pub(crate) const NESTED: Case = Case {
    name: "nested",
    build: |p| {
        domain(p);
        p.variable("w", 0);
        p.thread("reader", |t| {
            t.set("inner", 0);
            enter(t, "w");
            read(t);
            t.of("Record::enter_inner");
            t.set("inner", r("inner").plus(1));
            t.of("Record::refresh");
            let kept = t.label();
            if !t.bad("a nested section is refreshed") {
                t.go_if(r("inner").not().not(), kept);
            }
            renew(t, "w");
            t.bind(kept);
            if t.bad("a runtime hook says between two polls that the thread is quiescent") {
                close(t, "w");
            }
            // The drop of the guard that was made first.
            t.of("Record::leave");
            let (ends, left) = (t.label(), t.label());
            t.go_if(r("inner").not(), ends);
            if !t.bad("the guard that was made first ends the section") {
                t.set("inner", 0);
                t.go(left);
            }
            t.bind(ends);
            close(t, "w");
            t.bind(left);
            look(t);
            close(t, "w");
        });
        writer(p, &["w"]);
        caller(p, &["w"]);
    },
    floor: 1000,
    faults: &[
        uaf("a nested section is refreshed", ALL),
        uaf("the guard that was made first ends the section", ALL),
        uaf("a runtime hook says between two polls that the thread is quiescent", ALL),
    ],
};

/// A thread leaks a guard, sends a reference that the guard protects to another thread, and ends.
pub(crate) const LEAKED: Case = Case {
    name: "leaked",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("sent", 0)]);
        p.thread("leaker", |t| {
            enter(t, "w");
            read(t);
            t.of("mem::forget, and the thread's end");
            t.store("sent", r("p").plus(1), Release);
            if t.bad("a thread's end closes what it has left open") {
                close(t, "w");
            }
        });
        p.thread("other", |t| {
            t.wait("p", "sent", r("p"));
            t.set("p", r("p").below(2).then(0, 1));
            look(t);
            look(t);
        });
        p.thread("writer", |t| {
            unlink(t);
            start(t);
            scan(t, &["w"]);
            scan(t, &["w"]);
            let held = t.label();
            t.go_if(r("e").below("g"), held);
            free(t);
            t.bind(held);
        });
    },
    floor: 300,
    faults: &[uaf("a thread's end closes what it has left open", ALL)],
};

/// A reader refreshes its section while other threads start grace periods. The reader does not use
/// its earlier reference after the refresh.
pub(crate) const REFRESH: Case = Case {
    name: "refresh",
    build: |p| {
        domain(p);
        p.variable("w", 0);
        p.thread("reader", |t| {
            enter(t, "w");
            read(t);
            t.of("Record::refresh");
            renew(t, "w");
            match t.bad("a reference outlives the refresh") {
                true => look(t),
                false => read(t),
            }
            close(t, "w");
        });
        writer(p, &["w"]);
        caller(p, &["w"]);
    },
    floor: 1000,
    faults: &[
        uaf("a reference outlives the refresh", ALL),
        uaf("the limit is the sequence", ASYMMETRIC),
    ],
};

/// The holder of an owned guard refreshes it while the record's thread looks for a free word.
pub(crate) const OWNED_REFRESH: Case = Case {
    name: "owned_refresh",
    build: |p| {
        domain(p);
        p.variable("w", FIRST);
        p.thread("holder", |t| {
            read(t);
            t.of("Record::refresh_owned");
            if t.bad("a refresh passes 0") {
                t.store("w", 0, Release);
            }
            renew(t, "w");
            read(t);
            close(t, "w");
        });
        p.thread("owner", |t| {
            let taken = t.label();
            t.of("OwnedWords::claim");
            t.load("word", "w", Acquire);
            if !t.bad("a word is claimed without a look") {
                t.go_if(r("word").not().not(), taken);
            }
            renew(t, "w");
            read(t);
            close(t, "w");
            t.bind(taken);
        });
        writer(p, &["w"]);
    },
    floor: 500,
    faults: &[uaf("a refresh passes 0", ALL), uaf("a word is claimed without a look", ALL)],
};

/// A scan that passes over a skipped block: `OwnedWords::for_each`. The variable `parked` is the
/// block's `skipped` mark. In two faults the scanner sets the mark without the lock.
fn scan_block(t: &mut Thread) {
    limit(t);
    t.set("oldest", u8::MAX);
    let passed = t.label();
    t.of("OwnedWords::for_each");
    match t.bad("`parked` is read Relaxed") {
        true => t.load("parked", "parked", Relaxed),
        false => t.load("parked", "parked", Acquire),
    }
    t.go_if(r("parked"), passed);
    t.load("word", "w", Acquire);
    t.set("oldest", r("oldest").held("word"));
    let bare = t.bad("a scanner parks a block that it sees idle");
    let careful = t.bad("a scanner parks, passes a heavy fence, and looks again");
    if bare || careful {
        t.go_if(r("word").not().not(), passed);
        t.store("parked", 1, Release);
        if careful {
            t.heavy();
            t.load("word", "w", Acquire);
            t.go_if(r("word").not(), passed);
            t.set("oldest", r("oldest").held("word"));
            t.store("parked", 0, Release);
        }
    }
    t.bind(passed);
    t.of("Engine::scan, the end");
    t.set("oldest", r("oldest").min("limit"));
    raise(t, "elapsed", r("oldest"));
    t.set("e", r("_mark").max("oldest"));
}

/// The owner clears the mark of a skipped block, claims its word and sends the guard to another
/// thread, which releases the word. The owner sets the mark again.
pub(crate) const PARKED: Case = Case {
    name: "parked",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("parked", 1), ("sent", 0)]);
        p.thread("owner", |t| {
            let settle = |t: &mut Thread| {
                t.of("settle");
                match t.bad("unparked Relaxed") {
                    true => t.store("parked", 0, Relaxed),
                    false => t.store("parked", 0, Release),
                }
            };
            let behind_the_word = t.bad("unparked behind the word");
            let behind_the_guard = t.bad("unparked behind the guard");
            if !behind_the_word && !behind_the_guard {
                settle(t);
            }
            renew(t, "w");
            if behind_the_word {
                settle(t);
            }
            t.of("the guard is sent");
            t.store("sent", 1, Release);
            if behind_the_guard {
                settle(t);
            }
            t.of("OwnedWords::skip_idle");
            let held = t.label();
            match t.bad("the words are looked at Relaxed") {
                true => t.load("word", "w", Relaxed),
                false => t.load("word", "w", Acquire),
            }
            if !t.bad("parked without a look at the words") {
                t.go_if(r("word").not().not(), held);
            }
            t.store("parked", 1, Release);
            t.bind(held);
        });
        p.thread("holder", |t| {
            t.wait("sent", "sent", r("sent"));
            read(t);
            close(t, "w");
        });
        p.thread("writer", |t| {
            unlink(t);
            start(t);
            let top = t.here();
            scan_block(t);
            t.go_if(r("e").below("g"), top);
            free(t);
        });
        p.thread("scanner", scan_block);
    },
    floor: 4000,
    faults: &[
        uaf("parked without a look at the words", ALL),
        uaf("unparked behind the guard", ALL),
        uaf("a scanner parks a block that it sees idle", ALL),
        uaf("a scanner parks, passes a heavy fence, and looks again", ALL),
        uaf("unparked behind the word", NOWHERE),
        uaf("unparked Relaxed", NOWHERE),
        uaf("the words are looked at Relaxed", NOWHERE),
        uaf("`parked` is read Relaxed", NOWHERE),
    ],
};

/// A thread ends while a section of its record is open. The section ends later. Another thread
/// registers.
pub(crate) const ORPHAN: Case = Case {
    name: "orphan",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("other", 0), ("slots", 0), ("orphan", 0)]);
        p.thread("ending", |t| {
            enter(t, "w");
            read(t);
            t.of("Registry::orphan");
            t.lock("slots");
            t.store("orphan", 1, Relaxed);
            t.unlock("slots");
            look(t);
            close(t, "w");
        });
        p.thread("beginning", |t| {
            let (new, end) = (t.label(), t.label());
            t.of("Registry::collect_in");
            t.lock("slots");
            t.load("orphan", "orphan", Relaxed);
            t.load("word", "w", Acquire);
            t.unlock("slots");
            t.go_if(r("orphan").not(), new);
            if !t.bad("an orphan is freed with a section open") {
                t.go_if(r("word").not().not(), new);
            }
            enter(t, "w");
            read(t);
            close(t, "w");
            t.go(end);
            t.bind(new);
            enter(t, "other");
            read(t);
            close(t, "other");
            t.bind(end);
        });
        writer(p, &["w", "other"]);
    },
    floor: 2000,
    faults: &[uaf("an orphan is freed with a section open", ALL)],
};

/// A domain has ended while an owned guard is still held. Another domain begins: with the same
/// registry (`hub` is 1) if every record is free, otherwise with a new one.
pub(crate) const CORE: Case = Case {
    name: "core",
    build: |p| {
        domain(p);
        p.variables(&[("w", FIRST), ("made", 0), ("hub", 1)]);
        p.thread("holder", |t| {
            let foreign = t.label();
            t.of("the new cell, under the old guard");
            t.load("made", "made", Acquire);
            t.go_if(r("made").not(), foreign);
            t.load("hub", "hub", Relaxed);
            t.go_if(r("hub").is(1).not(), foreign);
            if !t.bad("used again with a section open, and the numbers begin anew") {
                t.check(
                    0.into(),
                    Failure::Broken,
                    "a guard of an ended domain is taken for a guard of the new domain",
                );
            }
            read(t);
            t.bind(foreign);
            close(t, "w");
        });
        p.thread("builder", |t| {
            let (new, done) = (t.label(), t.label());
            let careless = t.bad("used again with a section open");
            let anew = t.bad("used again with a section open, and the numbers begin anew");
            t.of("Registry::try_reuse");
            t.load("word", "w", Acquire);
            if !careless && !anew {
                t.go_if(r("word").not().not(), new);
            }
            if anew {
                for mark in ["seq", "fenced", "elapsed"] {
                    t.store(mark, 1, Relaxed);
                }
            }
            t.store("made", 1, Release);
            unlink(t);
            start(t);
            scan_until(t, &["w"]);
            free(t);
            t.go(done);
            t.bind(new);
            t.of("Registry::leak");
            t.store("hub", 2, Relaxed);
            t.store("made", 1, Release);
            t.bind(done);
        });
    },
    floor: 25,
    faults: &[
        broken("used again with a section open", ALL),
        uaf("used again with a section open, and the numbers begin anew", ALL),
    ],
};

/// A record's counts of callbacks. A domain ends and its registry is used again, while the thread
/// that finishes the last callback counts it.
pub(crate) const COUNTS: Case = Case {
    name: "counts",
    build: |p| {
        p.variables(&[("produced", 1), ("finished", 0), ("ran", 0)]);
        p.thread("finisher", |t| {
            t.of("the callback");
            t.store("ran", 1, Relaxed);
            t.of("Chunk::consumed");
            t.rmw("_f", "finished", r("_f").plus(1), Release);
        });
        p.thread("builder", |t| {
            let unfinished = t.label();
            t.of("Queue::is_idle");
            t.load("finished", "finished", Acquire);
            t.load("produced", "produced", Acquire);
            if !t.bad("counts begin anew with a callback unfinished") {
                t.go_if(r("finished").is("produced").not(), unfinished);
            }
            t.of("Queue::reset");
            t.store("produced", 0, Relaxed);
            t.store("finished", 0, Relaxed);
            t.bind(unfinished);
        });
        p.finally(Failure::Broken, "the record can never be idle again", |value| {
            value("produced") == value("finished")
        });
    },
    floor: 8,
    faults: &[broken("counts begin anew with a callback unfinished", ALL)],
};

/// Two domains. A thread with a guard of the second domain reads a cell of the first. A writer
/// retires a value of the first domain, and waits for a grace period.
pub(crate) const DOMAINS: Case = Case {
    name: "domains",
    build: |p| {
        domain(p);
        p.variables(&[("w", 0), ("seq2", FIRST), ("fenced2", FIRST), ("w2", 0)]);
        reader(p, "reader", "w");
        p.thread("stranger", |t| {
            t.of("Word::open, of the second domain");
            t.load("s", "seq2", Acquire);
            t.store("w2", r("s"), Release);
            t.light();
            let panics = t.label();
            t.of("RcuCell::assert_covered");
            t.set("other", 1);
            if !t.bad("a guard of another domain gives access") {
                t.go_if(r("other"), panics);
            }
            read(t);
            t.bind(panics);
            close(t, "w2");
        });
        p.thread("writer", |t| {
            unlink(t);
            if t.bad("another domain's retired value is waited for in this one") {
                t.of("Engine::start, of the second domain");
                t.rmw("g", "seq2", r("g").plus(1), AcqRel);
                t.set("g", r("g").plus(1));
                t.heavy();
                raise(t, "fenced2", r("g"));
                let top = t.here();
                t.load("limit", "fenced2", Acquire);
                t.load("word", "w2", Acquire);
                t.go_if(r("limit").held("word").below("g"), top);
            } else {
                start(t);
                scan_until(t, &["w"]);
            }
            free(t);
        });
    },
    floor: 500,
    faults: &[
        uaf("a guard of another domain gives access", ALL),
        uaf("another domain's retired value is waited for in this one", ALL),
    ],
};
