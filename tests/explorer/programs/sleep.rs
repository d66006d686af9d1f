//! The grace-period thread sleeps until a section that holds a grace period up ends, or until a
//! queue gets work. The thread that ends the section or queues the work wakes the grace-period
//! thread.

use super::{ALL, ASYMMETRIC, Case, FENCE, hang, uaf};
use crate::explorer::expr::{Expr, r};
use crate::explorer::program::{Failure, Program, Thread};
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A word, and the wake request of its record.
type Place = (&'static str, &'static str);

/// Grace period 6 is started. Sections with number 5 hold it up.
fn started(p: &mut Program) {
    const NEXT: u8 = FIRST + 1;
    p.variables(&[("seq", NEXT), ("fenced", NEXT), ("elapsed", FIRST)]);
    p.variable("event", 0);
}

/// The grace-period thread, until grace period 6 has elapsed: `Domain::turn` and `Domain::sleep`,
/// with `Engine::request_wake` and `Engine::scan_before_sleep`.
fn gp_thread(t: &mut Thread, places: &[Place]) {
    let words: Vec<_> = places.iter().map(|(word, _)| *word).collect();
    let wanted: Expr = (FIRST + 1).into();
    let (top, out) = (t.here(), t.label());
    let late_reset = t.bad("the event is reset behind the look");
    if !late_reset {
        reset(t, "event");
    }
    scan(t, &words);
    t.go_if(r("e").reaches(wanted.clone()), out);
    let asks_late = t.bad("it asks behind the fence");
    if !asks_late {
        ask_holdout(t, places, &wanted);
    }
    t.of("Domain::sleep");
    heavy(t);
    if asks_late {
        ask_holdout(t, places, &wanted);
    }
    if !t.bad("no look behind the fence") {
        t.of("Engine::scan_before_sleep");
        t.load("limit", "fenced", Acquire);
        t.set("held", 0);
        t.set("wakes", 0);
        t.set("oldest", r("limit"));
        for (word, asked) in places {
            t.load("word", word, Acquire);
            t.set("oldest", r("oldest").held("word"));
            let free = t.label();
            if t.bad("any section that is asked counts, not a holder alone") {
                t.load("asked", asked, Relaxed);
                let open = r("word").not().not();
                t.set("wakes", r("wakes").or(open.and(r("asked").is(address(word)))));
            }
            match t.bad("a section that began later is taken for a holder") {
                true => t.go_if(r("word").not(), free),
                false => t.go_if(r("word").holds_up(wanted.clone()).not(), free),
            }
            t.set("held", 1);
            t.load("asked", asked, Relaxed);
            t.set("wakes", r("wakes").or(r("asked").is(address(word))));
            t.bind(free);
        }
        raise(t, "elapsed", r("oldest"));
        t.go_if(r("_mark").max("oldest").reaches(wanted.clone()), out);
        if !t.bad("it sleeps though no holder was asked before the fence") {
            t.go_if(r("held").and(r("wakes").not()), top);
        }
    }
    if late_reset {
        reset(t, "event");
    }
    sleep(t, "event");
    t.go(top);
    t.bind(out);
}

/// `Engine::request_wake`, which requests the wake from a section with the least number. Here it is
/// the last of them in the order of the scan.
fn ask_holdout(t: &mut Thread, places: &[Place], wanted: &Expr) {
    t.of("Engine::request_wake");
    t.set("holdout", 0);
    for (word, _) in places {
        t.load("word", word, Acquire);
        let holds = match t.bad("a section that began later is taken for a holder") {
            true => r("word").not().not(),
            false => r("word").holds_up(wanted.clone()),
        };
        t.set("holdout", holds.then(address(word), "holdout"));
    }
    for (word, asked) in places {
        let other = t.label();
        t.go_if(r("holdout").is(address(word)).not(), other);
        t.store(asked, address(word), Relaxed);
        t.bind(other);
    }
}

/// One section is open. Another begins late, with a number that its thread loaded before grace
/// period 6 was started.
pub(crate) const HOLDOUT: Case = Case {
    name: "holdout",
    build: |p| {
        started(p);
        p.variables(&[("wa", FIRST), ("asked a", 0), ("wb", 0), ("asked b", 0)]);
        p.thread("early", |t| leave(t, "wa", "asked a"));
        p.thread("late", |t| {
            t.of("Word::renew, its load long ago");
            t.store("wb", FIRST, Release);
            t.light();
            leave(t, "wb", "asked b");
        });
        p.thread("gp thread", |t| {
            gp_thread(t, &[("wa", "asked a"), ("wb", "asked b")]);
        });
    },
    floor: 2000,
    faults: &[
        hang("the event is reset behind the look", ALL),
        hang("it asks behind the fence", ALL),
        hang("no heavy fence", ALL),
        hang("a light fence in place of the heavy one", ASYMMETRIC),
        hang("no look behind the fence", ALL),
        hang("it sleeps though no holder was asked before the fence", ALL),
        hang("no light fence behind the 0", FENCE),
    ],
};

/// Two threads release two owned words of one record. The record has one wake request, which names
/// one of the words.
pub(crate) const ONE_ASKED: Case = Case {
    name: "one_asked",
    build: |p| {
        started(p);
        p.variables(&[("wa", FIRST), ("wb", FIRST), ("asked", 0)]);
        p.thread("first", |t| leave(t, "wa", "asked"));
        p.thread("second", |t| leave(t, "wb", "asked"));
        p.thread("gp thread", |t| {
            gp_thread(t, &[("wa", "asked"), ("wb", "asked")]);
        });
    },
    floor: 1000,
    faults: &[hang("what is asked is taken away after the wake", ALL), hang("no heavy fence", ALL)],
};

/// The record has a second section, which began later, does not hold the grace period up, and stays
/// open.
pub(crate) const BYSTANDER: Case = Case {
    name: "bystander",
    build: |p| {
        started(p);
        p.variables(&[("wa", FIRST), ("wb", FIRST + 1), ("asked", 0)]);
        p.thread("holder", |t| leave(t, "wa", "asked"));
        p.thread("gp thread", |t| {
            gp_thread(t, &[("wa", "asked"), ("wb", "asked")]);
        });
    },
    floor: 100,
    faults: &[
        hang("a section that began later is taken for a holder", ALL),
        hang("no heavy fence", ALL),
    ],
};

/// The grace-period thread chooses a section to request the wake from. The section ends before the
/// request is set. Its word is used again for a section that does not hold the grace period up, and
/// stays open.
pub(crate) const ASKED_ANEW: Case = Case {
    name: "asked_anew",
    build: |p| {
        started(p);
        p.variables(&[("wa", FIRST), ("wb", FIRST), ("asked", 0)]);
        p.thread("first", |t| {
            leave(t, "wa", "asked");
            renew(t, "wa");
        });
        p.thread("second", |t| leave(t, "wb", "asked"));
        p.thread("gp thread", |t| {
            gp_thread(t, &[("wb", "asked"), ("wa", "asked")]);
        });
    },
    floor: 1000,
    faults: &[hang("any section that is asked counts, not a holder alone", ALL)],
};

/// A holder refreshes its section, and keeps it open.
pub(crate) const REFRESH_WAKES: Case = Case {
    name: "refresh_wakes",
    build: |p| {
        started(p);
        p.variables(&[("w", FIRST), ("asked", 0)]);
        p.thread("holder", |t| {
            renew(t, "w");
            if !t.bad("a refresh does not do what a leaver does") {
                left(t, "w", "asked", "event");
            }
        });
        p.thread("gp thread", |t| gp_thread(t, &[("w", "asked")]));
    },
    floor: 100,
    faults: &[
        hang("a refresh does not do what a leaver does", ALL),
        hang("no light fence behind the word", FENCE),
    ],
};

/// A record is used again while a thread is still in the cold path of the record's last leave. A
/// record belongs to one registry for ever. If a record could move, the leaving thread would clear
/// the wake request of the new registry's grace-period thread, and wake the old registry's.
pub(crate) const RECORD_STAYS: Case = Case {
    name: "record_stays",
    build: |p| {
        started(p);
        // One word (`wa`) and its next use (`w`). Both have the same address.
        p.variables(&[("wa", FIRST), ("asked", 0)]);
        p.variables(&[("w", 0), ("other", 0), ("taken", 0)]);
        let moves = p.bad("a record moves to another core");
        let freed = p.bad("records are freed with their domain");
        p.variable("freed", 0);
        p.thread("leaver", move |t| {
            close(t, "wa");
            t.of("Record::wake_if_requested");
            let end = t.label();
            t.load("freed", "freed", Relaxed);
            t.check(r("freed").not(), Failure::UseAfterFree, "looks at a record that is freed");
            t.load("asked", "asked", Relaxed);
            t.go_if(r("asked").is(address("wa")).not(), end);
            t.of("Record::wake_sleeper");
            t.rmw("asked", "asked", 0, AcqRel);
            t.go_if(r("asked").not(), end);
            // The event of the registry that had the record when the section began.
            set(t, "event");
            t.bind(end);
        });
        p.thread("next owner", move |t| {
            t.of("Registry::collect_in");
            t.wait("word", "wa", r("word").not());
            if freed {
                t.store("freed", 1, Relaxed);
            }
            t.of("Word::renew");
            t.store("w", FIRST, Release);
            t.light();
            t.store("taken", 1, Release);
            close(t, "w");
            left(t, "w", "asked", if moves { "other" } else { "event" });
        });
        p.thread("gp thread", move |t| {
            // The thread of the registry that has the record when it is used again.
            t.wait("taken", "taken", r("taken"));
            let event = if moves { "other" } else { "event" };
            let (top, out) = (t.here(), t.label());
            reset(t, event);
            t.load("word", "w", Acquire);
            t.go_if(r("word").not(), out);
            t.of("Engine::request_wake");
            t.store("asked", address("w"), Relaxed);
            t.heavy();
            t.load("word", "w", Acquire);
            t.go_if(r("word").not(), out);
            t.load("asked", "asked", Relaxed);
            t.go_if(r("asked").is(address("w")).not(), top);
            sleep(t, event);
            t.go(top);
            t.bind(out);
        });
    },
    floor: 500,
    faults: &[
        hang("a record moves to another core", ALL),
        uaf("records are freed with their domain", ALL),
    ],
};

/// The steps of a producer from its push on: `Queue::push`, `Rcu::enqueue_counted`,
/// `Domain::rouse`, `SleepState::rouse`.
pub(crate) fn call(t: &mut Thread, queue: &str) {
    let end = t.label();
    t.of("Queue::push");
    t.store(queue, 1, Release);
    if !t.bad("no light fence behind the push") {
        t.of("Rcu::enqueue_counted");
        t.light();
    }
    t.of("SleepState::is_awake");
    t.load("sleep_state", "sleep_state", Relaxed);
    t.go_if(r("sleep_state").is(AWAKE), end);
    t.of("SleepState::rouse");
    if t.bad("the sleep state is moved after the wake") {
        t.go_if(r("sleep_state").is(ASLEEP).not(), end);
        set(t, "event");
        t.store("sleep_state", AWAKE, Release);
    } else {
        t.cas("sleep_state", "sleep_state", ASLEEP, AWAKE, AcqRel);
        t.go_if(r("sleep_state").is(ASLEEP).not(), end);
        set(t, "event");
    }
    t.bind(end);
}

pub(crate) const AWAKE: u8 = 0;
pub(crate) const ASLEEP: u8 = 1;
pub(crate) const STOPPED: u8 = 2;

/// Two producers queue a callback each. The grace-period thread collects both, and sleeps in
/// between.
pub(crate) const CALL: Case = Case {
    name: "call",
    build: |p| {
        p.variables(&[("qa", 0), ("qb", 0), ("sleep_state", AWAKE), ("event", 0)]);
        p.thread("producer a", |t| call(t, "qa"));
        p.thread("producer b", |t| call(t, "qb"));
        p.thread("gp thread", |t| {
            let (top, out) = (t.here(), t.label());
            let late_reset = t.bad("the event is reset behind the look");
            let late_doze = t.bad("it falls asleep behind the fence");
            if !late_reset {
                reset(t, "event");
            }
            t.of("Domain::turn, Queue::collect");
            t.load("a", "qa", Acquire);
            t.load("b", "qb", Acquire);
            t.go_if(r("a").and("b"), out);
            t.of("SleepState::fall_asleep");
            if !late_doze {
                t.store("sleep_state", ASLEEP, Relaxed);
            }
            t.of("Domain::sleep");
            heavy(t);
            if late_doze {
                t.store("sleep_state", ASLEEP, Relaxed);
            }
            t.of("Domain::must_stay_up");
            let up = t.label();
            if !t.bad("no look behind the fence") {
                for (seen, queue) in [("a", "qa"), ("b", "qb")] {
                    t.load("now", queue, Acquire);
                    t.go_if(r("now").is(seen).not(), up);
                }
            }
            if late_reset {
                reset(t, "event");
            }
            sleep(t, "event");
            t.bind(up);
            t.of("SleepState::wake_up");
            t.store("sleep_state", AWAKE, Relaxed);
            t.go(top);
            t.bind(out);
        });
    },
    floor: 1000,
    faults: &[
        hang("no heavy fence", ALL),
        hang("a light fence in place of the heavy one", ASYMMETRIC),
        hang("no look behind the fence", ALL),
        hang("it falls asleep behind the fence", ALL),
        hang("the event is reset behind the look", ALL),
        hang("no light fence behind the push", FENCE),
        hang("the sleep state is moved after the wake", ALL),
    ],
};
