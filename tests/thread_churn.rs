//! What threads and domains leave behind is used again: memory is bounded by how many there are at once, not by how many
//! there ever were. A binary of its own, as it counts every byte of the process.

use async_rcu::{Deferred, Rcu, RcuCell};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

fn count(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: everything is passed on to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(count(layout.size()), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(count(layout.size()), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test at a time: each would count what the other allocates.
static ALONE: Mutex<()> = Mutex::new(());

/// What `rounds` of `f` leave allocated.
fn left_by(rounds: usize, f: impl Fn()) -> isize {
    let before = LIVE.load(Ordering::Relaxed);
    (0..rounds).for_each(|_| f());
    LIVE.load(Ordering::Relaxed) - before
}

#[test]
fn threads_that_come_and_go_use_the_same_places_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0_u64);
    let threads = rcu.stats().threads;
    let round = || {
        thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                scope.spawn(|| {
                    drop(rcu.read());
                    // More than one block of words, all held at once.
                    let held: Vec<_> = (0..64).map(|_| rcu.read_owned()).collect();
                    drop(held);
                    cell.store(1);
                })
            });
            // The end of a scope does not wait for destructors of thread-locals, a join does.
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        rcu.blocking_drain();
    };
    (0..20).for_each(|_| round());
    let left = left_by(300, round);
    assert!(left < 64 << 10, "600 threads left {left} bytes");
    assert!(
        rcu.stats().threads <= threads + 1,
        "the ended ones count no more"
    );
}

#[test]
fn domains_that_come_and_go_use_the_same_places_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let round = || {
        let rcu = Rcu::new();
        let cell = RcuCell::new_in(&rcu, 0_u64);
        let held: Vec<_> = (0..64).map(|_| rcu.read_owned()).collect();
        drop(held);
        cell.store(1);
        // Whatever has a handle of its own gives it back.
        drop(cell.read_owned());
        drop(cell.swap(2));
        drop(cell.swap(3).wait());
        assert_eq!(*cell.swap(4).blocking_wait(), 3);
        assert_eq!(*cell.into_retired().blocking_wait(), 4);
        drop(RcuCell::new_in(&rcu, 0_u64));
        drop(Deferred::new_in(&rcu, 0_u64));
        drop(rcu.drain());
        rcu.blocking_shutdown();
    };
    (0..20).for_each(|_| round());
    let left = left_by(200, round);
    // A place with its first block of words alone is larger than 512 bytes.
    assert!(left < 64 << 10, "200 domains left {left} bytes");
}
