//! The crate uses the memory of ended threads and domains again. So the memory grows with the
//! threads and domains that exist at the same time, not with all that ever existed. The tests count
//! every byte of the process, so this binary holds no other tests, and they run one at a time.

mod common;

use async_rcu::{Rcu, RcuCell, cell::RetireOnDrop, executor::InlineExecutor};
use common::allocator::Counting;
use common::{alone, until, within};
use std::thread;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Returns the number of bytes that `rounds` calls of `f` leave allocated.
fn left_by(rounds: usize, f: impl Fn()) -> isize {
    let before = ALLOCATOR.held();
    (0..rounds).for_each(|_| f());
    ALLOCATOR.held() - before
}

#[test]
fn threads_that_come_and_go_use_the_same_places_again() {
    let _alone = alone();
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0_u64);
    let threads = rcu.stats().threads;
    let round = || {
        thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                scope.spawn(|| {
                    drop(rcu.read());
                    // The guards need more than one block of words at once.
                    let held: Vec<_> = (0..64).map(|_| rcu.read_owned()).collect();
                    drop(held);
                    cell.store(1);
                })
            });
            // A join waits for destructors of thread-locals. The end of a scope does not.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        rcu.blocking_drain();
    };
    (0..20).for_each(|_| round());
    let left = left_by(300, round);
    assert!(left < 64 << 10, "600 threads left {left} bytes");
    assert!(rcu.stats().threads <= threads + 1, "ended threads still count");
}

#[test]
fn domains_that_come_and_go_use_the_same_places_again() {
    let _alone = alone();
    let round = || {
        let rcu = Rcu::new();
        let cell = RcuCell::new_in(&rcu, 0_u64);
        let held: Vec<_> = (0..64).map(|_| rcu.read_owned()).collect();
        drop(held);
        cell.store(1);
        // Every type with a handle of its own gives the handle back.
        drop(cell.read_owned());
        drop(cell.swap(2));
        drop(cell.swap(3).wait());
        assert_eq!(*cell.swap(4).blocking_wait(), 3);
        assert_eq!(*cell.into_retired().blocking_wait(), 4);
        drop(RcuCell::new_in(&rcu, 0_u64));
        drop(RetireOnDrop::new_in(&rcu, 0_u64));
        drop(rcu.drain());
        rcu.blocking_shutdown();
    };
    (0..20).for_each(|_| round());
    let left = left_by(200, round);
    // A record with its first block of words is larger than 512 bytes.
    assert!(left < 64 << 10, "200 domains left {left} bytes");
}

/// Uses and drops a domain with readers, owned guards and callbacks of three threads. Returns when
/// the domain is gone.
fn one(number: usize) {
    let builder = match number % 2 {
        0 => Rcu::builder(),
        _ => Rcu::builder().executor(InlineExecutor),
    };
    // A hook of the domain owns the value, which is dropped with the domain.
    let alive = std::sync::Arc::new(());
    let gone = std::sync::Arc::downgrade(&alive);
    let rcu = builder.on_idle(move || _ = &alive).build().expect("a domain");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let guards: Vec<_> = (0..100).map(|_| rcu.read_owned()).collect();
                for i in 0..200_usize {
                    let words = [i; 5];
                    rcu.call(move || assert_eq!(words, [i; 5]));
                }
                drop(guards);
                drop(rcu.read());
            });
        }
    });
    rcu.blocking_drain();
    if number % 3 == 0 {
        rcu.blocking_shutdown();
    }
    drop(rcu);
    until("the end of the domain", || gone.strong_count() == 0);
}

#[test]
fn domains_leave_no_memory_no_thread_and_no_descriptor() {
    let _alone = alone();
    within(|| {
        let held_after = |domains: usize| {
            (0..domains).for_each(one);
            ALLOCATOR.held()
        };
        // The first domains allocate what later domains use again: registries, records, chunks and
        // blocks.
        let warm = held_after(200);
        let before = descriptors();
        let later = held_after(2000);
        // The limit is far below the size of one record for each domain.
        let each = (later - warm) / 2000;
        assert!(each < 100, "each ended domain has left {each} bytes");
        assert_eq!(descriptors(), before);
        until("the end of every thread", || domain_threads() == 0);
    });
}

/// Returns the number of open descriptors, with the one that the count itself needs.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// Returns the number of threads of domains.
#[cfg(target_os = "linux")]
fn domain_threads() -> usize {
    common::threads_named(|name| name.starts_with("rcu-")).len()
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> usize {
    0
}

#[cfg(not(target_os = "linux"))]
fn domain_threads() -> usize {
    0
}
