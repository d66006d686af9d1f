//! The grace-period thread stops, undoes a stop, and is started again. A shutdown waits for an
//! attempt to stop. The last handle of a domain is dropped.

use super::sleep::{ASLEEP, AWAKE, STOPPED};
use super::{ALL, ASYMMETRIC, Case, FENCE, WEAK_FENCE, broken, hang, lost};
use crate::explorer::expr::r;
use crate::explorer::program::{Failure, Label, Program, Thread};
use crate::explorer::words::*;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// `SleepState::take_over`. Puts into `won` whether the thread won the compare-exchange.
fn take_over(t: &mut Thread) {
    t.of("SleepState::take_over");
    t.cas("sleep_state", "sleep_state", STOPPED, AWAKE, AcqRel);
    t.set("won", r("sleep_state").is(STOPPED));
}

/// `Domain::spawn`. The new thread will find all queued work.
fn spawn(t: &mut Thread) {
    t.of("Domain::spawn");
    t.rmw("_n", "threads", r("_n").plus(1), AcqRel);
}

/// A producer that pushes work. If the grace-period thread is asleep, the producer wakes it. If the
/// thread has stopped, the producer starts another.
fn push_and_rouse(t: &mut Thread, queue: &str) {
    let (end, start) = (t.label(), t.label());
    t.of("Queue::push");
    t.store(queue, 1, Release);
    if !t.bad("no light fence behind the push") {
        t.light();
    }
    t.of("SleepState::is_awake");
    t.load("sleep_state", "sleep_state", Relaxed);
    t.go_if(r("sleep_state").is(AWAKE), end);
    if t.bad("restarted by a store") {
        t.store("sleep_state", AWAKE, Release);
    } else {
        t.of("SleepState::rouse");
        t.cas("sleep_state", "sleep_state", ASLEEP, AWAKE, AcqRel);
        t.go_if(r("sleep_state").is(AWAKE), end);
        t.go_if(r("sleep_state").is(STOPPED), start);
        set(t, "event");
        t.go(end);
        t.bind(start);
        take_over(t);
        t.go_if(r("won").not(), end);
    }
    spawn(t);
    t.bind(end);
}

/// `Domain::stop`, after a request, and after the thread has found nothing in these queues or
/// marks. If the stop is undone, the thread goes on at `on`.
fn stop(t: &mut Thread, looks_at: &[&'static str], on: Label) {
    let (work, gone) = (t.label(), t.label());
    t.of("Domain::stop");
    t.store("sleep_state", STOPPED, Relaxed);
    heavy(t);
    if !t.bad("no look behind the fence") {
        t.of("Domain::must_stay_up");
        for queue in looks_at {
            t.load("now", queue, Acquire);
            t.go_if(r("now"), work);
        }
    }
    t.go(gone);
    t.bind(work);
    if t.bad("undone by a store") {
        t.store("sleep_state", AWAKE, Relaxed);
        t.go(on);
    } else {
        take_over(t);
        if t.bad("the old thread goes on though another was started") {
            t.go(on);
        } else {
            t.go_if(r("won"), on);
        }
    }
    t.bind(gone);
    t.of("Domain::stop, gone");
    t.rmw("_n", "threads", r("_n").minus(1), AcqRel);
}

/// Two producers queue work while the thread stops. In the end exactly one thread exists.
pub(crate) const STOP: Case = Case {
    name: "stop",
    build: |p| {
        p.variables(&[("sleep_state", AWAKE), ("event", 0), ("threads", 1)]);
        p.variables(&[("qa", 0), ("qb", 0)]);
        p.thread("producer a", |t| push_and_rouse(t, "qa"));
        p.thread("producer b", |t| push_and_rouse(t, "qb"));
        p.thread("gp thread", |t| {
            let on = t.label();
            stop(t, &["qa", "qb"], on);
            t.bind(on);
        });
        one_thread(p);
    },
    floor: 500,
    faults: &[
        lost("no heavy fence", ALL),
        lost("a light fence in place of the heavy one", ASYMMETRIC),
        lost("no look behind the fence", ALL),
        lost("no light fence behind the push", FENCE),
        broken("undone by a store", ALL),
        broken("restarted by a store", ALL),
        broken("the old thread goes on though another was started", ALL),
    ],
};

/// Two waiters request a grace period while the thread stops. A requester checks only whether the
/// thread has stopped.
pub(crate) const STOP_REQUEST: Case = Case {
    name: "stop_request",
    build: |p| {
        p.variables(&[("sleep_state", AWAKE), ("event", 0), ("threads", 1)]);
        p.variables(&[("wa", 0), ("wb", 0)]);
        for (name, wanted) in [("waiter a", "wa"), ("waiter b", "wb")] {
            p.thread(name, |t| {
                t.of("Domain::want");
                raise(t, wanted, 1.into());
                t.of("Domain::kick");
                if !t.bad("no light fence behind a request") {
                    t.light();
                }
                let runs = t.label();
                t.of("SleepState::is_stopped");
                t.load("sleep_state", "sleep_state", Acquire);
                t.go_if(r("sleep_state").is(STOPPED).not(), runs);
                if t.bad("restarted by a store") {
                    t.store("sleep_state", AWAKE, Release);
                } else {
                    take_over(t);
                    t.go_if(r("won").not(), runs);
                }
                spawn(t);
                t.bind(runs);
                set(t, "event");
            });
        }
        p.thread("gp thread", |t| {
            let on = t.label();
            stop(t, &["wa", "wb"], on);
            t.bind(on);
        });
        one_thread(p);
    },
    floor: 300,
    faults: &[
        lost("no heavy fence", ALL),
        lost("no look behind the fence", ALL),
        lost("no light fence behind a request", WEAK_FENCE),
        broken("undone by a store", ALL),
        broken("restarted by a store", ALL),
    ],
};

fn one_thread(p: &mut Program) {
    p.finally(Failure::LostWork, "there is work, and no thread to do it", |value| {
        value("threads") != 0
    });
    p.finally(Failure::Broken, "two threads drive the domain", |value| value("threads") == 1);
}

/// `Shutdown` after its drain. The thread `asker` requests an attempt to stop, and waits until the
/// attempt is over or the grace-period thread has stopped. Meanwhile `producer` queues work, and
/// may start `second`, another grace-period thread. When both are done, `closer` ends the program.
pub(crate) const SHUTDOWN: Case = Case {
    name: "shutdown",
    build: |p| {
        p.variables(&[("sleep_state", AWAKE), ("event", 0), ("started", 0)]);
        // 1 in `stops`: an earlier request of another caller. 2: the request of `asker`.
        p.variables(&[("queued", 0), ("collected", 0), ("stops", 1), ("told", 0)]);
        p.variables(&[("closed", 0), ("asker", 0), ("producer", 0)]);
        p.thread("asker", |t| {
            let done = t.label();
            let look = |t: &mut Thread| {
                t.of("SleepState::is_stopped");
                t.load("sleep_state", "sleep_state", Acquire);
                t.go_if(r("sleep_state").is(STOPPED), done);
            };
            let early = t.bad("a shutdown looks at the sleep state before it asks");
            if early {
                look(t);
            }
            t.of("WaitList::join");
            t.rmw("_s", "stops", r("_s").plus(2), AcqRel);
            t.light();
            set(t, "event");
            t.of("WaitList::rejoin");
            t.rmw("here", "stops", r("here"), AcqRel);
            t.go_if(r("here").below(2), done);
            if !early && !t.bad("a shutdown does not look whether the thread has stopped") {
                look(t);
            }
            t.of("Shutdown, woken");
            t.wait("told", "told", r("told"));
            t.bind(done);
            t.store("asker", 1, Release);
        });
        p.thread("producer", |t| {
            let (end, start) = (t.label(), t.label());
            t.of("Queue::push");
            t.store("queued", 1, Release);
            t.light();
            t.of("SleepState::rouse");
            t.load("sleep_state", "sleep_state", Relaxed);
            t.go_if(r("sleep_state").is(AWAKE), end);
            t.cas("sleep_state", "sleep_state", ASLEEP, AWAKE, AcqRel);
            t.go_if(r("sleep_state").is(AWAKE), end);
            t.go_if(r("sleep_state").is(STOPPED), start);
            set(t, "event");
            t.go(end);
            t.bind(start);
            take_over(t);
            t.go_if(r("won").not(), end);
            t.store("started", 1, Release);
            t.bind(end);
            t.store("producer", 1, Release);
        });
        p.thread("gp thread", drive);
        p.thread("second", |t| {
            let never = t.label();
            t.wait("started", "started", r("started"));
            t.go_if(r("started").is(2), never);
            drive(t);
            t.bind(never);
        });
        p.thread("closer", |t| {
            t.wait("asker", "asker", r("asker"));
            t.wait("producer", "producer", r("producer"));
            t.wait("collected", "collected", r("collected"));
            t.cas("started", "started", 0, 2, AcqRel);
            t.store("closed", 1, Release);
            set(t, "event");
        });
    },
    floor: 3000,
    faults: &[
        hang("no heavy fence", ALL),
        hang("no look behind the fence", ALL),
        hang("a shutdown looks at the sleep state before it asks", ALL),
        hang("a shutdown does not look whether the thread has stopped", ALL),
    ],
};

/// `gp_thread::drive`, with `Domain::turn`, `Domain::sleep` and `Domain::stop`, of a thread that
/// was requested to stop.
fn drive(t: &mut Thread) {
    let (top, gone, over) = (t.here(), t.label(), t.label());
    reset(t, "event");
    t.load("closed", "closed", Acquire);
    t.go_if(r("closed"), over);
    t.of("Domain::turn");
    let none = t.label();
    t.load("queued", "queued", Acquire);
    t.go_if(r("queued").not(), none);
    t.store("queued", 0, Relaxed);
    t.store("collected", 1, Release);
    t.go(top);
    t.bind(none);
    t.of("Domain::is_stop_requested");
    t.rmw("asked", "stops", r("asked"), AcqRel);
    let sleeps = t.label();
    t.go_if(r("asked").not(), sleeps);
    let work = t.label();
    t.of("Domain::stop");
    t.store("sleep_state", STOPPED, Relaxed);
    heavy(t);
    if !t.bad("no look behind the fence") {
        t.load("now", "queued", Acquire);
        t.go_if(r("now"), work);
    }
    stop_tried(t);
    t.go(gone);
    t.bind(work);
    take_over(t);
    stop_tried(t);
    t.go_if(r("won"), top);
    t.go(gone);
    t.bind(sleeps);
    let up = t.label();
    t.of("SleepState::fall_asleep");
    t.store("sleep_state", ASLEEP, Relaxed);
    heavy(t);
    t.of("Domain::must_stay_up");
    t.load("now", "queued", Acquire);
    t.go_if(r("now"), up);
    sleep(t, "event");
    t.bind(up);
    t.of("SleepState::wake_up");
    t.store("sleep_state", AWAKE, Relaxed);
    t.go(top);
    t.bind(gone);
    t.bind(over);
}

/// `Domain::stop_attempted`.
fn stop_tried(t: &mut Thread) {
    t.of("Domain::stop_attempted");
    let nobody = t.label();
    t.rmw("taken", "stops", 0, AcqRel);
    t.go_if(r("taken").below(2), nobody);
    t.store("told", 1, Release);
    t.bind(nobody);
}

/// The last handle is dropped while the grace-period thread stops at the request of a shutdown.
/// Exactly one of the two gives the registry away.
pub(crate) const END: Case = Case {
    name: "end",
    build: |p| {
        p.variables(&[("sleep_state", AWAKE), ("event", 0), ("collector", 0)]);
        p.variables(&[("ended", 0), ("recycled", 0), ("asked", 1)]);
        p.thread("last handle", |t| {
            let (runs, end) = (t.label(), t.label());
            t.of("Domain::end");
            let locked = !t.bad("the end is not decided under the collector lock");
            if locked {
                t.lock("collector");
            }
            t.store("ended", 1, Release);
            t.load("sleep_state", "sleep_state", Acquire);
            t.go_if(r("sleep_state").is(STOPPED).not(), runs);
            recycle(t);
            if locked {
                t.unlock("collector");
            }
            t.go(end);
            t.bind(runs);
            if locked {
                t.unlock("collector");
            }
            set(t, "event");
            t.bind(end);
        });
        p.thread("gp thread", |t| {
            let (top, stops, handles) = (t.here(), t.label(), t.label());
            reset(t, "event");
            t.of("Domain::sleep");
            t.load("ended", "ended", Acquire);
            t.rmw("asked", "asked", r("asked"), AcqRel);
            t.go_if(r("asked").or("ended"), stops);
            t.of("SleepState::fall_asleep");
            t.store("sleep_state", ASLEEP, Relaxed);
            t.heavy();
            sleep(t, "event");
            t.of("SleepState::wake_up");
            t.store("sleep_state", AWAKE, Relaxed);
            t.go(top);
            t.bind(stops);
            t.of("Domain::stop");
            t.lock("collector");
            t.store("sleep_state", STOPPED, Relaxed);
            t.heavy();
            t.load("ended", "ended", Acquire);
            t.go_if(r("ended").not(), handles);
            recycle(t);
            t.bind(handles);
            t.unlock("collector");
        });
        p.finally(Failure::Broken, "the registry is given away twice, or never", |value| {
            value("recycled") == 1
        });
    },
    floor: 50,
    faults: &[broken("the end is not decided under the collector lock", ALL)],
};

/// `Domain::recycle`.
fn recycle(t: &mut Thread) {
    t.of("Domain::recycle");
    t.rmw("_r", "recycled", r("_r").plus(1), AcqRel);
}
