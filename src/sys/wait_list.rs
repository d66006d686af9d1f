//! A list of waiters: wakers under keys, beside the state that they wait for.
//!
//! # Protocol
//! A waiter [joins](WaitList::join), then looks again at the state that it waits for. A waking
//! thread changes the state, then takes wakers out. Both use the list's lock, so either the waking
//! thread finds the waiter, or the waiter's second look sees the change.
//!
//! A waking thread may read [`len`](WaitList::len) and skip the lock if there is no waiter. `len`
//! is SeqCst. If both sides access the state with SeqCst too, then either the waking thread sees
//! the waiter in `len`, or the waiter's second look sees the change.
//!
//! # Wakers are foreign code
//! A waker may panic, take locks, and come back to this list. So a waker is cloned before the lock
//! is taken, and woken or dropped after the lock is released. A waker that panics does not keep the
//! others from being woken. [`wake_up_to`](WaitList::wake_up_to) wakes in chunks, so that it does
//! not hold the lock for long.

use super::delay::{self, Window};
use super::prim::{AtomicUsize, Mutex, Ordering};
use super::unwind::quietly;
use super::wake::{Parked, WakeList};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::task::Waker;

/// A waiter's place: its key, and a number that makes the place unique and orders equal keys.
pub(crate) type Place<K> = (K, u64);

/// Wakers in the order of their keys, and a state `S` under the same lock.
#[derive(Debug)]
pub(crate) struct WaitList<K, S = ()> {
    inner: Mutex<Inner<K, S>>,
    len: AtomicUsize,
}

#[derive(Debug)]
struct Inner<K, S> {
    state: S,
    waiting: Waiting<K>,
}

/// The waiters, while the lock is held.
#[derive(Debug)]
pub(crate) struct Waiting<K> {
    next: u64,
    asleep: BTreeMap<Place<K>, Parked>,
    /// [`wake_first`](Self::wake_first) woke these waiters, which keep their places.
    awake: BTreeSet<Place<K>>,
    /// To be woken after the lock is released.
    woken: WakeList,
}

impl<K: Ord + Copy> Waiting<K> {
    /// Takes all waiters out, and wakes them after the lock is released.
    pub(crate) fn wake_all(&mut self) {
        self.awake.clear();
        for waker in mem::take(&mut self.asleep).into_values() {
            self.woken.push(waker);
        }
    }

    /// Takes out the waiters whose key is at most `key`, and wakes them after the lock is released.
    pub(crate) fn wake_up_to(&mut self, key: K) {
        while self.wake_next_up_to(key) {}
    }

    fn wake_next_up_to(&mut self, key: K) -> bool {
        match self.asleep.first_entry() {
            Some(first) if first.key().0 <= key => {
                self.woken.push(first.remove());
                true
            }
            _ => false,
        }
    }

    /// Wakes the first `n` waiters after the lock is released. They keep their places. A waiter
    /// that went back to sleep before one that is awake is woken too.
    pub(crate) fn wake_first(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        while let Some(first) = self.asleep.first_entry() {
            let next = self.awake.last().is_none_or(|last| last < first.key());
            if next && self.awake.len() >= n {
                return;
            }
            self.awake.insert(*first.key());
            self.woken.push(first.remove());
        }
    }

    /// Returns whether there are at least `n` places before `place`.
    pub(crate) fn has_before(&self, place: Place<K>, n: usize) -> bool {
        // Mostly, the waiters that are awake come first, and there is room for all of them.
        if self.len() <= n || self.is_among_the_first(place, n) {
            return false;
        }
        let awake = self.awake.range(..place).take(n).count();
        awake == n || self.asleep.range(..place).take(n - awake).count() == n - awake
    }

    fn is_among_the_first(&self, place: Place<K>, n: usize) -> bool {
        let asleep = self.asleep.first_key_value().map(|(first, _)| *first);
        let is_awake = self.awake.contains(&place);
        is_awake && self.awake.len() <= n && asleep.is_none_or(|asleep| place < asleep)
    }

    fn len(&self) -> usize {
        self.asleep.len() + self.awake.len()
    }

    /// Returns whether a waiter is at `place`.
    pub(crate) fn contains(&self, place: Place<K>) -> bool {
        self.asleep.contains_key(&place) || self.awake.contains(&place)
    }

    /// Returns the keys of the sleeping waiters, in order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = K> {
        self.asleep.keys().map(|place| place.0)
    }
}

impl<K: Ord + Copy, S> WaitList<K, S> {
    pub(crate) fn new(state: S) -> Self {
        let waiting = Waiting {
            next: 0,
            asleep: BTreeMap::new(),
            awake: BTreeSet::new(),
            woken: WakeList::default(),
        };
        Self { inner: Mutex::new(Inner { state, waiting }), len: AtomicUsize::new(0) }
    }

    /// Returns how many waiters there are, or were a moment ago.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// Runs `f` under the lock, then wakes the waiters that `f` took out.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut S, &mut Waiting<K>) -> R) -> R {
        let mut inner = self.inner.lock();
        let Inner { state, waiting } = &mut *inner;
        let result = f(state, waiting);
        let mut woken = mem::take(&mut waiting.woken);
        self.store_len(&inner);
        drop(inner);
        woken.wake_all();
        result
    }

    /// Only the holder of the lock stores `len`, so its own load may be Relaxed.
    fn store_len(&self, inner: &Inner<K, S>) {
        let len = inner.waiting.len();
        if len != self.len.load(Ordering::Relaxed) {
            self.len.store(len, Ordering::SeqCst);
        }
    }

    /// Puts a waiter into the list, or back at its place, with this waker. `key` gives the key of a
    /// new place. The caller must then look at the state again.
    pub(crate) fn join(
        &self,
        place: &mut Option<Place<K>>,
        waker: &Waker,
        key: impl FnOnce(&mut S) -> K,
    ) {
        let waker = Parked::of(waker);
        let mut inner = self.inner.lock();
        let place = *place.get_or_insert_with(|| {
            let key = key(&mut inner.state);
            inner.waiting.next += 1;
            (key, inner.waiting.next)
        });
        inner.waiting.awake.remove(&place);
        let old = inner.waiting.asleep.insert(place, waker);
        self.store_len(&inner);
        drop(inner);
        drop_foreign(old);
        delay::at(Window::Registered);
    }

    /// Replaces the waker of a waiter that is still in the list. Returns `false` if the waiter was
    /// taken out.
    pub(crate) fn rejoin(&self, place: Place<K>, waker: &Waker) -> bool {
        let mut waker = Parked::of(waker);
        let mut inner = self.inner.lock();
        let old = inner.waiting.asleep.get_mut(&place);
        let is_there = old.is_some();
        old.into_iter().for_each(|old| mem::swap(old, &mut waker));
        drop(inner);
        drop_foreign(waker);
        is_there
    }

    pub(crate) fn leave(&self, place: &mut Option<Place<K>>) {
        let Some(place) = place.take() else { return };
        let mut inner = self.inner.lock();
        inner.waiting.awake.remove(&place);
        let old = inner.waiting.asleep.remove(&place);
        self.store_len(&inner);
        drop(inner);
        drop_foreign(old);
    }

    pub(crate) fn forget_all(&self) {
        let mut all = WakeList::default();
        self.take_all(&mut all);
        all.drop_all();
    }

    /// Moves the wakers of all waiters into `wakers`.
    pub(crate) fn take_all(&self, wakers: &mut WakeList) {
        let mut inner = self.inner.lock();
        inner.waiting.wake_all();
        wakers.append(mem::take(&mut inner.waiting.woken));
        self.store_len(&inner);
    }

    /// Wakes all waiters whose key is at most `key`, in chunks.
    pub(crate) fn wake_up_to(&self, key: K) {
        loop {
            let more = self.with(|_, waiting| {
                while !waiting.woken.is_full() {
                    if !waiting.wake_next_up_to(key) {
                        return false;
                    }
                }
                true
            });
            if !more {
                return;
            }
        }
    }
}

/// Drops a waker that is no longer needed. A panic of the drop must not keep the caller from its
/// next step.
fn drop_foreign<T>(waker: T) {
    let _ = quietly(move || drop(waker));
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    fn joined(list: &WaitList<u64>, key: u64, waker: &Waker) -> Option<Place<u64>> {
        let mut place = None;
        list.join(&mut place, waker, |()| key);
        place
    }

    #[test]
    fn keys_that_are_reached_are_woken_and_waiters_that_left_are_not() {
        let list = WaitList::new(());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut places: Vec<_> = (1..=200).map(|n| joined(&list, n, &waker)).collect();
        list.leave(&mut places[0]);
        joined(&list, 2, &Waker::from(Arc::new(Panics)));
        list.wake_up_to(150);
        assert_eq!(count.0.load(Ordering::Relaxed), 149);
        assert_eq!(list.len(), 50);
        assert!(!list.rejoin(places[1].unwrap(), &waker));
        assert!(list.rejoin(places[199].unwrap(), &waker));
        list.forget_all();
        assert_eq!((list.len(), Arc::strong_count(&count)), (0, 2));
    }

    #[test]
    fn a_waiter_woken_in_its_turn_keeps_its_place() {
        let list = WaitList::new(());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut places: Vec<_> = (0..3).map(|_| joined(&list, 0, &waker)).collect();
        list.with(|(), waiting| waiting.wake_first(2));
        list.with(|(), waiting| waiting.wake_first(2));
        assert_eq!(count.0.load(Ordering::Relaxed), 2, "once each");
        assert_eq!(list.len(), 3);
        let last = places[2].unwrap();
        assert!(list.with(|(), waiting| waiting.has_before(last, 2)));
        list.leave(&mut places[0]);
        assert!(!list.with(|(), waiting| waiting.has_before(last, 2)));
    }

    #[test]
    fn a_waiter_that_went_back_to_sleep_is_woken_before_later_ones() {
        let list = WaitList::new(());
        let counts: Vec<_> = (0..4).map(|_| Arc::new(Count::default())).collect();
        let wakers: Vec<_> = counts.iter().map(|count| Waker::from(Arc::clone(count))).collect();
        let mut places: Vec<_> = wakers.iter().map(|waker| joined(&list, 0, waker)).collect();
        let woken = || counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        list.with(|(), waiting| waiting.wake_first(2));
        list.join(&mut places[0], &wakers[0], |()| 0);
        list.with(|(), waiting| waiting.wake_first(0));
        assert_eq!(woken(), [1, 1, 0, 0]);
        list.with(|(), waiting| waiting.wake_first(1));
        assert_eq!(woken(), [2, 1, 0, 0]);
        list.join(&mut places[0], &wakers[0], |()| 0);
        list.with(|(), waiting| {
            let has_before = |at: usize, n| waiting.has_before(places[at].unwrap(), n);
            assert!(!has_before(0, 1) && has_before(1, 1) && !has_before(1, 2));
            assert!(has_before(3, 3) && !has_before(3, 4));
        });
    }

    /// A waker that comes back to the list: it would hang if it ran under the lock.
    struct Returns(Arc<WaitList<u64>>);
    impl Wake for Returns {
        fn wake(self: Arc<Self>) {
            assert_eq!(self.0.len(), 0);
            self.0.wake_up_to(u64::MAX);
        }
    }
    impl Drop for Returns {
        fn drop(&mut self) {
            self.0.with(|(), _| ());
        }
    }

    #[test]
    fn wakers_are_woken_and_dropped_outside_the_lock() {
        let list = Arc::new(WaitList::new(()));
        let returns = || Waker::from(Arc::new(Returns(Arc::clone(&list))));
        joined(&list, 1, &returns());
        list.wake_up_to(1);
        let mut place = joined(&list, 1, &returns());
        assert!(list.rejoin(place.unwrap(), &returns()));
        list.leave(&mut place);
        joined(&list, 1, &returns());
        list.with(|(), waiting| waiting.wake_all());
        joined(&list, 1, &returns());
        list.forget_all();
        assert_eq!(list.len(), 0);
    }
}
