//! [`RcuMap`] itself: what it is made of, how it is made, and its end.
//!
//! # Invariants
//! 1. The raw map's sections are those of `rcu`: references into it are lent for guards of that domain alone, or inside a
//!    section that the operation opens.
//! 2. An entry that was taken out goes into a [`Retired`](crate::Retired) or a [`Doomed`] of that domain, and a table into a
//!    callback of it.

use super::doomed::Doomed;
use super::entry::Entry;
use super::raw::hash::mix;
use super::raw::table::Table;
use super::raw::walk::Walk;
use super::raw::{Old, Raw};
use crate::cell::DomainRef;
use crate::{Guard, Rcu};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// A hash map that is read without cost and changed in place: sessions, routes, registries, caches.
///
/// Readers take no lock, write nothing and never wait, also while the map grows or shrinks; a lookup costs the hash and two
/// cache misses. Writers lock one bucket for a few stores; on different buckets they do not wait for each other. What is
/// replaced or removed is retired: it is dropped on the domain's executor when no reader can see it any more.
///
/// ```
/// use async_rcu::{Rcu, RcuMap};
/// let ports = RcuMap::new();
/// ports.insert("http", 80);
/// ports.insert("https", 443);
/// let guard = Rcu::global().read();
/// assert_eq!(ports.get("http", &guard), Some(&80));
/// let old = ports.insert("http", 8080);
/// assert_eq!(*old.unwrap(), 80);
/// assert_eq!(ports.iter(&guard).map(|(_, port)| port).sum::<i32>(), 8523);
/// ```
///
/// A lookup, the iterator's next element, and each change are O(1) on the average, where the hasher does its work; with a
/// hash that is the same for all keys they are correct, and O(n). The default hasher is that of the standard library:
/// keyed at random, so that nobody who chooses the keys can make it so.
///
/// # Memory
/// An allocation for each entry (hash, key, value), and a table of buckets of 64 bytes. It grows when there are more than
/// four entries for each bucket, to half of that, and shrinks when there is less than one for two. Each write then moves a
/// few buckets, so no single operation pays for all; both tables are there until a sixteenth as many writes as there are
/// buckets have come, or [`reserve`](Self::reserve) or [`shrink_to_fit`](Self::shrink_to_fit) is called. Reads are right all
/// the time, and may cost one more cache miss until then.
///
/// # Foreign code
/// `Hash`, `Eq`, `Clone`, `Drop` of keys and values and all closures run under no lock: they may use the map, and where they
/// panic, the map is as it was before the call. Writing operations open a section for their own time, so none of these
/// may wait for a grace period of the same domain. Keys are to stay the same to `Hash` and `Eq`; where they do not, entries
/// may not be found, and nothing else happens.
///
/// # The end
/// Dropping the map retires all of it by one callback: references under a guard outlive the map.
pub struct RcuMap<K: Send + Sync + 'static, V: Send + Sync + 'static, S = RandomState> {
    pub(super) raw: Raw<Entry<K, V>>,
    hasher: S,
    pub(super) rcu: Rcu,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> RcuMap<K, V> {
    /// An empty map in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map: RcuMap<String, u16> = RcuMap::new();
    /// assert!(map.is_empty());
    /// ```
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty map in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let rcu = Rcu::new();
    /// let map = RcuMap::new_in(&rcu);
    /// map.insert("http", 80);
    /// assert_eq!(map.get("http", &rcu.read()), Some(&80));
    /// ```
    pub fn new_in(rcu: &Rcu) -> Self {
        Self::with_capacity_in(0, rcu)
    }

    /// An empty map in the global domain with room for so many entries, below which it never shrinks by itself.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::with_capacity(1000);         // the first thousand do not make it grow
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// Where the table would not fit the address space.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_in(capacity, Rcu::global())
    }

    /// [`with_capacity`](Self::with_capacity), in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::with_capacity_in(1000, &Rcu::new());
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// As that.
    pub fn with_capacity_in(capacity: usize, rcu: &Rcu) -> Self {
        Self::with_capacity_and_hasher_in(capacity, RandomState::new(), rcu)
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S> RcuMap<K, V, S> {
    /// An empty map in the global domain, with a hasher of one's own.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// use std::hash::{BuildHasherDefault, DefaultHasher};
    /// // The same hashes in every process. Only for keys that nobody hostile chooses.
    /// let map = RcuMap::with_hasher(BuildHasherDefault::<DefaultHasher>::new());
    /// map.insert("http", 80);
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Self::with_capacity_and_hasher(0, hasher)
    }

    /// An empty map in the domain of `rcu`, with a hasher of one's own.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// use std::hash::RandomState;
    /// let map = RcuMap::with_hasher_in(RandomState::new(), &Rcu::new());
    /// map.insert("http", 80);
    /// ```
    pub fn with_hasher_in(hasher: S, rcu: &Rcu) -> Self {
        Self::with_capacity_and_hasher_in(0, hasher, rcu)
    }

    /// [`with_capacity`](Self::with_capacity), with a hasher of one's own.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// use std::hash::RandomState;
    /// let map = RcuMap::with_capacity_and_hasher(1000, RandomState::new());
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// As that.
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        Self::with_capacity_and_hasher_in(capacity, hasher, Rcu::global())
    }

    /// [`with_capacity`](Self::with_capacity), with a hasher of one's own and in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// use std::hash::RandomState;
    /// let map = RcuMap::with_capacity_and_hasher_in(1000, RandomState::new(), &Rcu::new());
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// As that.
    pub fn with_capacity_and_hasher_in(capacity: usize, hasher: S, rcu: &Rcu) -> Self {
        Self {
            raw: Raw::new(capacity),
            hasher,
            rcu: rcu.clone(),
        }
    }

    /// The domain that guards must be of.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::from([("http", 80)]);
    /// let guard = map.rcu().read();
    /// assert_eq!(map.get("http", &guard), Some(&80));
    /// ```
    pub fn rcu(&self) -> &Rcu {
        &self.rcu
    }

    /// What keys are hashed with.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// use std::hash::BuildHasher;
    /// let map = RcuMap::from([("http", 80)]);
    /// assert_eq!(map.hasher().hash_one("http"), map.hasher().hash_one("http"));
    /// ```
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// How many entries there are. O(1); while others write, it may be off by what they are about to do.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::from([("a", 1), ("b", 2)]);
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is none; as exact as [`len`](Self::len).
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::from([("a", 1)]);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The current table, for the time of a guard.
    #[inline(always)]
    #[track_caller]
    pub(super) fn root<'g>(&self, guard: &'g impl Guard) -> &'g Table<Entry<K, V>> {
        if !self.rcu.covers(guard) {
            DomainRef::refuse("RcuMap");
        }
        // SAFETY: a section of the map's domain, which lasts for 'g (invariants 1 and 2).
        unsafe { self.raw.root() }
    }

    pub(super) fn walk<'g>(&self, guard: &'g impl Guard) -> Walk<'g, Entry<K, V>> {
        Walk::new(self.root(guard))
    }

    /// Frees tables that are not current any more after a grace period.
    pub(super) fn retire_tables(&self, old: impl IntoIterator<Item = Old<Entry<K, V>>>) {
        for table in old {
            // SAFETY: it ceased to be current just now, and this runs after a grace period.
            self.rcu.call(move || unsafe { table.free() });
        }
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S: BuildHasher> RcuMap<K, V, S> {
    #[inline(always)]
    pub(super) fn hash_of<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        mix(self.hasher.hash_one(key))
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S> Drop for RcuMap<K, V, S> {
    fn drop(&mut self) {
        // SAFETY: dropped once, with nobody having access but readers; it runs behind a grace period.
        drop(unsafe { Doomed::new(&self.rcu, self.raw.tear_down()) });
    }
}

impl<K, V, S> fmt::Debug for RcuMap<K, V, S>
where
    K: Send + Sync + fmt::Debug + 'static,
    V: Send + Sync + fmt::Debug + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.rcu.read();
        f.debug_map().entries(self.iter(&guard)).finish()
    }
}

impl<K, V, S> Default for RcuMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: Default,
{
    /// An empty map in the global domain.
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V, S> FromIterator<(K, V)> for RcuMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Default,
{
    /// A map in the global domain. Of equal keys the last one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K, V, const N: usize> From<[(K, V); N]> for RcuMap<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// As [`from_iter`](Self::from_iter), with the default hasher.
    fn from(entries: [(K, V); N]) -> Self {
        Self::from_iter(entries)
    }
}

impl<K, V, S> Extend<(K, V)> for RcuMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}
