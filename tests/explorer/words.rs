//! The steps of the crate's functions, as they are in `src/`.
//!
//! The programs share these variables: `seq`, `fenced`, `elapsed`, a reader word (`w..`), the
//! `wake_requested` of the word's record (`asked..`, which has an [`address`]), and the event
//! (`event`). `p` is the pointer that readers follow, to version 0 or 1. The states of the versions
//! are `v0` and `v1`.

use super::expr::{Expr, r};
use super::program::{Failure, Program, Thread};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// States of a version.
pub(crate) const UNBORN: u8 = 0;
pub(crate) const ALIVE: u8 = 1;
pub(crate) const FREED: u8 = 2;

/// The first number of a domain in these programs.
pub(crate) const FIRST: u8 = 5;

/// Adds the variables of a domain and of one pointer.
pub(crate) fn domain(p: &mut Program) {
    let first = if p.bad("the sequence begins at 0") { 0 } else { FIRST };
    p.variables(&[("seq", first), ("fenced", first), ("elapsed", first)]);
    p.variables(&[("p", 0), ("v0", ALIVE), ("v1", ALIVE)]);
}

/// `Word::renew`, which is all that `Word::open` does.
pub(crate) fn renew(t: &mut Thread, word: &str) {
    t.of("Word::renew");
    let order = match t.bad("the sequence is read Relaxed") {
        true => Relaxed,
        false => Acquire,
    };
    t.load("s", "seq", order);
    t.store(word, r("s"), Release);
    if !t.bad("no light fence behind the word") {
        t.light();
    }
}

/// `Record::enter` of the outermost section.
pub(crate) fn enter(t: &mut Thread, word: &str) {
    renew(t, word);
}

/// `RcuCell::load`, and a look at the version that the pointer leads to.
pub(crate) fn read(t: &mut Thread) {
    t.of("RcuCell::get");
    t.load("p", "p", Acquire);
    look(t);
}

/// A look at the version whose pointer the thread has read.
pub(crate) fn look(t: &mut Thread) {
    t.of("use of the reference");
    t.load_at("v", "v0", r("p"));
    t.check(r("v").is(ALIVE), Failure::UseAfterFree, "reads a version that is not alive");
}

/// `Word::close`.
pub(crate) fn close(t: &mut Thread, word: &str) {
    t.of("Word::close");
    let order = match t.bad("the word is left Relaxed") {
        true => Relaxed,
        false => Release,
    };
    t.store(word, 0, order);
    if !t.bad("no light fence behind the 0") {
        t.light();
    }
}

/// Returns the address of a word, for its record's wake request. 0 is null.
pub(crate) fn address(word: &str) -> u8 {
    match word {
        "wb" => 2,
        _ => 1,
    }
}

/// `Record::wake_if_requested`, with `Record::wake_sleeper`.
pub(crate) fn left(t: &mut Thread, word: &str, asked: &str, event: &str) {
    let end = t.label();
    t.of("Record::wake_if_requested");
    t.load("asked", asked, Relaxed);
    t.go_if(r("asked").is(address(word)).not(), end);
    t.of("Record::wake_sleeper");
    if t.bad("what is asked is taken away after the wake") {
        set(t, event);
        t.of("Record::wake_sleeper");
        t.store(asked, 0, Release);
    } else {
        t.rmw("asked", asked, 0, AcqRel);
        t.go_if(r("asked").not(), end);
        set(t, event);
    }
    t.bind(end);
}

/// `Record::leave` of the outermost section, and `Record::leave_owned`.
pub(crate) fn leave(t: &mut Thread, word: &str, asked: &str) {
    close(t, word);
    left(t, word, asked, "event");
}

/// `Event::set`, without the state of a waiting thread. The program `event` has that state.
pub(crate) fn set(t: &mut Thread, event: &str) {
    t.of("Event::set");
    match t.bad("the event is set by a Relaxed store") {
        true => t.store(event, 1, Relaxed),
        false => t.rmw("_set", event, 1, AcqRel),
    }
}

/// `Event::reset`.
pub(crate) fn reset(t: &mut Thread, event: &str) {
    t.of("Event::reset");
    match t.bad("the event is reset by a store") {
        true => t.store(event, 0, Release),
        false => t.rmw("_reset", event, 0, AcqRel),
    }
}

/// `Event::wait`.
pub(crate) fn sleep(t: &mut Thread, event: &str) {
    t.of("Event::wait");
    t.wait("_event", event, r("_event"));
}

/// The writer's exchange of the pointer.
pub(crate) fn unlink(t: &mut Thread) {
    t.of("unlinking");
    t.store("p", 1, Release);
}

/// The writer frees the old version.
pub(crate) fn free(t: &mut Thread) {
    t.of("the free");
    t.store("v0", FREED, Relaxed);
}

/// `barrier::heavy`, with the faults that a grace period's start may have in it.
pub(crate) fn heavy(t: &mut Thread) {
    if t.bad("no heavy fence") {
        return;
    }
    if t.bad("a light fence in place of the heavy one") {
        return t.light();
    }
    if t.bad("a barrier that the system refuses is taken for done") {
        return t.fence();
    }
    t.heavy();
}

/// `Engine::start`. Puts the number into `g`.
pub(crate) fn start(t: &mut Thread) {
    t.of("Engine::start");
    let order = match t.bad("the number is taken Relaxed") {
        true => Relaxed,
        false => AcqRel,
    };
    t.rmw("g", "seq", r("g").plus(1), order);
    t.set("g", r("g").plus(1));
    if t.bad("`fenced` is raised before the fence") {
        raise(t, "fenced", r("g"));
        heavy(t);
    } else {
        heavy(t);
        raise(t, "fenced", r("g"));
    }
}

/// `Mark::raise`.
pub(crate) fn raise(t: &mut Thread, mark: &str, to: Expr) {
    t.rmw("_mark", mark, r("_mark").max(to), AcqRel);
}

/// Reads the limit of a scan, as `Engine::scan` does first.
pub(crate) fn limit(t: &mut Thread) {
    t.of("Engine::scan, the limit");
    match t.bad("the limit is read Relaxed") {
        true => t.load("limit", "fenced", Relaxed),
        false => t.load("limit", "fenced", Acquire),
    }
}

/// `Engine::scan`. Puts a number into `e` that `elapsed` has reached.
pub(crate) fn scan(t: &mut Thread, words: &[&'static str]) {
    if t.bad("the limit is the sequence") {
        t.load("limit", "seq", Acquire);
    } else if !t.bad("the limit is read last") {
        limit(t);
    }
    t.of("Engine::scan, the words");
    t.set("oldest", u8::MAX);
    for word in words {
        t.load("word", word, Acquire);
        t.set("oldest", r("oldest").held("word"));
    }
    if t.bad("the limit is read last") {
        limit(t);
    }
    t.of("Engine::scan, the end");
    t.set("oldest", r("oldest").min("limit"));
    raise(t, "elapsed", r("oldest"));
    t.set("e", r("_mark").max("oldest"));
}

/// Scans until `g` has elapsed.
pub(crate) fn scan_until(t: &mut Thread, words: &[&'static str]) {
    let top = t.here();
    scan(t, words);
    t.go_if(r("e").below("g"), top);
}

/// Adds a thread that reads once, in a section.
pub(crate) fn reader(p: &mut Program, name: &'static str, word: &'static str) {
    p.thread(name, |t| {
        enter(t, word);
        read(t);
        close(t, word);
    });
}

/// Adds a caller that has nothing to free: `Engine::try_start_and_scan`.
pub(crate) fn caller(p: &mut Program, words: &[&'static str]) {
    p.thread("caller", |t| {
        start(t);
        if t.bad("the limit is the scanner's own number, after its own fence") {
            own_limit(t, words, r("g"));
        } else if t.bad("no limit where a section is open") {
            own_limit(t, words, r("least").is(u8::MAX).then("g", u8::MAX));
        } else {
            scan(t, words);
        }
    });
}

/// A scan with a limit that does not come from `fenced`.
fn own_limit(t: &mut Thread, words: &[&'static str], limit: Expr) {
    t.of("Engine::scan, with another limit");
    t.set("least", u8::MAX);
    for word in words {
        t.load("word", word, Acquire);
        t.set("least", r("least").held("word"));
    }
    t.set("limit", limit);
    raise(t, "elapsed", r("least").min("limit"));
}
