//! Looking things up, and iterators, which are bound to a guard and not to the map.

use super::entry::Entry;
use super::handle::RcuMap;
use super::raw::walk::Walk;
use crate::Guard;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

impl<K, V, S> RcuMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns the value of a key, for as long as the guard lives. Lock-free, and writes nothing. A
    /// key that is in the map throughout the call is found, whatever other threads write.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("one".to_owned(), 1)]);
    /// let guard = Rcu::global().read_owned();      // may be held across .await
    /// let one = map.get("one", &guard).unwrap();
    /// map.remove("one");
    /// assert_eq!(*one, 1);                         // still there for this reader
    /// assert_eq!(map.get("one", &guard), None);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the value.
    #[inline]
    #[track_caller]
    pub fn get<'g, Q>(&self, key: &Q, guard: &'g impl Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key, guard).map(|(_, value)| value)
    }

    /// [`get`](Self::get) that also returns the key that is in the map.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("one".to_owned(), 1)]);
    /// let guard = Rcu::global().read();
    /// let (key, value) = map.get_key_value("one", &guard).unwrap();
    /// assert_eq!((key.as_str(), *value), ("one", 1));
    /// ```
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[inline]
    #[track_caller]
    pub fn get_key_value<'g, Q>(&self, key: &Q, guard: &'g impl Guard) -> Option<(&'g K, &'g V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let root = self.root(guard);
        let entry = root.find(self.hash_of(key), |entry| entry.key.borrow() == key)?;
        Some((&entry.key, &entry.value))
    }

    /// Returns whether the map has a value of this key.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("one".to_owned(), 1)]);
    /// assert!(map.contains_key("one", &Rcu::global().read()));
    /// ```
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[inline]
    #[track_caller]
    pub fn contains_key<Q>(&self, key: &Q, guard: &impl Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key, guard).is_some()
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S> RcuMap<K, V, S> {
    /// Returns every key and value, in no particular order. The iterator is bound to the guard, not
    /// to the map. A key that is in the map throughout the walk is seen exactly once, also while
    /// the map grows and shrinks, with its old or its new value. A key that is inserted or removed
    /// meanwhile may be seen or not. A key that is removed and inserted again may be seen twice.
    ///
    /// O(n + size of the table) for a whole walk. The section keeps memory from being freed: for
    /// slow work on each entry of a large map, collect the entries first.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// let guard = Rcu::global().read();
    /// let old: Vec<_> = sessions.iter(&guard).filter(|(_, age)| **age > 30).collect();
    /// assert_eq!(old, [(&"b", &40)]);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the entries.
    #[track_caller]
    pub fn iter<'g>(&self, guard: &'g impl Guard) -> MapIter<'g, K, V> {
        MapIter(Walk::new(self.root(guard)))
    }

    /// Returns the keys that [`iter`](Self::iter) sees.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// assert_eq!(sessions.keys(&Rcu::global().read()).count(), 2);
    /// ```
    ///
    /// # Panics
    /// As [`iter`](Self::iter).
    #[track_caller]
    pub fn keys<'g>(&self, guard: &'g impl Guard) -> MapKeys<'g, K, V> {
        MapKeys(self.iter(guard))
    }

    /// Returns the values that [`iter`](Self::iter) sees.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// assert_eq!(sessions.values(&Rcu::global().read()).sum::<i32>(), 43);
    /// ```
    ///
    /// # Panics
    /// As [`iter`](Self::iter).
    #[track_caller]
    pub fn values<'g>(&self, guard: &'g impl Guard) -> MapValues<'g, K, V> {
        MapValues(self.iter(guard))
    }
}

/// An iterator over the keys and values of a map. From [`RcuMap::iter`](crate::RcuMap::iter).
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
pub struct MapIter<'g, K: 'static, V: 'static>(Walk<'g, Entry<K, V>>);

/// An iterator over the keys of a map. From [`RcuMap::keys`](crate::RcuMap::keys).
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let map = RcuMap::from([("a", 1), ("b", 2)]);
/// assert!(map.keys(&Rcu::global().read()).any(|key| *key == "b"));
/// ```
#[must_use = "iterators are lazy"]
pub struct MapKeys<'g, K: 'static, V: 'static>(MapIter<'g, K, V>);

/// An iterator over the values of a map. From [`RcuMap::values`](crate::RcuMap::values).
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let map = RcuMap::from([("a", 1), ("b", 2)]);
/// assert_eq!(map.values(&Rcu::global().read()).max(), Some(&2));
/// ```
#[must_use = "iterators are lazy"]
pub struct MapValues<'g, K: 'static, V: 'static>(MapIter<'g, K, V>);

macro_rules! map_iterators {
    ($($name:ident: $item:ty, $next:expr, [$($bound:tt)*];)*) => {$(
        impl<'g, K, V> Iterator for $name<'g, K, V> {
            type Item = $item;
            #[inline(always)]
            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map($next)
            }
            fn count(self) -> usize {
                self.0.count()
            }
        }

        impl<K, V> FusedIterator for $name<'_, K, V> {}

        impl<K, V> Clone for $name<'_, K, V> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        /// Shows the rest of the entries.
        impl<$($bound)*> fmt::Debug for $name<'_, K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.clone()).finish()
            }
        }
    )*};
}
map_iterators! {
    MapIter: (&'g K, &'g V), |entry| (&entry.key, &entry.value), [K: fmt::Debug, V: fmt::Debug];
    MapKeys: &'g K, |(key, _)| key, [K: fmt::Debug, V];
    MapValues: &'g V, |(_, value)| value, [K, V: fmt::Debug];
}
