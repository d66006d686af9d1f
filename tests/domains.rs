//! Domains that come and go leave nothing behind: what they keep for ever they use again. A binary and a single test of its
//! own, because it counts this process's memory.

mod common;

use async_rcu::{InlineExecutor, Rcu};
use common::{until, within};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;

/// The system's allocator, with a count of what is held.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: usize, sign: isize) {
    HELD.fetch_add(
        sign * isize::try_from(bytes).unwrap_or(0),
        Ordering::Relaxed,
    );
}

// SAFETY: every method does what `System` does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A domain with readers, owned guards and callbacks of three threads, used and dropped. Returns when it is wholly gone.
fn one(number: usize) {
    let builder = match number % 2 {
        0 => Rcu::builder(),
        _ => Rcu::builder().executor(InlineExecutor),
    };
    // Owned by the domain, by way of a hook: gone when it is.
    let alive = std::sync::Arc::new(());
    let gone = std::sync::Arc::downgrade(&alive);
    let rcu = builder
        .on_idle(move || _ = &alive)
        .build()
        .expect("a domain");
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
fn leave_no_memory_no_thread_and_no_descriptor_behind() {
    within(|| {
        let held_after = |domains: usize| {
            (0..domains).for_each(one);
            HELD.load(Ordering::Relaxed)
        };
        // The first ones fill what is kept to be used again: cores, records, chunks, blocks.
        let warm = held_after(200);
        let before = descriptors();
        let later = held_after(2000);
        // A record alone is larger than one byte for each domain.
        let each = (later - warm) / 2000;
        assert!(each < 100, "{each} bytes for every domain that is gone");
        assert_eq!(descriptors(), before);
        until("the end of every thread", || domain_threads() == 0);
    });
}

/// Open descriptors of this process, but the one that it takes to count them.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// Threads of domains.
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
