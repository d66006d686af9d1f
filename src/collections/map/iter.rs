//! Iterators that are bound to a guard, not to the map.

use super::entry::Entry;
use super::raw::walk::Walk;
use std::fmt;
use std::iter::FusedIterator;

/// Every key and value of a map. From [`RcuMap::iter`](crate::RcuMap::iter).
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let map = RcuMap::from([("a", 1), ("b", 2)]);
/// let guard = Rcu::global().read();
/// let mut entries: Vec<_> = map.iter(&guard).collect();
/// entries.sort();
/// assert_eq!(entries, [(&"a", &1), (&"b", &2)]);
/// ```
#[must_use = "iterators are lazy"]
pub struct Iter<'g, K: 'static, V: 'static>(Walk<'g, Entry<K, V>>);

/// Every key of a map. From [`RcuMap::keys`](crate::RcuMap::keys).
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let map = RcuMap::from([("a", 1), ("b", 2)]);
/// let guard = Rcu::global().read();
/// assert!(map.keys(&guard).any(|key| *key == "b"));
/// ```
#[must_use = "iterators are lazy"]
pub struct Keys<'g, K: 'static, V: 'static>(Iter<'g, K, V>);

/// Every value of a map. From [`RcuMap::values`](crate::RcuMap::values).
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let map = RcuMap::from([("a", 1), ("b", 2)]);
/// let guard = Rcu::global().read();
/// assert_eq!(map.values(&guard).max(), Some(&2));
/// ```
#[must_use = "iterators are lazy"]
pub struct Values<'g, K: 'static, V: 'static>(Iter<'g, K, V>);

impl<'g, K, V> Iter<'g, K, V> {
    pub(super) fn new(walk: Walk<'g, Entry<K, V>>) -> Self {
        Self(walk)
    }
}

impl<'g, K, V> Keys<'g, K, V> {
    pub(super) fn new(iter: Iter<'g, K, V>) -> Self {
        Self(iter)
    }
}

impl<'g, K, V> Values<'g, K, V> {
    pub(super) fn new(iter: Iter<'g, K, V>) -> Self {
        Self(iter)
    }
}

impl<'g, K, V> Iterator for Iter<'g, K, V> {
    type Item = (&'g K, &'g V);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|entry| (&entry.key, &entry.value))
    }
}

impl<'g, K, V> Iterator for Keys<'g, K, V> {
    type Item = &'g K;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, _)| key)
    }
}

impl<'g, K, V> Iterator for Values<'g, K, V> {
    type Item = &'g V;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, value)| value)
    }
}

impl<K, V> FusedIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Keys<'_, K, V> {}
impl<K, V> FusedIterator for Values<'_, K, V> {}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Clone for Keys<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Clone for Values<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Keys<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V: fmt::Debug> fmt::Debug for Values<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
