//! Requests (waits, force, drains) wake the grace-period thread in every sleep state. The last
//! program models the event itself.

use super::sleep::{ASLEEP, AWAKE, call};
use super::{ALL, Case, NOWHERE, WEAK, WEAK_ASYMMETRIC, broken, hang};
use crate::explorer::expr::r;
use crate::explorer::program::{Failure, Thread};
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

const NEXT: u8 = FIRST + 1;

/// `Domain::kick` of a thread that is not stopped.
fn kick(t: &mut Thread) {
    let end = t.label();
    t.of("Domain::kick");
    t.light();
    if t.bad("a request looks at the sleep state") {
        t.load("sleep_state", "sleep_state", Acquire);
        t.go_if(r("sleep_state").is(AWAKE), end);
    }
    set(t, "event");
    t.bind(end);
}

/// A waiter requests grace period 6 (`Domain::want`), and sleeps until `WaitList::wake_up_to` wakes
/// it.
fn waiter(t: &mut Thread) {
    t.of("Domain::want");
    raise(t, "wanted", NEXT.into());
    kick(t);
    t.of("Synchronize, woken");
    t.wait("woken", "woken", r("woken"));
}

/// The grace-period thread, with nothing queued, until it has woken the waiters for grace period 6.
fn gp_thread(t: &mut Thread) {
    t.set("handled", FIRST);
    let (top, out) = (t.here(), t.label());
    let late_reset = t.bad("the event is reset behind the look");
    if !late_reset {
        reset(t, "event");
    }
    t.of("Domain::may_start_for_waiters");
    t.load("wanted", "wanted", Acquire);
    let mark = match t.bad("what is wanted is compared with the sequence") {
        true => "seq",
        false => "fenced",
    };
    t.load("mark", mark, Acquire);
    let (no_start, no_scan) = (t.label(), t.label());
    t.go_if(r("mark").reaches("wanted"), no_start);
    start(t);
    t.bind(no_start);
    t.of("Domain::turn");
    t.load("e", "elapsed", Acquire);
    t.go_if(r("e").reaches("wanted"), no_scan);
    scan(t, &["w"]);
    t.bind(no_scan);
    t.of("GpThread::settle");
    t.set("handled", r("handled").max("e"));
    t.go_if(r("handled").reaches(NEXT), out);
    t.of("Domain::sleep");
    t.load("e", "elapsed", Acquire);
    let asks_elapsed = t.bad("a rest asks what has elapsed, not what was handled");
    if asks_elapsed {
        t.set("handled", r("e"));
    } else {
        t.go_if(r("handled").below("e"), top);
    }
    let (no_holdout, up, rest) = (t.label(), t.label(), t.label());
    t.of("SleepState::fall_asleep");
    t.store("sleep_state", ASLEEP, Relaxed);
    t.go_if(r("handled").reaches("wanted"), no_holdout);
    t.of("Engine::request_wake");
    t.load("word", "w", Acquire);
    t.go_if(r("word").holds_up(r("handled").plus(1)).not(), no_holdout);
    t.store("asked", address("w"), Relaxed);
    t.bind(no_holdout);
    t.of("Domain::sleep");
    heavy(t);
    t.of("Domain::must_stay_up");
    if !t.bad("the requests are not read again") {
        t.load("now", "wanted", Acquire);
        t.go_if(r("wanted").below("now"), up);
    }
    t.go_if(r("handled").reaches("wanted"), rest);
    t.of("Engine::scan_before_sleep");
    t.load("limit", "fenced", Acquire);
    t.load("word", "w", Acquire);
    t.set("oldest", r("limit").held("word"));
    t.load("asked", "asked", Relaxed);
    let held = r("word").holds_up(r("handled").plus(1));
    t.set("unasked", held.and(r("asked").is(address("w")).not()));
    raise(t, "elapsed", r("oldest"));
    t.go_if(r("handled").below(r("_mark").max("oldest")), up);
    t.go_if(r("unasked"), up);
    t.bind(rest);
    if late_reset {
        reset(t, "event");
    }
    sleep(t, "event");
    t.bind(up);
    t.of("SleepState::wake_up");
    t.store("sleep_state", AWAKE, Relaxed);
    t.go(top);
    t.bind(out);
    t.of("WaitList::wake_up_to");
    t.store("woken", 1, Release);
}

/// A waiter waits for a grace period that a section blocks. A caller that waits for nothing takes
/// the number, fences and scans, and wakes no thread.
pub(crate) const WANTED: Case = Case {
    name: "wanted",
    build: |p| {
        p.variables(&[("seq", FIRST), ("fenced", FIRST), ("elapsed", FIRST)]);
        p.variables(&[("wanted", FIRST), ("woken", 0), ("w", FIRST), ("asked", 0)]);
        p.variables(&[("sleep_state", AWAKE), ("event", 0)]);
        p.thread("holder", |t| leave(t, "w", "asked"));
        p.thread("waiter", waiter);
        caller(p, &["w"]);
        p.thread("gp thread", gp_thread);
    },
    floor: 20_000,
    faults: &[
        hang("what is wanted is compared with the sequence", ALL),
        hang("a rest asks what has elapsed, not what was handled", ALL),
        hang("the event is reset behind the look", ALL),
        // Requests always set the event: reading them again only saves a short sleep.
        hang("the requests are not read again", NOWHERE),
    ],
};

/// A request while callbacks are queued. The thread naps: it sleeps, and its sleep state stays
/// awake. In this program no timer ends a nap, so a nap that only a timer would end is a hang.
pub(crate) const NAP: Case = Case {
    name: "nap",
    build: |p| {
        p.variables(&[("queued", 0), ("force", 0), ("sleep_state", AWAKE), ("event", 0)]);
        p.thread("producer", |t| {
            call(t, "queued");
            t.of("Domain::force");
            t.rmw("_force", "force", 1, AcqRel);
            kick(t);
        });
        p.thread("gp thread", |t| {
            t.set("forced", 0);
            let (top, out) = (t.here(), t.label());
            reset(t, "event");
            let late = t.bad("queues are read before the requests are taken");
            t.of("Domain::turn");
            if late {
                t.load("queued", "queued", Acquire);
            }
            t.rmw("forced", "force", 0, AcqRel);
            if !late {
                t.load("queued", "queued", Acquire);
            }
            t.go_if(r("queued").and("forced"), out);
            // A force with nothing queued is done.
            let (nap, up, sleeps) = (t.label(), t.label(), t.label());
            t.of("Domain::sleep");
            t.go_if(r("queued"), nap);
            t.of("SleepState::fall_asleep");
            t.store("sleep_state", ASLEEP, Relaxed);
            heavy(t);
            t.of("Domain::must_stay_up");
            t.load("now", "queued", Acquire);
            t.go_if(r("now"), up);
            t.bind(nap);
            t.load("now", "force", Acquire);
            t.go_if(r("now"), up);
            t.bind(sleeps);
            sleep(t, "event");
            t.bind(up);
            t.of("SleepState::wake_up");
            t.store("sleep_state", AWAKE, Relaxed);
            t.go(top);
            t.bind(out);
        });
    },
    floor: 100,
    faults: &[
        hang("a request looks at the sleep state", ALL),
        hang("queues are read before the requests are taken", ALL),
    ],
};

/// As `nap`, with a waiter. The thread only loads the waiter's mark, without a read-modify-write. A
/// nap has no fence, so the order of the event's operations makes the thread see the mark.
pub(crate) const NAP_WAIT: Case = Case {
    name: "nap_wait",
    build: |p| {
        p.variables(&[("wanted", FIRST), ("force", 0), ("sleep_state", AWAKE), ("event", 0)]);
        p.thread("waiter", |t| {
            t.of("Domain::want");
            raise(t, "wanted", NEXT.into());
            kick(t);
        });
        p.thread("gp thread", |t| {
            let (top, out) = (t.here(), t.label());
            reset(t, "event");
            t.of("Domain::turn");
            t.rmw("forced", "force", 0, AcqRel);
            t.load("wanted", "wanted", Acquire);
            t.go_if(r("wanted").reaches(NEXT), out);
            t.of("Domain::must_stay_up");
            t.load("force", "force", Acquire);
            t.go_if(r("force"), top);
            if !t.bad("the requests are not read again") {
                t.load("wanted", "wanted", Acquire);
                t.go_if(r("wanted").reaches(NEXT), top);
            }
            sleep(t, "event");
            t.go(top);
            t.bind(out);
        });
    },
    floor: 20,
    faults: &[
        hang("a request looks at the sleep state", ALL),
        hang("the event is set by a Relaxed store", WEAK_ASYMMETRIC),
        hang("the requests are not read again", NOWHERE),
    ],
};

/// A callback, and a drain after it. The drain is over when no collection up to its number is open.
/// By then the callback must have run.
pub(crate) const DRAIN: Case = Case {
    name: "drain",
    build: |p| {
        p.variables(&[("queued", 0), ("ran", 0), ("tickets", 0), ("asked", 0)]);
        p.variable("others", 0);
        p.variables(&[("begun", 0), ("closed", 0), ("event", 0)]);
        p.variable("sleep_state", AWAKE);
        p.thread("drainer", |t| {
            t.of("Queue::push");
            t.store("queued", 1, Release);
            t.of("Tickets::ask");
            t.lock("tickets");
            t.load("number", "begun", Relaxed);
            if !t.bad("a drain takes the number of the collection under way") {
                t.set("number", r("number").plus(1));
            }
            t.store("asked", r("number"), Relaxed);
            t.unlock("tickets");
            kick(t);
            t.of("Tickets::poll");
            t.wait("closed", "closed", r("closed").reaches("number"));
            t.load("ran", "ran", Relaxed);
            t.check(
                r("ran"),
                Failure::Broken,
                "the drain returns before a callback that was queued before it",
            );
        });
        p.thread("other", |t| {
            t.of("Queue::push, of another thread");
            t.store("others", 1, Release);
            t.of("SleepState::rouse");
            set(t, "event");
        });
        p.thread("gp thread", |t| {
            t.set("seen", 0);
            t.set("collection", 0);
            t.set("collected", 0);
            let (top, out) = (t.here(), t.label());
            reset(t, "event");
            let late = t.bad("a collection begins after the queues are read");
            let begin = |t: &mut Thread| {
                t.of("Tickets::begin");
                t.lock("tickets");
                t.set("collection", r("collection").plus(1));
                t.store("begun", r("collection"), Relaxed);
                t.unlock("tickets");
            };
            t.of("Tickets::any_asked");
            t.lock("tickets");
            t.load("asked", "asked", Relaxed);
            t.unlock("tickets");
            t.set("wanted", r("collection").below("asked"));
            // A collection begins only if there is work or a drain.
            let (none, idle) = (t.label(), t.label());
            t.of("Domain::has_queued");
            t.load("others", "others", Acquire);
            t.load("queued", "queued", Acquire);
            t.set("due", r("seen").below("others"));
            t.set("due", r("due").or(r("collected").below("queued")));
            t.go_if(r("due").or("wanted").not(), idle);
            if !late {
                begin(t);
            }
            t.of("Queue::collect");
            t.load("seen", "others", Acquire);
            t.load("queued", "queued", Acquire);
            if late {
                begin(t);
            }
            t.set("more", r("collected").below("queued"));
            t.set("collected", r("queued"));
            t.go_if(r("more").not(), none);
            t.of("Batch::run");
            t.store("ran", 1, Relaxed);
            t.bind(none);
            t.of("Tickets::close");
            t.store("closed", r("collection"), Release);
            t.of("the end of the program");
            t.lock("tickets");
            t.load("asked", "asked", Relaxed);
            t.unlock("tickets");
            t.go_if(r("asked").not(), top);
            t.go_if(r("collection").below("asked"), top);
            t.go(out);
            t.bind(idle);
            sleep(t, "event");
            t.go(top);
            t.bind(out);
        });
    },
    floor: 200,
    faults: &[
        broken("a collection begins after the queues are read", ALL),
        broken("a drain takes the number of the collection under way", ALL),
    ],
};

const EMPTY: u8 = 0;
const SET: u8 = 1;
const WAITING: u8 = 2;

/// The event with the state of a waiting thread, on a futex whose queue the lock `bucket` guards.
/// Two threads set the event, and one waits until both have set it.
pub(crate) const EVENT: Case = Case {
    name: "event",
    build: |p| {
        p.variables(&[("state", EMPTY), ("bucket", 0), ("sleeps", 0)]);
        p.variables(&[("a", 0), ("b", 0)]);
        for (name, cause) in [("setter a", "a"), ("setter b", "b")] {
            p.thread(name, |t| {
                t.store(cause, 1, Relaxed);
                t.of("Event::set");
                let (end, wake) = (t.label(), t.label());
                if t.bad("set by a look and a store") {
                    t.load("was", "state", Acquire);
                    t.store("state", SET, Release);
                } else if t.bad("set Relaxed") {
                    t.rmw("was", "state", SET, Relaxed);
                } else {
                    t.rmw("was", "state", SET, AcqRel);
                }
                t.go_if(r("was").is(WAITING), wake);
                t.go(end);
                t.bind(wake);
                t.of("Park::wake");
                t.lock("bucket");
                t.store("sleeps", 0, Relaxed);
                t.unlock("bucket");
                t.bind(end);
            });
        }
        p.thread("waiter", |t| {
            let (top, out) = (t.here(), t.label());
            t.of("Event::reset");
            match t.bad("the event is reset by a store") {
                true => t.store("state", EMPTY, Release),
                false => t.rmw("_reset", "state", EMPTY, AcqRel),
            }
            t.of("the causes");
            t.load("a", "a", Relaxed);
            t.load("b", "b", Relaxed);
            t.go_if(r("a").and("b"), out);
            t.of("Event::wait");
            if t.bad("the waiter overwrites what is set") {
                t.store("state", WAITING, Relaxed);
            } else {
                t.cas("was", "state", EMPTY, WAITING, Acquire);
                t.go_if(r("was").is(EMPTY).not(), top);
            }
            let (again, awake) = (t.here(), t.label());
            t.of("Park::wait");
            t.lock("bucket");
            t.load("now", "state", Relaxed);
            let sleeps = t.label();
            t.go_if(r("now").is(WAITING), sleeps);
            t.unlock("bucket");
            t.go(awake);
            t.bind(sleeps);
            t.store("sleeps", 1, Relaxed);
            t.unlock("bucket");
            t.wait("asleep", "sleeps", r("asleep").not());
            t.bind(awake);
            t.of("Event::wait");
            t.load("now", "state", Acquire);
            t.go_if(r("now").is(SET).not(), again);
            t.go(top);
            t.bind(out);
        });
    },
    floor: 500,
    faults: &[
        hang("the event is reset by a store", ALL),
        hang("set by a look and a store", ALL),
        hang("the waiter overwrites what is set", ALL),
        hang("set Relaxed", WEAK),
    ],
};
