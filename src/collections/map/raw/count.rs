//! How many entries there are, counted in several places, so that writers on different buckets seldom meet.

use crate::sys::prim::{AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

crate::sys::prim::model_const! {
    const STRIPES: usize = 8, loom 1;
}

/// An entry is counted up and down in the stripe of its hash. A taking out may be counted before the putting in, as both are
/// counted after the lock is left: so stripes wrap, and what is negative is none.
pub(crate) struct Count(Box<[CachePadded<AtomicUsize>]>);

impl Count {
    pub(super) fn new() -> Self {
        Self(
            (0..STRIPES)
                .map(|_| CachePadded::new(AtomicUsize::new(0)))
                .collect(),
        )
    }

    /// One more; tells about how many that makes, judged by this stripe alone.
    pub(super) fn add(&self, hash: u64) -> usize {
        let own = self
            .stripe(hash)
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        estimate(own)
    }

    /// One less; tells about how many that leaves, judged by this stripe alone.
    pub(super) fn remove(&self, hash: u64) -> usize {
        let own = self
            .stripe(hash)
            .fetch_sub(1, Ordering::Relaxed)
            .wrapping_sub(1);
        estimate(own)
    }

    pub(super) fn sum(&self) -> usize {
        let sum = self.0.iter().fold(0, |sum: usize, stripe| {
            sum.wrapping_add(stripe.load(Ordering::Relaxed))
        });
        not_negative(sum)
    }

    fn stripe(&self, hash: u64) -> &AtomicUsize {
        // Not the topmost bits: those number buckets, and a map's writers may be at neighbours.
        &self.0[(hash >> 16) as usize % STRIPES]
    }
}

fn estimate(own: usize) -> usize {
    not_negative(own).saturating_mul(STRIPES)
}

fn not_negative(count: usize) -> usize {
    usize::try_from(count as isize).unwrap_or(0)
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_ahead_of_its_other_half_is_no_huge_one() {
        let count = Count::new();
        count.remove(0);
        assert_eq!(count.sum(), 0);
        count.add(0);
        count.add(1 << 16);
        assert_eq!(count.sum(), 1);
    }
}
