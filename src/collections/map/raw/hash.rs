//! What is taken from a hash: the home, by its topmost bits, and the tag.

/// Spreads a hash over all its higher bits, so that hashers which leave some of them alone do as well (Fibonacci hashing).
/// One to one: different hashes stay different.
#[inline(always)]
pub(crate) fn mix(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A byte of a mixed hash, never 0: that is an empty slot's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u8);

impl Tag {
    /// Of bits below those that number buckets, so that it tells apart what shares a bucket.
    #[inline(always)]
    pub(crate) fn of(hash: u64) -> Self {
        Self(((hash >> 24) as u8).max(1))
    }

    #[inline(always)]
    pub(super) fn byte(self) -> u8 {
        self.0
    }
}
