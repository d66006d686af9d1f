//! [`RcuMap`]: its parts, how it is made, and its drop.
//!
//! # Invariants
//! 1. References into the raw map are lent only for guards of the map's domain, or inside a section
//!    of it that the operation opens.
//! 2. A removed entry goes to a [`Retired`](crate::Retired) or a [`Doomed`] of that domain, and a
//!    replaced table to a callback of it.

use super::entry::{Doomed, Entry};
use super::raw::table::{Old, Table};
use super::raw::{Raw, mix};
use crate::structures::DomainRef;
use crate::{Guard, Rcu};
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// A hash map whose readers take no lock: sessions, routes, registries, caches.
///
/// Readers write nothing and never wait, also while the map grows or shrinks. A lookup costs the
/// hash and two cache misses. A writer locks one bucket for a few stores, and waits only for
/// writers of this bucket. Replaced and removed values are [`Retired`](crate::Retired): the
/// domain's executor drops them when no reader can see them.
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
/// A lookup, a step of an iterator, and a change of one key are O(1) on average with a good hasher,
/// and O(n) if all keys have one hash. The default hasher is that of the standard library. Its
/// random key prevents an attacker who chooses the map's keys from causing this.
///
/// # Memory
/// An allocation for each entry (hash, key, value), and a table of buckets of 64 bytes. The table
/// grows at more than four entries for each bucket, to two for each, and shrinks at less than one
/// entry for two buckets. Each write then moves a few buckets, so that no single operation pays for
/// all. Both tables exist until a sixteenth as many writes as there are buckets, or a call of
/// [`reserve`](Self::reserve) or [`shrink_to_fit`](Self::shrink_to_fit). Until then a read may cost
/// one more cache miss. On Linux, a table of 8 MiB or more asks for large pages.
///
/// # Foreign code
/// `Hash`, `Eq`, `Clone` and `Drop` of keys and values, and all closures, run under no lock. They
/// may use the map. If they panic, the map is as it was before the call. Writing operations open a
/// section, so this code must not wait for a grace period of the same domain. If a key changes for
/// `Hash` or `Eq`, its entry may not be found; nothing worse happens.
///
/// # Drop
/// Dropping the map retires its entries in one callback. References under a guard outlive the map.
pub struct RcuMap<K: Send + Sync + 'static, V: Send + Sync + 'static, S = RandomState> {
    pub(super) raw: Raw<Entry<K, V>>,
    hasher: S,
    domain: DomainRef,
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> RcuMap<K, V> {
    /// Makes an empty map in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map: RcuMap<String, u16> = RcuMap::new();
    /// assert!(map.is_empty());
    /// ```
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Makes an empty map in the domain of `rcu`.
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

    /// Makes an empty map in the global domain with room for `capacity` entries, below which the
    /// map does not shrink by itself.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::with_capacity(1000);         // the first thousand do not make it grow
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// If the table does not fit the address space.
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
    /// As [`with_capacity`](Self::with_capacity).
    pub fn with_capacity_in(capacity: usize, rcu: &Rcu) -> Self {
        Self::with_capacity_and_hasher_in(capacity, RandomState::new(), rcu)
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S> RcuMap<K, V, S> {
    /// Makes an empty map in the global domain, with a hasher of your own.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// use std::hash::{BuildHasherDefault, DefaultHasher};
    /// // The same hashes in every process. Only for keys that no attacker chooses.
    /// let map = RcuMap::with_hasher(BuildHasherDefault::<DefaultHasher>::new());
    /// map.insert("http", 80);
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Self::with_capacity_and_hasher(0, hasher)
    }

    /// Makes an empty map in the domain of `rcu`, with a hasher of your own.
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

    /// [`with_capacity`](Self::with_capacity), with a hasher of your own.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// use std::hash::RandomState;
    /// let map = RcuMap::with_capacity_and_hasher(1000, RandomState::new());
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// As [`with_capacity`](Self::with_capacity).
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        Self::with_capacity_and_hasher_in(capacity, hasher, Rcu::global())
    }

    /// [`with_capacity`](Self::with_capacity) in the domain of `rcu`, with a hasher of your own.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// use std::hash::RandomState;
    /// let map = RcuMap::with_capacity_and_hasher_in(1000, RandomState::new(), &Rcu::new());
    /// map.insert("http", 80);
    /// ```
    ///
    /// # Panics
    /// As [`with_capacity`](Self::with_capacity).
    pub fn with_capacity_and_hasher_in(capacity: usize, hasher: S, rcu: &Rcu) -> Self {
        Self { raw: Raw::new(capacity), hasher, domain: DomainRef::of(rcu) }
    }

    /// Returns the domain whose guards the map accepts.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::from([("http", 80)]);
    /// let guard = map.rcu().read();
    /// assert_eq!(map.get("http", &guard), Some(&80));
    /// ```
    pub fn rcu(&self) -> &Rcu {
        self.domain.rcu()
    }

    /// Returns the hasher.
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

    /// Returns the number of entries. O(1). While other threads write, the number may be off by
    /// their current operations.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map = RcuMap::from([("a", 1), ("b", 2)]);
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Returns whether there are no entries; as exact as [`len`](Self::len).
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

    /// Returns the current table, for as long as the guard lives.
    #[inline(always)]
    #[track_caller]
    pub(super) fn root<'g>(&self, guard: &'g impl Guard) -> &'g Table<Entry<K, V>> {
        self.domain.assert_covers(guard, "RcuMap");
        // SAFETY: a section of the map's domain, which lasts for 'g (invariants 1 and 2).
        unsafe { self.raw.root() }
    }

    /// Helps with a resize, if there is one.
    #[inline]
    pub(super) fn help(&self, section: &impl Guard) {
        if let Some(table) = self.raw.help(self.root(section)) {
            self.retire_tables([table]);
        }
    }

    /// Frees tables that are no longer current, after a grace period.
    #[cold]
    pub(super) fn retire_tables(&self, old: impl IntoIterator<Item = Old<Entry<K, V>>>) {
        for table in old {
            // SAFETY: the table ceased to be current just now, and the callback runs after a grace
            // period.
            self.rcu().call(move || unsafe { table.free() });
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
        let mut doomed = Doomed::new(self.domain.rcu());
        // SAFETY: the map is dropped once, and only readers have access. Entries are freed after a
        // grace period.
        unsafe { doomed.push_map(self.raw.tear_down()) };
    }
}

impl<K, V, S> fmt::Debug for RcuMap<K, V, S>
where
    K: Send + Sync + fmt::Debug + 'static,
    V: Send + Sync + fmt::Debug + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.rcu().read();
        f.debug_map().entries(self.iter(&guard)).finish()
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S: Default> Default for RcuMap<K, V, S> {
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
    /// Makes a map in the global domain. Of equal keys the last one stays.
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
    /// Calls [`from_iter`](Self::from_iter), with the default hasher.
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
