//! The array of a table's buckets, of loom's atomics, which are not made of zeroed memory.

use super::bucket::Bucket;
use std::ops::Deref;

pub(super) struct Buckets<E>(Box<[Bucket<E>]>);

impl<E> Buckets<E> {
    pub(super) fn new(len: usize) -> Self {
        Self((0..len).map(|_| Bucket::new()).collect())
    }
}

impl<E> Deref for Buckets<E> {
    type Target = [Bucket<E>];
    fn deref(&self) -> &[Bucket<E>] {
        &self.0
    }
}
