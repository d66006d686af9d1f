//! Changing the map. Foreign code runs under no lock: values are dropped after it is released.

use super::entry::{Doomed, Entry};
use super::handle::RcuMap;
use super::raw::walk::Walk;
use super::raw::{Hashed, Locked};
use crate::{Guard, Retired};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ptr::NonNull;

impl<K, V, S> RcuMap<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Inserts a value, and returns the value that the key had. Replaces the key, too. Readers see
    /// the old value or the new one.
    ///
    /// ```
    /// # use async_rcu::RcuMap;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let map = RcuMap::new();
    /// assert!(map.insert(1, "one").is_none());
    /// let old = map.insert(1, "uno").unwrap();
    /// let old: Box<&str> = old.wait().await;       // no reader sees it
    /// assert_eq!(*old, "one");
    /// # });
    /// ```
    pub fn insert(&self, key: K, value: V) -> Option<Retired<V>> {
        let hash = self.hash_of(&key);
        let entry = Entry::boxed(self.rcu(), hash, key, value);
        let section = self.rcu().read();
        let root = self.root(&section);
        let (mut locked, slot) = self.raw.locate(root, hash, |other| other.key == entry.key);
        match slot {
            Some(slot) => {
                let old = locked.replace(&slot, entry.publish());
                drop(locked);
                self.help(&section);
                // SAFETY: taken out just now.
                Some(unsafe { self.retired(old) })
            }
            None => {
                self.insert_new(locked, entry, &section);
                None
            }
        }
    }

    /// Inserts a value if the key has none.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let owners = RcuMap::new();
    /// assert_eq!(owners.try_insert("lock", 1), Ok(()));
    /// assert_eq!(owners.try_insert("lock", 2), Err(("lock", 2)));
    /// assert_eq!(owners.get("lock", &Rcu::global().read()), Some(&1));
    /// ```
    ///
    /// # Errors
    /// The key and the value, if the key has a value.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), (K, V)> {
        let hash = self.hash_of(&key);
        let section = self.rcu().read();
        let root = self.root(&section);
        let (locked, slot) = self.raw.locate(root, hash, |other| other.key == key);
        if slot.is_some() {
            return Err((key, value));
        }
        self.insert_new(locked, Entry::boxed(self.rcu(), hash, key, value), &section);
        Ok(())
    }

    /// Removes a key, and returns its value.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuMap;
    /// let open = RcuMap::from([(7, "file".to_owned())]);
    /// let file: Box<String> = open.remove(&7).unwrap().wait().await;
    /// println!("no reader uses {file}: it can be closed");
    /// assert!(open.remove(&7).is_none());
    /// # });
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<Retired<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash_of(key);
        let section = self.rcu().read();
        let root = self.root(&section);
        let (mut locked, slot) =
            self.raw.locate_present(root, hash, |entry| entry.key.borrow() == key)?;
        let old = locked.remove(slot);
        drop(locked);
        self.removed(hash, &section);
        // SAFETY: taken out just now.
        Some(unsafe { self.retired(old) })
    }

    /// Removes a key if `f` returns `true` for its value. If the value is replaced meanwhile, `f`
    /// is called again.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// let expired = |_: &&str, age: &i32| *age > 30;
    /// assert!(sessions.remove_if("a", expired).is_none());
    /// assert_eq!(*sessions.remove_if("b", expired).unwrap(), 40);
    /// ```
    pub fn remove_if<Q>(&self, key: &Q, mut f: impl FnMut(&K, &V) -> bool) -> Option<Retired<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash_of(key);
        loop {
            // Each try has a section of its own, as in `update`.
            let section = self.rcu().read();
            let root = self.root(&section);
            let entry = root.find(hash, |entry| entry.key.borrow() == key)?;
            if !f(&entry.key, &entry.value) {
                return None;
            }
            if let Some((mut locked, slot)) = self.raw.locate_entry(root, entry) {
                let old = locked.remove(slot);
                drop(locked);
                self.removed(hash, &section);
                // SAFETY: taken out just now.
                return Some(unsafe { self.retired(old) });
            }
        }
    }

    /// Returns the value of a key. Inserts `value` if the key has none.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let ids = RcuMap::new();
    /// let guard = Rcu::global().read();
    /// assert_eq!(*ids.get_or_insert("a", 1, &guard), 1);
    /// assert_eq!(*ids.get_or_insert("a", 2, &guard), 1);
    /// ```
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_or_insert<'g>(&self, key: K, value: V, guard: &'g impl Guard) -> &'g V {
        self.get_or_insert_with(key, || value, guard)
    }

    /// Returns the value of a key. Inserts what `f` returns if the key has none. If several threads
    /// make a value for one key at the same time, the first inserted one stays, and the others are
    /// dropped.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuMap};
    /// let squares = RcuMap::new();
    /// let guard = Rcu::global().read();
    /// assert_eq!(*squares.get_or_insert_with(7, || 7 * 7, &guard), 49);
    /// assert_eq!(*squares.get_or_insert_with(7, || unreachable!(), &guard), 49);
    /// ```
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_or_insert_with<'g>(
        &self,
        key: K,
        f: impl FnOnce() -> V,
        guard: &'g impl Guard,
    ) -> &'g V {
        let hash = self.hash_of(&key);
        let root = self.root(guard);
        if let Some(entry) = root.find(hash, |entry| entry.key == key) {
            return &entry.value;
        }
        let entry = Entry::boxed(self.rcu(), hash, key, f());
        let (locked, slot) = self.raw.locate(root, hash, |other| other.key == entry.key);
        let found = match slot {
            Some(slot) => {
                let found = slot.entry();
                drop(locked);
                found
            }
            None => self.insert_new(locked, entry, guard),
        };
        // SAFETY: found in the guard's section, which lasts for 'g (invariants 1, 2 of `handle`).
        unsafe { &(*found.as_ptr()).value }
    }

    /// Replaces the value of a key with what `f` makes of it, and returns the old one: read, copy,
    /// update. Does nothing and returns `None` if the key has no value. If another writer replaces
    /// the value meanwhile, the new value is dropped, and `f` is called again.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuMap};
    /// let hits = RcuMap::from([("/", 1)]);
    /// assert_eq!(*hits.update("/", |n| n + 1).unwrap(), 1);
    /// assert_eq!(hits.get("/", &Rcu::global().read()), Some(&2));
    /// assert!(hits.update("/none", |n| n + 1).is_none());
    /// ```
    pub fn update<Q>(&self, key: &Q, mut f: impl FnMut(&V) -> V) -> Option<Retired<V>>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash_of(key);
        loop {
            // One section from the look to the exchange, so that the entry's address is not used
            // again between them. Each try has its own: an update that loses again and again does
            // not hold up grace periods.
            let section = self.rcu().read();
            let root = self.root(&section);
            let seen = root.find(hash, |entry| entry.key.borrow() == key)?;
            let entry = Entry::boxed(self.rcu(), seen.hash(), seen.key.clone(), f(&seen.value));
            if let Some((mut locked, slot)) = self.raw.locate_entry(root, seen) {
                let old = locked.replace(&slot, entry.publish());
                drop(locked);
                self.help(&section);
                // SAFETY: taken out just now.
                return Some(unsafe { self.retired(old) });
            }
        }
    }

    /// Removes every entry for which `f` returns `false`, and retires them in one callback. Passes
    /// the keys that [`iter`](Self::iter) sees. If a value is replaced while `f` looks at it, `f`
    /// gets the new one, too. O(n), in one section, which keeps memory from being freed.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// sessions.retain(|_, age| *age <= 30);
    /// assert_eq!(sessions.len(), 1);
    /// ```
    pub fn retain(&self, mut f: impl FnMut(&K, &V) -> bool) {
        let section = self.rcu().read();
        let root = self.root(&section);
        // Retires what is taken out, also if `f` panics.
        let mut doomed = Doomed::new(self.rcu());
        for mut entry in Walk::new(root) {
            while !f(&entry.key, &entry.value) {
                if let Some((mut locked, slot)) = self.raw.locate_entry(root, entry) {
                    let old = locked.remove(slot);
                    drop(locked);
                    // SAFETY: taken out just now.
                    unsafe { doomed.push(old) };
                    self.removed(entry.hash(), &section);
                    break;
                }
                match root.find(entry.hash(), |other| other.key == entry.key) {
                    Some(now) => entry = now,
                    None => break,
                }
            }
        }
    }

    /// Inserts under the home's lock, releases it, counts the entry and helps with a resize.
    fn insert_new(
        &self,
        mut locked: Locked<'_, Entry<K, V>>,
        entry: Box<Entry<K, V>>,
        section: &impl Guard,
    ) -> NonNull<Entry<K, V>> {
        let hash = entry.hash();
        let entry = entry.publish();
        locked.insert(entry, hash);
        drop(locked);
        self.raw.added(self.root(section), hash);
        self.help(section);
        entry
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S> RcuMap<K, V, S> {
    /// Removes every entry, and retires them in one callback. Entries that other threads insert
    /// meanwhile may stay. O(n + size of the table).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("a", 1)]);
    /// let guard = Rcu::global().read();
    /// let a = map.get("a", &guard).unwrap();
    /// map.clear();
    /// assert!(map.is_empty());
    /// assert_eq!(*a, 1);                             // still there for this reader
    /// ```
    pub fn clear(&self) {
        let section = self.rcu().read();
        let mut doomed = Doomed::new(self.rcu());
        // SAFETY: taken out just now.
        let retire = |entry| unsafe { doomed.push(entry) };
        let tables = self.raw.clear(self.root(&section), retire);
        self.retire_tables(tables);
    }

    /// At once makes room for `additional` more entries, below which the map does not shrink by
    /// itself. Also ends a change of size that is under way, unless other writers work on it. O(n)
    /// if the map grows.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let mut map = RcuMap::new();
    /// map.reserve(1000);
    /// map.extend((0..1000).map(|n| (n, n * n)));
    /// assert_eq!(map.len(), 1000);
    /// ```
    ///
    /// # Panics
    /// If the table does not fit the address space.
    pub fn reserve(&self, additional: usize) {
        let section = self.rcu().read();
        let entries = self.len().saturating_add(additional);
        self.retire_tables(self.raw.reserve(self.root(&section), entries));
    }

    /// At once makes the map as small as its entries allow, and forgets what was
    /// [reserved](Self::reserve). O(n).
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map: RcuMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// map.retain(|n, _| *n < 10);
    /// map.shrink_to_fit();
    /// assert_eq!(map.len(), 10);
    /// ```
    pub fn shrink_to_fit(&self) {
        let section = self.rcu().read();
        self.retire_tables(self.raw.shrink_to_fit(self.root(&section)));
    }

    /// Counts a removal, and helps with a resize.
    fn removed(&self, hash: u64, section: &impl Guard) {
        self.raw.removed(self.root(section), hash);
        self.help(section);
    }

    /// # Safety
    /// The caller has just taken the entry out of the map.
    unsafe fn retired(&self, old: NonNull<Entry<K, V>>) -> Retired<V> {
        // SAFETY: from a box, taken out by its only remover, and reached by sections of the map's
        // domain alone.
        unsafe { Retired::from_holder(self.rcu(), old.as_ptr()) }
    }
}
