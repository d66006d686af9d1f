//! The count of looked-up addresses.
//!
//! All threads count. One counter would be one cache line that all threads write. This write would
//! cost what RCU readers avoid. So each thread adds to a line of its own, up to some tens of
//! threads, and the sum adds the lines up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use crossbeam_utils::CachePadded;

/// The number of this thread, in the order of the first lookups.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

pub(crate) struct Lookups(Box<[CachePadded<AtomicU64>]>);

impl Lookups {
    pub(crate) fn new() -> Self {
        // The runtime has a worker for each processor. Twice as many lines leave room for a few
        // other threads.
        let threads = available_parallelism().map_or(8, usize::from);
        let lines = (2 * threads).next_power_of_two();
        Self((0..lines).map(|_| CachePadded::default()).collect())
    }

    /// Adds to this thread's line. The addition is atomic, since two threads may share a line.
    pub(crate) fn add(&self, lookups: u64) {
        let line = NUMBER.with(|number| number & (self.0.len() - 1));
        self.0[line].fetch_add(lookups, Ordering::Relaxed);
    }

    /// Returns the sum of all threads. While threads count, the sum is approximate.
    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_all_threads_add_is_in_the_sum() {
        let lookups = Lookups::new();
        // There are more threads than lines: some threads share a line.
        let threads = lookups.0.len() as u64 + 3;
        thread::scope(|scope| {
            for thread in 1..=threads {
                let lookups = &lookups;
                scope.spawn(move || (0..1000).for_each(|_| lookups.add(thread)));
            }
        });
        assert_eq!(lookups.sum(), 1000 * threads * (threads + 1) / 2);
    }
}
