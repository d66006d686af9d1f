//! Changing the map. Foreign code runs outside of every lock: what is dropped here is dropped after the lock.

use super::doomed::{Doomed, Taken};
use super::entry::Entry;
use super::handle::RcuMap;
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
    /// Puts a value in, and gives the one out that the key had: to look at, to wait for, or to drop.
    ///
    /// Both key and value are replaced. Readers see the old value or the new one, and nothing between. O(1) on the average.
    ///
    /// ```
    /// # use async_rcu::RcuMap;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let map = RcuMap::new();
    /// assert!(map.insert(1, "one").is_none());
    /// let old = map.insert(1, "uno").unwrap();
    /// let old: Box<&str> = old.wait().await;       // seen by nobody else
    /// assert_eq!(*old, "one");
    /// # });
    /// ```
    pub fn insert(&self, key: K, value: V) -> Option<Retired<V>> {
        let hash = self.hash_of(&key);
        let entry = Entry::boxed(hash, key, value);
        let section = self.rcu.read();
        let root = self.root(&section);
        let (mut locked, place) = self.raw.locate(root, hash, |other| other.key == entry.key);
        match place {
            Some(place) => {
                let old = locked.replace(&place, entry.publish());
                drop(locked);
                self.retire_tables(self.raw.help(self.root(&section)));
                // SAFETY: taken out just now.
                Some(unsafe { self.retired(old) })
            }
            None => {
                self.insert_new(locked, entry, &section);
                None
            }
        }
    }

    /// Puts a value in where the key has none.
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
    /// Both, where it has one.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), (K, V)> {
        let hash = self.hash_of(&key);
        let section = self.rcu.read();
        let root = self.root(&section);
        let (locked, place) = self.raw.locate(root, hash, |other| other.key == key);
        if place.is_some() {
            return Err((key, value));
        }
        self.insert_new(locked, Entry::boxed(hash, key, value), &section);
        Ok(())
    }

    /// Takes a key out, and gives its value out: to look at, to wait for, or to drop. O(1) on the average.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuMap;
    /// let open = RcuMap::from([(7, "file".to_owned())]);
    /// let file: Box<String> = open.remove(&7).unwrap().wait().await;
    /// println!("{file}: nobody uses it, it can be closed");
    /// assert!(open.remove(&7).is_none());
    /// # });
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<Retired<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash_of(key);
        let section = self.rcu.read();
        let root = self.root(&section);
        let (mut locked, place) = self
            .raw
            .locate_present(root, hash, |entry| entry.key.borrow() == key)?;
        let old = locked.remove(place);
        drop(locked);
        self.removed(hash, &section);
        // SAFETY: taken out just now.
        Some(unsafe { self.retired(old) })
    }

    /// Takes a key out if `f` says so of what is there. `f` is called again where that was replaced meanwhile.
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
        let section = self.rcu.read();
        let root = self.root(&section);
        loop {
            let entry = root.find(hash, |entry| entry.key.borrow() == key)?;
            if !f(&entry.key, &entry.value) {
                return None;
            }
            if let Some((mut locked, place)) = self.raw.locate_entry(root, entry) {
                let old = locked.remove(place);
                drop(locked);
                self.removed(hash, &section);
                // SAFETY: taken out just now.
                return Some(unsafe { self.retired(old) });
            }
        }
    }

    /// The value of a key, which is put in where there is none, for as long as the guard lives.
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

    /// The value of a key, which `f` makes where there is none, for as long as the guard lives.
    ///
    /// `f` runs under no lock, and may use the map. Where several make a value for one key at the same time, the first to put
    /// it in wins, and the values of the others are dropped.
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
        let entry = Entry::boxed(hash, key, f());
        let (locked, place) = self.raw.locate(root, hash, |other| other.key == entry.key);
        let found = match place {
            Some(place) => {
                let found = place.entry();
                drop(locked);
                found
            }
            None => self.insert_new(locked, entry, guard),
        };
        // SAFETY: in the map a moment ago, in the guard's section, which lasts for 'g (invariants 1 and 2 of `handle`).
        unsafe { &(*found.as_ptr()).value }
    }

    /// Puts in what `f` makes of the value that a key has, and gives the old one out: read, copy, update. `None`, and nothing is
    /// done, where it has none.
    ///
    /// Tried again until nobody came between, so `f` may be called several times; a lost attempt's value is dropped.
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
        let section = self.rcu.read();
        let root = self.root(&section);
        loop {
            let seen = root.find(hash, |entry| entry.key.borrow() == key)?;
            let entry = Entry::boxed(hash, seen.key.clone(), f(&seen.value));
            if let Some((mut locked, place)) = self.raw.locate_entry(root, seen) {
                let old = locked.replace(&place, entry.publish());
                drop(locked);
                self.retire_tables(self.raw.help(self.root(&section)));
                // SAFETY: taken out just now.
                return Some(unsafe { self.retired(old) });
            }
        }
    }

    /// Takes out every entry for which `f` does not hold; what is taken out is dropped after a grace period, by one callback.
    ///
    /// As [`iter`](Self::iter), it passes every key that is there throughout. What is replaced while `f` looks at it is shown to
    /// `f` again. O(n), in one section, which keeps memory from being freed as long as it lasts.
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let sessions = RcuMap::from([("a", 3), ("b", 40)]);
    /// sessions.retain(|_, age| *age <= 30);
    /// assert_eq!(sessions.len(), 1);
    /// ```
    pub fn retain(&self, mut f: impl FnMut(&K, &V) -> bool) {
        let section = self.rcu.read();
        let root = self.root(&section);
        // SAFETY: holds what is taken out here; dropped, also where `f` panics, it retires it.
        let mut doomed = unsafe { Doomed::new(&self.rcu, Taken::none()) };
        for mut entry in self.walk(&section) {
            while !f(&entry.key, &entry.value) {
                if let Some((mut locked, place)) = self.raw.locate_entry(root, entry) {
                    let old = locked.remove(place);
                    drop(locked);
                    doomed.push(old);
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

    /// Inserts under the home's lock, leaves it, and does what an insertion owes.
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
        let root = self.root(section);
        self.raw.added(root, hash);
        self.retire_tables(self.raw.help(root));
        entry
    }
}

impl<K, V, S> RcuMap<K, V, S>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Takes everything out; it is dropped after a grace period, by one callback. What others put in meanwhile may stay.
    ///
    /// O(n + size of the table).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuMap};
    /// let map = RcuMap::from([("a", 1)]);
    /// let guard = Rcu::global().read();
    /// let a = map.get("a", &guard).unwrap();
    /// map.clear();
    /// assert!(map.is_empty());
    /// assert_eq!(*a, 1);                             // there for this reader still
    /// ```
    pub fn clear(&self) {
        let section = self.rcu.read();
        // SAFETY: holds what is taken out here.
        let mut doomed = unsafe { Doomed::new(&self.rcu, Taken::none()) };
        let tables = self
            .raw
            .clear(self.root(&section), |entry| doomed.push(entry));
        self.retire_tables(tables);
    }

    /// Makes room for so many more entries, at once, and keeps it: the map does not shrink below it by itself.
    ///
    /// It also ends a change of size that is under way, unless other writers are at it. O(n) where the map grows.
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
    /// Where the table would not fit the address space.
    pub fn reserve(&self, additional: usize) {
        let section = self.rcu.read();
        let entries = self.len().saturating_add(additional);
        self.retire_tables(self.raw.reserve(self.root(&section), entries));
    }

    /// Has the map no larger than its entries ask for, at once, and forgets what was [reserved](Self::reserve). O(n).
    ///
    /// ```
    /// use async_rcu::RcuMap;
    /// let map: RcuMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// map.retain(|n, _| *n < 10);
    /// map.shrink_to_fit();
    /// assert_eq!(map.len(), 10);
    /// ```
    pub fn shrink_to_fit(&self) {
        let section = self.rcu.read();
        self.retire_tables(self.raw.shrink_to_fit(self.root(&section)));
    }

    /// What a removal owes.
    fn removed(&self, hash: u64, section: &impl Guard) {
        let root = self.root(section);
        self.raw.removed(root, hash);
        self.retire_tables(self.raw.help(root));
    }

    /// # Safety
    /// Just taken out of the map, by the caller.
    unsafe fn retired(&self, old: NonNull<Entry<K, V>>) -> Retired<V> {
        // SAFETY: from a box, taken out by its only remover, and reached by sections of the map's domain alone; keys may
        // be sent too.
        unsafe { Retired::within(&self.rcu, old) }
    }
}
