//! How many addresses have been looked up.
//!
//! All threads count, so one counter would be one line of memory that they all write: what reads under RCU do without
//! would come back by the counter. So each thread adds to a line that is, up to some tens of threads, its own, and who
//! wants the sum adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use crossbeam_utils::CachePadded;

/// Threads are numbered in the order of their first lookup.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

pub(crate) struct Lookups(Box<[CachePadded<AtomicU64>]>);

impl Lookups {
    pub(crate) fn new() -> Self {
        // The runtime has a worker for each processor; with twice as many lines, a few other threads do no harm.
        let threads = available_parallelism().map_or(8, usize::from);
        let lines = (2 * threads).next_power_of_two();
        Self((0..lines).map(|_| CachePadded::default()).collect())
    }

    /// An addition to a line that is mostly this thread's own. Atomic, as now and then it is shared.
    pub(crate) fn add(&self, lookups: u64) {
        let line = NUMBER.with(|number| number & (self.0.len() - 1));
        self.0[line].fetch_add(lookups, Ordering::Relaxed);
    }

    /// What has been added on all threads; while they go on, of about now.
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
        // More threads than lines: some share one.
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
