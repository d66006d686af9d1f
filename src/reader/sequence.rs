//! Sequence numbers of grace periods, the counter that gives them out, and all arithmetic on them.
//!
//! A number is a `u64` that starts at 1 or above and grows by one with each grace period. It never
//! wraps: at one grace period a nanosecond that takes 584 years. 0 means "idle" in reader words.

use crate::sys::prim::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// The number of a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seq(u64);

impl Seq {
    /// The number that a domain begins with. Not 0: a section that saw it must not look idle.
    pub(crate) const FIRST: Seq = Seq(1);

    /// A number that no grace period ever has.
    pub(crate) const LAST: Seq = Seq(u64::MAX);

    /// Makes a number of what [`raw`](Self::raw) returned.
    pub(crate) fn from_raw(raw: u64) -> Seq {
        debug_assert_ne!(raw, 0, "0 means idle, and is no sequence number");
        Seq(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// Returns how many grace periods were started after `earlier`, up to this one.
    pub(crate) fn since(self, earlier: Seq) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The number of the newest grace period started, in two places: sections read one, and writers
/// that want a number write the other. So such a writer takes no cache line away from readers.
///
/// A starter first *takes* a number, and then *publishes* it. If starters overlap, a later number
/// may be published before an earlier one, which then changes nothing.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Every section reads it.
    newest: CachePadded<AtomicU64>,
    taken: CachePadded<AtomicU64>,
}

impl Sequence {
    pub(crate) fn starting_at(first: Seq) -> Self {
        Self {
            newest: CachePadded::new(AtomicU64::new(first.0)),
            taken: CachePadded::new(AtomicU64::new(first.0)),
        }
    }

    /// Returns what a section that begins now stores in its word. Acquire: a reader that sees
    /// number `g` or a later one sees all that came before `g` was taken. For the reader reads what
    /// the starter of such a number published, and all takes are one chain of read-modify-writes.
    #[inline(always)]
    pub(crate) fn newest_raw(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    pub(crate) fn newest(&self) -> Seq {
        Seq::from_raw(self.newest_raw())
    }

    /// Takes the next number, for a grace period that the caller starts, and publishes it.
    pub(crate) fn take(&self) -> Seq {
        let seq = Seq(self.taken.fetch_add(1, Ordering::AcqRel)).next();
        self.newest.fetch_max(seq.0, Ordering::AcqRel);
        seq
    }

    /// Returns the number of the next grace period, for a caller that waits for it and does not
    /// start it.
    ///
    /// A read-modify-write and not a load: it joins the chain, so that number is taken after the
    /// caller's earlier stores. With a load, a reader could see the number and miss those
    /// stores.
    pub(crate) fn next(&self) -> Seq {
        Seq(self.taken.fetch_add(0, Ordering::AcqRel)).next()
    }
}

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) fn at(seq: Seq) -> Self {
        Self(AtomicU64::new(seq.0))
    }

    pub(crate) fn get(&self) -> Seq {
        Seq::from_raw(self.0.load(Ordering::Acquire))
    }

    /// Raises the mark to `seq` if it is below, and returns the mark.
    pub(crate) fn raise(&self, seq: Seq) -> Seq {
        Seq::from_raw(self.0.fetch_max(seq.0, Ordering::AcqRel).max(seq.0))
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_on_past_32_bits() {
        let edge = Seq::from_raw(u64::from(u32::MAX) - 1);
        let sequence = Sequence::starting_at(edge);
        assert_eq!(sequence.next().raw(), u64::from(u32::MAX));
        assert_eq!(sequence.take().raw(), u64::from(u32::MAX));
        assert_eq!(sequence.take().raw(), 1 << 32);
        assert_eq!(sequence.newest().since(edge), 2);
        assert_eq!(edge.since(sequence.newest()), 0);
    }

    #[test]
    fn a_mark_never_falls() {
        let mark = Mark::at(Seq::FIRST);
        assert_eq!(mark.raise(Seq::from_raw(7)).raw(), 7);
        assert_eq!(mark.raise(Seq::from_raw(3)).raw(), 7);
        assert_eq!(mark.get().raw(), 7);
    }
}
