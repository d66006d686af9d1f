//! Plain memory may be written again after a grace period. Only the end of the sections and the end
//! of the grace period order a section's reads before the writer's next writes, so ThreadSanitizer
//! reports a missing ordering.

mod common;

use async_rcu::Rcu;
use common::patience;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Two versions of a number and its complement. The writer writes the version that is not current.
struct Versions {
    both: [UnsafeCell<[u64; 2]>; 2],
    current: AtomicUsize,
}

// SAFETY: readers read the current version within sections. The only writer writes the other
// version, after a grace period in which that one was not current.
unsafe impl Sync for Versions {}

impl Versions {
    /// Reads the current version. The caller is in a section.
    fn read(&self) -> [u64; 2] {
        let at = self.current.load(Ordering::Acquire);
        // SAFETY: the version was current at the load in this section, so it is not written before
        // the section has ended.
        unsafe { *self.both[at].get() }
    }

    /// Writes a version. The only writer calls this, and waits for a grace period before the next
    /// call.
    fn write(&self, number: u64) {
        let other = 1 - self.current.load(Ordering::Relaxed);
        // SAFETY: the version has not been current for a grace period, so no section can see it.
        unsafe { *self.both[other].get() = [number, !number] };
        self.current.store(other, Ordering::Release);
    }
}

/// Runs readers against a writer. The readers only read: Relaxed loads tell them when to end.
fn readers_against(rcu: &Rcu, read: impl Fn(&Versions) -> [u64; 2] + Sync, wait: impl Fn(&Rcu)) {
    const READERS: usize = 2;
    let versions = Versions {
        both: [UnsafeCell::new([0, !0]), UnsafeCell::new([0, !0])],
        current: AtomicUsize::new(0),
    };
    let over = AtomicBool::new(false);
    let seen = [const { AtomicU64::new(0) }; READERS];
    thread::scope(|scope| {
        for seen in &seen {
            let (versions, over, read) = (&versions, &over, &read);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let [number, opposite] = read(versions);
                    assert_eq!(number, !opposite, "a version was written while a reader used it");
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let begun = Instant::now();
        let mut number = 0;
        // The writer goes on until every reader has read while versions changed.
        while number < 1_000 || seen.iter().any(|seen| seen.load(Ordering::Relaxed) < 1_000) {
            number += 1;
            versions.write(number);
            wait(rcu);
            if begun.elapsed() > patience::seconds(30) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    for seen in &seen {
        assert!(seen.load(Ordering::Relaxed) >= 1_000, "the readers have read too few versions");
    }
}

#[test]
fn is_written_again_after_a_section_has_ended() {
    let rcu = Rcu::new();
    let read = |versions: &Versions| {
        let _section = rcu.read();
        versions.read()
    };
    readers_against(&rcu, read, Rcu::blocking_synchronize);
}

#[test]
fn is_written_again_after_an_owned_guard_has_gone() {
    let rcu = Rcu::new();
    let read = |versions: &Versions| {
        let _section = rcu.read_owned();
        versions.read()
    };
    readers_against(&rcu, read, Rcu::blocking_synchronize);
}

#[test]
fn is_written_again_after_a_guard_was_refreshed() {
    let rcu = Rcu::new();
    let read = |versions: &Versions| {
        let mut section = rcu.read();
        let first = versions.read();
        section.refresh();
        assert_eq!(first[0], !first[1], "a version was written while a reader used it");
        versions.read()
    };
    readers_against(&rcu, read, Rcu::blocking_synchronize);
}

#[test]
fn is_written_again_in_a_callback() {
    let rcu = Rcu::new();
    let read = |versions: &Versions| {
        let _section = rcu.read();
        versions.read()
    };
    readers_against(&rcu, read, |rcu| {
        rcu.call(|| ());
        rcu.blocking_drain();
    });
}
