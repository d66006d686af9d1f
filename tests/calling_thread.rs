//! Callbacks on the thread that queued them, and who runs them if it does not come by.

mod common;

use async_rcu::{GlobalLock, Rcu, RcuCell, executor::CallingThread};
use common::{receive, until, within};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};

fn domain() -> Rcu {
    Rcu::builder().name("callers").executor(CallingThread).build().unwrap()
}

fn me() -> ThreadId {
    thread::current().id()
}

/// Queues callbacks until one has run on this thread. Returns how many.
fn call_until_one_ran_here(rcu: &Rcu) -> usize {
    let (here, ran) = (me(), Arc::new(AtomicUsize::new(0)));
    let mut queued = 0;
    until("a callback ran on the thread that queued it", || {
        for _ in 0..100 {
            let ran = Arc::clone(&ran);
            rcu.call(move || _ = ran.fetch_add(usize::from(me() == here), Ordering::Relaxed));
        }
        queued += 100;
        ran.load(Ordering::Relaxed) != 0
    });
    queued
}

#[test]
fn a_thread_runs_its_callbacks_at_its_next_calls() {
    let rcu = domain();
    let queued = call_until_one_ran_here(&rcu);
    rcu.blocking_drain();
    let stats = rcu.stats();
    assert_eq!((stats.queued, stats.finished), (queued as u64, queued as u64));
}

#[test]
fn every_write_gives_the_thread_a_chance() {
    struct Noted(Arc<AtomicUsize>, ThreadId);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.fetch_add(usize::from(me() == self.1), Ordering::Relaxed);
        }
    }
    let rcu = domain();
    let here = me();
    let count = Arc::new(AtomicUsize::new(0));
    let cell = RcuCell::new_in(&rcu, Noted(Arc::clone(&count), here));
    let writes: [&dyn Fn(); 4] = [
        &|| cell.store(Noted(Arc::clone(&count), here)),
        &|| drop(cell.swap(Noted(Arc::clone(&count), here))),
        &|| rcu.retire(Box::new(Noted(Arc::clone(&count), here))),
        &|| rcu.retire(Box::new(Noted(Arc::clone(&count), here)) as Box<dyn Send>),
    ];
    for write in writes {
        let before = count.load(Ordering::Relaxed);
        until("a value was dropped by its writer", || {
            (0..100).for_each(|_| write());
            count.load(Ordering::Relaxed) != before
        });
    }
}

#[test]
fn an_idle_thread_leaves_its_callbacks_to_the_worker() {
    let rcu = domain();
    let (send, ran) = mpsc::channel();
    rcu.call(move || send.send(thread::current().name().map(str::to_owned)).unwrap());
    assert_eq!(receive(&ran).as_deref(), Some("rcu-callers-cb"));
}

#[test]
fn a_thread_that_ends_leaves_its_callbacks_to_the_worker() {
    let rcu = domain();
    let (send, ran) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..1000 {
                let send = send.clone();
                rcu.call(move || send.send(n).unwrap());
            }
        });
    });
    let mut all: Vec<i32> = (0..1000).map(|_| receive(&ran)).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..1000));
}

#[test]
fn a_thread_inside_a_section_of_any_domain_runs_no_callback() {
    let (rcu, other) = (domain(), Rcu::new());
    let here = me();
    let section = other.read();
    for _ in 0..20_000 {
        rcu.call(move || assert_ne!(me(), here));
    }
    drop(section);
    thread::scope(|scope| scope.spawn(|| rcu.blocking_drain()).join().unwrap());
    assert_eq!(rcu.stats().panicked, 0);
}

#[test]
fn a_callback_that_queues_does_not_run_others_meanwhile() {
    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    let rcu = domain();
    for _ in 0..2000 {
        let again = rcu.clone();
        rcu.call(move || {
            DEPTH.set(DEPTH.get() + 1);
            assert_eq!(DEPTH.get(), 1);
            (0..3).for_each(|_| again.call(|| ()));
            DEPTH.set(DEPTH.get() - 1);
        });
    }
    rcu.blocking_drain();
    rcu.blocking_drain();
    let stats = rcu.stats();
    assert_eq!((stats.panicked, stats.finished), (0, 8000));
}

#[test]
fn drain_and_force_do_not_wait_for_the_thread() {
    let rcu = domain();
    let waits = rcu.clone();
    for n in 0..200 {
        rcu.call(|| ());
        match n % 2 {
            0 => rcu.force(),
            _ => rcu.blocking_drain(),
        }
    }
    // From another thread, while this one does nothing.
    rcu.call(|| ());
    within(move || waits.blocking_drain());
    assert_eq!(rcu.stats().finished, 201);
}

#[test]
fn the_last_handle_leaves_no_callback_behind() {
    let (send, ran) = mpsc::channel();
    let rcu = domain();
    for _ in 0..5000 {
        let send = send.clone();
        rcu.call(move || send.send(()).unwrap());
    }
    drop((rcu, send));
    assert_eq!(ran.iter().count(), 5000);
}

#[test]
fn callbacks_under_a_lock_and_async_ones_run_on_the_worker() {
    let state = GlobalLock::new(0);
    let rcu =
        Rcu::builder().name("locked").executor(CallingThread).global_lock(&state).build().unwrap();
    let (here, away) = (me(), Arc::new(AtomicU64::new(0)));
    for _ in 0..1000 {
        state.call(&rcu, |n| *n += 1);
        let away = Arc::clone(&away);
        rcu.call_async(async move {
            away.fetch_add(u64::from(me() != here), Ordering::Relaxed);
        });
    }
    rcu.blocking_drain();
    assert_eq!((*state.blocking_lock(), away.load(Ordering::Relaxed)), (1000, 1000));
}
