//! Who waits for which number: a target and a waker each. For the end of grace periods, and for being asked to leave.
//!
//! # Protocol
//! A waiter registers, then looks at the mark (`elapsed`, say) again. Whoever raises the mark then takes out, under the same
//! lock, all whose target it has reached. So either that finds the waiter, or the waiter's second look, behind the lock, sees
//! the mark raised. Wakers are cloned before the lock, and called and dropped after it.

use super::sequence::Seq;
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicUsize, Mutex, Ordering};
use crate::sys::unwind::quietly;
use crate::sys::wake::{Parked, WakeList};
use std::collections::BTreeMap;
use std::task::Waker;

/// A place in the list: the target, and a number that makes it unique.
pub(crate) type Key = (Seq, u64);

#[derive(Debug)]
pub(crate) struct Waiters {
    list: Mutex<List>,
    len: AtomicUsize,
}

#[derive(Debug)]
struct List {
    next: u64,
    waiting: BTreeMap<Key, Parked>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self {
            list: Mutex::new(List {
                next: 0,
                waiting: BTreeMap::new(),
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// How many wait, as of a moment ago.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Adds a waiter, which must then look at `elapsed` again.
    pub(crate) fn register(&self, target: Seq, waker: &Waker) -> Key {
        let waker = Parked::of(waker);
        let mut list = self.list.lock();
        let key = (target, list.next);
        list.next += 1;
        list.waiting.insert(key, waker);
        self.len.store(list.waiting.len(), Ordering::Relaxed);
        drop(list);
        delay::at(Window::Registered);
        key
    }

    /// Replaces a waiter's waker. `false` where it has been woken and is no longer here.
    pub(crate) fn update(&self, key: Key, waker: &Waker) -> bool {
        let waker = Parked::of(waker);
        let mut list = self.list.lock();
        let (here, other) = match list.waiting.get_mut(&key) {
            Some(place) => (true, std::mem::replace(place, waker)),
            None => (false, waker),
        };
        drop(list);
        // Foreign code, as every drop of a waker is.
        drop(other);
        here
    }

    /// Takes a waiter out.
    pub(crate) fn forget(&self, key: Key) {
        let mut list = self.list.lock();
        let old = list.waiting.remove(&key);
        self.len.store(list.waiting.len(), Ordering::Relaxed);
        drop(list);
        drop(old);
    }

    /// Takes everyone out, and wakes nobody.
    pub(crate) fn forget_all(&self) {
        let mut list = self.list.lock();
        let old = std::mem::take(&mut list.waiting);
        self.len.store(0, Ordering::Relaxed);
        drop(list);
        // The drops are foreign code, and one that panics must not take the others with it.
        for waker in old.into_values() {
            let _ = quietly(move || drop(waker));
        }
    }

    /// In the child of a fork: takes everyone out, to be woken later.
    pub(crate) fn take_all(&self, wakers: &mut WakeList) {
        let mut list = self.list.lock();
        let all = std::mem::take(&mut list.waiting);
        self.len.store(0, Ordering::Relaxed);
        drop(list);
        all.into_values().for_each(|waker| wakers.push(waker));
    }

    /// Wakes everyone whose target is reached.
    pub(crate) fn wake_up_to(&self, elapsed: Seq) {
        let mut wakers = WakeList::default();
        loop {
            let mut list = self.list.lock();
            while !wakers.is_full() {
                match list.waiting.first_entry() {
                    Some(entry) if entry.key().0 <= elapsed => wakers.push(entry.remove()),
                    _ => break,
                }
            }
            let more = wakers.is_full();
            self.len.store(list.waiting.len(), Ordering::Relaxed);
            drop(list);
            wakers.wake_all();
            if !more {
                return;
            }
        }
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

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

    #[test]
    fn wakes_what_is_reached_and_forgets_what_is_dropped() {
        let waiters = Waiters::new();
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let keys: Vec<_> = (1..=200)
            .map(|n| waiters.register(Seq::from_raw(n), &waker))
            .collect();
        waiters.forget(keys[0]);
        waiters.register(Seq::from_raw(2), &Waker::from(Arc::new(Panics)));
        waiters.wake_up_to(Seq::from_raw(150));
        assert_eq!(count.0.load(Ordering::Relaxed), 149);
        assert_eq!(waiters.len(), 50);
        assert!(!waiters.update(keys[1], &waker));
        assert!(waiters.update(keys[199], &waker));
    }
}
