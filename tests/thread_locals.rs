//! A thread may read and defer work at any time, also in destructors of thread-locals that run
//! before or after the crate's own.

mod common;

use async_rcu::{OwnedReadGuard, Rcu, RcuCell, ReadGuard};
use common::{Drops, HANG_GUARD, Probe, elapses, newcomers_find_free_places};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

/// Closures to run when the thread's destructors run.
#[derive(Default)]
struct AtExit(RefCell<Vec<Box<dyn FnOnce()>>>);

impl AtExit {
    fn push(&self, f: impl FnOnce() + 'static) {
        self.0.borrow_mut().push(Box::new(f));
    }
}

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|f| f());
    }
}

thread_local! {
    static AT_EXIT: AtExit = AtExit::default();
    static HELD: RefCell<Vec<ReadGuard<'static>>> = const { RefCell::new(Vec::new()) };
    static HELD_OWNED: RefCell<Vec<OwnedReadGuard>> = const { RefCell::new(Vec::new()) };
}

/// The time of the thread's first use of the domain. Destructors run in an order that depends on
/// their registration. These cases cover both orders, and a thread that has never used the domain.
#[derive(Clone, Copy, Debug)]
enum First {
    Domain,
    Local,
    Never,
}
const FIRSTS: [First; 3] = [First::Domain, First::Local, First::Never];

/// Runs `f` in the destructor of a thread-local, at the end of a new thread.
fn at_exit(rcu: &Rcu, first: First, f: impl FnOnce() + Send + 'static) {
    let rcu = rcu.clone();
    thread::spawn(move || {
        match first {
            First::Domain => {
                drop(rcu.read());
                AT_EXIT.with(|at_exit| at_exit.push(f));
            }
            First::Local => {
                AT_EXIT.with(|at_exit| at_exit.push(f));
                drop(rcu.read());
            }
            First::Never => AT_EXIT.with(|at_exit| at_exit.push(f)),
        };
    })
    .join()
    .unwrap();
}

#[test]
fn reads_work_in_thread_local_destructors() {
    for first in FIRSTS {
        let rcu = Rcu::new();
        let drops = Drops::default();
        let cell = Arc::new(RcuCell::new_in(&rcu, drops.value(1)));
        let (labels, got) = mpsc::channel();
        let probe = Probe::new(&rcu);
        let threads = rcu.stats().threads;
        let (inside, entered) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let thread = {
            let (rcu, cell) = (rcu.clone(), Arc::clone(&cell));
            thread::spawn(move || {
                at_exit(&rcu.clone(), first, move || {
                    let outer = rcu.read();
                    let value = cell.load(&outer);
                    let inner = rcu.read();
                    labels.send(cell.load(&inner).label()).unwrap();
                    drop(inner);
                    labels.send(cell.read().label()).unwrap();
                    inside.send(()).unwrap();
                    wait.recv_timeout(HANG_GUARD).unwrap();
                    labels.send(value.label()).unwrap();
                    labels.send(cell.with(|value| value.label())).unwrap();
                });
            })
        };
        entered.recv_timeout(HANG_GUARD).unwrap();
        // Windows runs destructors under a lock that every thread takes when it starts: no thread
        // could start while this one waits.
        if !cfg!(windows) {
            newcomers_find_free_places(&rcu);
        }
        cell.store(drops.value(2));
        let gp = probe.held_up();
        assert_eq!(drops.count(), 0);
        go_on.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(rcu.stats().threads, threads, "{first:?}");
        elapses(&rcu, gp);
        drops.reach(1);
        assert_eq!(got.iter().collect::<Vec<_>>(), [1, 1, 1, 2], "{first:?}");
    }
}

#[test]
fn owned_guards_made_in_thread_local_destructors_protect_until_dropped() {
    for first in FIRSTS {
        let rcu = Rcu::new();
        let (guards, got) = mpsc::channel();
        let probe = Probe::new(&rcu);
        let threads = rcu.stats().threads;
        at_exit(&rcu.clone(), first, {
            let rcu = rcu.clone();
            move || {
                let gone = rcu.read_owned();
                guards.send(rcu.read_owned()).unwrap();
                guards.send(rcu.read_owned()).unwrap();
                drop(gone);
            }
        });
        let (one, two) = (got.recv().unwrap(), got.recv().unwrap());
        assert_eq!(rcu.stats().threads, threads, "{first:?}");
        drop(one);
        newcomers_find_free_places(&rcu);
        let gp = probe.held_up();
        assert_eq!(rcu.stats().owned_guards, 1, "{first:?}");
        drop(two);
        elapses(&rcu, gp);
    }
}

#[test]
fn calls_made_in_thread_local_destructors_run() {
    for first in FIRSTS {
        let rcu = Rcu::new();
        let drops = Drops::default();
        let cell = Arc::new(RcuCell::new_in(&rcu, drops.value(1)));
        let (ran, got) = mpsc::channel();
        let threads = rcu.stats().threads;
        at_exit(&rcu.clone(), first, {
            let (rcu, cell) = (rcu.clone(), Arc::clone(&cell));
            let retired = Box::new(drops.value(9));
            let new = drops.value(2);
            move || {
                for i in 0..3 {
                    let ran = ran.clone();
                    rcu.call(move || ran.send(i).unwrap());
                }
                rcu.retire(retired);
                cell.store(new);
            }
        });
        let mut ran: Vec<i32> = (0..3).map(|_| got.recv_timeout(HANG_GUARD).unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, [0, 1, 2], "{first:?}");
        drops.reach(2);
        assert_eq!(rcu.stats().threads, threads, "{first:?}");
        assert_eq!(cell.read().label(), 2);
        assert!(got.recv().is_err(), "a callback ran twice");
    }
}

#[test]
fn a_call_made_in_a_destructor_waits_for_the_sections_of_that_destructor() {
    for first in FIRSTS {
        let rcu = Rcu::new();
        let drops = Drops::default();
        let (inside, entered) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let (seen, got) = mpsc::channel();
        let probe = Probe::new(&rcu);
        let thread = {
            let rcu = rcu.clone();
            let value = Box::new(drops.value(1));
            let drops = drops.clone();
            thread::spawn(move || {
                at_exit(&rcu.clone(), first, move || {
                    let section = rcu.read();
                    rcu.retire(value);
                    inside.send(()).unwrap();
                    wait.recv_timeout(HANG_GUARD).unwrap();
                    seen.send(drops.count()).unwrap();
                    drop(section);
                });
            })
        };
        entered.recv_timeout(HANG_GUARD).unwrap();
        probe.held_up();
        go_on.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(got.recv().unwrap(), 0, "{first:?}");
        drops.reach(1);
    }
}

/// Starts a thread that holds a guard until the thread ends.
fn holds_until_its_end(rcu: &Rcu, hold: impl FnOnce() + Send + 'static) {
    let probe = Probe::new(rcu);
    let (held, is_held) = mpsc::channel();
    let (end, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        hold();
        held.send(()).unwrap();
        wait.recv_timeout(HANG_GUARD).unwrap();
    });
    is_held.recv_timeout(HANG_GUARD).unwrap();
    let gp = probe.held_up();
    end.send(()).unwrap();
    thread.join().unwrap();
    elapses(rcu, gp);
}

#[test]
fn a_guard_kept_in_a_thread_local_is_dropped_at_the_end_of_the_thread() {
    let rcu: &'static Rcu = Box::leak(Box::new(Rcu::new()));
    // The thread-local is older than the thread's first read.
    holds_until_its_end(rcu, || {
        HELD.with(|held| {
            held.borrow_mut().clear();
            held.borrow_mut().push(rcu.read());
        });
    });
    // The thread-local is younger than the thread's first read.
    holds_until_its_end(rcu, || {
        let guard = rcu.read();
        HELD.with(|held| held.borrow_mut().push(guard));
    });
    // The thread has several guards, one of them outside of thread-locals.
    holds_until_its_end(rcu, || {
        let passing = rcu.read();
        HELD.with(|held| held.borrow_mut().extend([rcu.read(), rcu.read()]));
        drop(passing);
    });
    rcu.blocking_synchronize();
}

#[test]
fn an_owned_guard_kept_in_a_thread_local_is_dropped_at_the_end_of_the_thread() {
    let rcu = Rcu::new();
    for first_read in [false, true] {
        let handle = rcu.clone();
        holds_until_its_end(&rcu, move || {
            if first_read {
                drop(handle.read());
            }
            HELD_OWNED.with(|held| {
                held.borrow_mut().clear();
                let guards = (0..100).map(|_| handle.read_owned());
                held.borrow_mut().extend(guards);
            });
        });
        assert_eq!(rcu.stats().owned_guards, 0);
    }
}

#[test]
fn a_section_that_a_destructor_leaves_last_does_not_meet_the_next_owner_of_the_place() {
    let rcu: &'static Rcu = Box::leak(Box::new(Rcu::new()));
    // Some threads end their section after the crate's own destructor, while others register.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let thread = thread::spawn(|| {
                        HELD.with(|held| held.borrow_mut().clear());
                        let guard = rcu.read();
                        HELD.with(|held| held.borrow_mut().push(guard));
                        drop(rcu.read_owned());
                    });
                    drop(rcu.read());
                    thread.join().unwrap();
                }
            });
        }
    });
    let probe = Probe::new(rcu);
    let guard = rcu.read();
    let gp = probe.held_up();
    drop(guard);
    elapses(rcu, gp);
    rcu.blocking_synchronize();
}

#[test]
fn a_thread_may_end_while_its_owned_guards_are_held_elsewhere() {
    let rcu = Rcu::new();
    let before = rcu.stats().threads;
    let probe = Probe::new(&rcu);
    let handle = rcu.clone();
    let mut guards =
        thread::spawn(move || (0..100).map(|_| handle.read_owned()).collect::<Vec<_>>())
            .join()
            .unwrap();
    // Later threads must not get the words that are still in use.
    let handle = rcu.clone();
    thread::spawn(move || drop((0..1000).map(|_| handle.read_owned()).collect::<Vec<_>>()))
        .join()
        .unwrap();
    let last = guards.swap_remove(50);
    drop(guards);
    let gp = probe.held_up();
    assert_eq!(rcu.stats().owned_guards, 1);
    drop(last);
    elapses(&rcu, gp);
    assert_eq!(rcu.stats().threads, before + 1, "only this thread has a record");
}

#[test]
fn registering_in_thread_local_destructors_leaves_nothing_behind() {
    for first in FIRSTS {
        let rcu = Rcu::new();
        let threads = rcu.stats().threads;
        let (done, is_done) = mpsc::channel();
        at_exit(&rcu.clone(), first, {
            let rcu = rcu.clone();
            move || {
                let registration = rcu.register_thread();
                drop(rcu.read());
                drop(registration);
                done.send(()).unwrap();
            }
        });
        is_done.recv_timeout(HANG_GUARD).unwrap();
        newcomers_find_free_places(&rcu);
        rcu.blocking_synchronize();
        assert_eq!(rcu.stats().threads, threads, "{first:?}");
    }
}
