//! Sequence numbers, and the one counter that gives them out. All arithmetic on them is here.
//!
//! A number is a `u64` that starts at 1 or above, grows by one a grace period, and never wraps: at one grace period a
//! nanosecond that takes 584 years. 0 is kept for "idle" in reader words.

use crate::sys::prim::{AtomicU64, Ordering};

/// The number of a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seq(u64);

impl Seq {
    /// The first number that a domain stands at. Not 0: a section that began there must not look idle.
    pub(crate) const FIRST: Seq = Seq(1);

    /// No grace period ever has it.
    pub(crate) const LAST: Seq = Seq(u64::MAX);

    /// A number back from a word of memory that is known to hold one.
    pub(crate) fn from_raw(raw: u64) -> Seq {
        debug_assert_ne!(raw, 0, "0 is idle, not a sequence");
        Seq(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// How many grace periods were started after `earlier`, up to this one.
    pub(crate) fn since(self, earlier: Seq) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The number of the newest grace period started.
#[derive(Debug)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    pub(crate) fn starting_at(first: Seq) -> Self {
        Self(AtomicU64::new(first.0))
    }

    /// What a section that begins now stores in its word. Acquire: a reader that sees number `g` sees all that came
    /// before the start of `g`, because every start is a link of one chain of read-modify-writes.
    #[inline(always)]
    pub(crate) fn newest_raw(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn newest(&self) -> Seq {
        Seq::from_raw(self.newest_raw())
    }

    /// Takes the next number, for a grace period that the caller starts.
    pub(crate) fn take(&self) -> Seq {
        Seq(self.0.fetch_add(1, Ordering::AcqRel)).next()
    }

    /// The number of the next grace period, for one who waits for it but does not start it.
    ///
    /// A read-modify-write and not a load: it joins the chain, so that the starter of the number told here comes after
    /// the caller's earlier stores. By a load, a reader could read that number and still miss those stores.
    pub(crate) fn next(&self) -> Seq {
        Seq(self.0.fetch_add(0, Ordering::AcqRel)).next()
    }
}

/// A number that only grows: `fenced` and `elapsed` of the engine.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU64);

impl Mark {
    pub(crate) fn at(seq: Seq) -> Self {
        Self(AtomicU64::new(seq.0))
    }

    pub(crate) fn get(&self) -> Seq {
        Seq::from_raw(self.0.load(Ordering::Acquire))
    }

    /// Raises the mark to `seq` where it is below; tells where it then stands.
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
