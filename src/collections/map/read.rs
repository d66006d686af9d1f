//! Looking things up.

use super::handle::RcuMap;
use super::iter::{Iter, Keys, Values};
use crate::Guard;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

impl<K, V, S> RcuMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// The value of a key, for as long as the guard lives. O(1) on the average; lock-free, and without a write.
    ///
    /// A key that is there throughout the call is found, whatever others write meanwhile.
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
    /// Where the guard is of another domain, which would not protect the value.
    #[inline]
    #[track_caller]
    pub fn get<'g, Q>(&self, key: &Q, guard: &'g impl Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key, guard).map(|(_, value)| value)
    }

    /// [`get`](Self::get), with the key as it is in the map.
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

    /// Whether there is a value of a key. As [`get`](Self::get).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("one".to_owned(), 1)]);
    /// let guard = Rcu::global().read();
    /// assert!(map.contains_key("one", &guard));
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

impl<K, V, S> RcuMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Every key and value, in no particular order, for as long as the guard lives; also after the map is dropped.
    ///
    /// A key that is there throughout the walk is seen exactly once, also while the map grows and shrinks; of a value that is
    /// replaced meanwhile, the old or the new one is seen. A key that is put in or taken out meanwhile may be seen or not, and one
    /// that is taken out and put in again may be seen twice.
    ///
    /// O(n + size of the table) for a whole walk. The section keeps memory from being freed as long as it lasts: a walk over
    /// a large map that does slow things should gather first.
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
    /// Where the guard is of another domain, which would not protect what is seen.
    #[track_caller]
    pub fn iter<'g>(&self, guard: &'g impl Guard) -> Iter<'g, K, V> {
        Iter::new(self.walk(guard))
    }

    /// The keys of [`iter`](Self::iter).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// let guard = Rcu::global().read();
    /// assert_eq!(sessions.keys(&guard).count(), 2);
    /// ```
    ///
    /// # Panics
    /// As [`iter`](Self::iter).
    #[track_caller]
    pub fn keys<'g>(&self, guard: &'g impl Guard) -> Keys<'g, K, V> {
        Keys::new(self.iter(guard))
    }

    /// The values of [`iter`](Self::iter).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// let guard = Rcu::global().read();
    /// assert_eq!(sessions.values(&guard).sum::<i32>(), 43);
    /// ```
    ///
    /// # Panics
    /// As [`iter`](Self::iter).
    #[track_caller]
    pub fn values<'g>(&self, guard: &'g impl Guard) -> Values<'g, K, V> {
        Values::new(self.iter(guard))
    }
}
