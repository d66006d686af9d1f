//! Being told of new versions of a cell.
//!
//! # Protocol
//! A cell that somebody watches has a *slot*: the latest version, its number, and who waits. Writers change the slot after
//! they have taken the old version out of the cell and before they retire it: under the slot's lock they read the cell's
//! pointer anew, so that of several writers the last to come here leaves the newest there, whoever's that is.
//! Dropping the cell closes the slot, before the last version is retired.
//!
//! A watcher begins a section, then locks the slot and takes what is there: that was not retired when the lock was taken,
//! so it is retired after the section began.
//!
//! Nobody is kept from missing each other by a lock until there is a slot: a writer *swaps*, then *looks* for
//! watchers; who subscribes *installs* the slot and counts itself, then *reads* the cell. All four are SeqCst: either the
//! writer finds the watcher, or the watcher reads what the writer has swapped in. A slot without watchers may hold a version
//! that is long gone: nobody looks into it before it was read anew.
//!
//! # Invariants
//! 1. While `watchers` is not 0, `latest` was not retired when the slot's lock was last taken, or it is closed.
//! 2. A cell's slot is installed once, and the cell owns a share of it.

use super::{OwnedRcuRef, RcuCell};
use crate::Rcu;
use crate::sys::prim::{AtomicPtr, AtomicUsize, Mutex, Ordering};
use crate::sys::wake::{Parked, WakeList};
use futures_core::Stream;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};

pub(super) struct Slot<T> {
    latest: Mutex<Latest<T>>,
    watchers: AtomicUsize,
}

struct Latest<T> {
    /// Null: the cell is gone.
    value: *const T,
    version: u64,
    next: u64,
    waiting: BTreeMap<u64, Parked>,
}

// SAFETY: the pointer is to a `T` that all threads may see, and that is freed by whoever retires it.
unsafe impl<T: Send + Sync> Send for Slot<T> {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// Puts what `current` tells under the lock, where that is new, and wakes who waits. `replaced`: something is new in any
    /// case where addresses cannot tell, because values without a size all have the same.
    fn renew(&self, current: impl FnOnce() -> *const T, replaced: bool) {
        let mut latest = self.latest.lock();
        let value = current();
        let mut waiting = BTreeMap::new();
        if !ptr::eq(latest.value, value) || (replaced && size_of::<T>() == 0) {
            latest.value = value;
            latest.version += 1;
            waiting = mem::take(&mut latest.waiting);
        }
        drop(latest);
        let mut wakers = WakeList::default();
        waiting.into_values().for_each(|waker| wakers.push(waker));
        wakers.wake_all();
    }
}

/// A cell's place for its slot. Null: nobody has ever watched.
pub(super) struct Watched<T>(AtomicPtr<Slot<T>>);

impl<T> Watched<T> {
    #[cfg(not(rcu_loom))]
    pub(super) const fn by_nobody() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[cfg(rcu_loom)]
    pub(super) fn by_nobody() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The slot, if somebody watches now.
    fn slot(&self) -> Option<&Slot<T>> {
        // SAFETY: null, or installed and owned by the cell that `self` is part of (invariant 2).
        let slot = unsafe { self.0.load(Ordering::SeqCst).as_ref() }?;
        (slot.watchers.load(Ordering::SeqCst) != 0).then_some(slot)
    }

    /// Writer, after it has taken a version out of the cell, and before it retires that.
    #[inline]
    pub(super) fn tell(&self, cell: &AtomicPtr<T>) {
        if let Some(slot) = self.slot() {
            slot.renew(|| cell.load(Ordering::SeqCst), true);
        }
    }

    /// The cell goes; before its last version is retired.
    pub(super) fn close(&self) {
        if let Some(slot) = self.slot() {
            slot.renew(ptr::null, false);
        }
    }

    /// The slot, installed now if there is none.
    fn install(&self) -> Arc<Slot<T>> {
        let mut slot = self.0.load(Ordering::SeqCst);
        if slot.is_null() {
            let new = Arc::into_raw(Arc::new(Slot {
                latest: Mutex::new(Latest {
                    value: ptr::null(),
                    version: 0,
                    next: 0,
                    waiting: BTreeMap::new(),
                }),
                watchers: AtomicUsize::new(0),
            }))
            .cast_mut();
            let installed = self
                .0
                .compare_exchange(slot, new, Ordering::SeqCst, Ordering::SeqCst);
            slot = match installed {
                Ok(_) => new,
                Err(first) => {
                    // SAFETY: made above, and installed nowhere.
                    drop(unsafe { Arc::from_raw(new) });
                    first
                }
            };
        }
        // SAFETY: the cell owns a share (invariant 2); this makes another.
        unsafe {
            Arc::increment_strong_count(slot);
            Arc::from_raw(slot)
        }
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        let slot = self.0.load(Ordering::Acquire);
        if !slot.is_null() {
            // SAFETY: the cell's share (invariant 2).
            drop(unsafe { Arc::from_raw(slot) });
        }
    }
}

/// Tells of new versions of a cell: the latest one only, whatever was missed. From [`RcuCell::subscribe`].
///
/// A `Stream` of [`OwnedRcuRef`]s, or [`changed`](Self::changed) in a loop. Each holds its section until it is dropped; the
/// watcher itself holds none.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::RcuCell;
/// use futures::StreamExt;
/// let level = RcuCell::new("info");
/// let mut levels = level.subscribe();
/// level.store("debug");
/// assert_eq!(*levels.next().await.unwrap(), "debug");
/// drop(level);
/// assert!(levels.next().await.is_none());
/// # });
/// ```
pub struct Watcher<T: Send + Sync + 'static> {
    slot: Arc<Slot<T>>,
    rcu: Rcu,
    /// The newest version that was given out, or current when this began.
    seen: u64,
    /// Its place among those that wait.
    place: Option<u64>,
}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// A watcher that tells of versions published from now on.
    ///
    /// ```
    /// # use async_rcu::RcuCell;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let config = RcuCell::new(1);
    /// let mut watcher = config.subscribe();
    /// config.store(2);
    /// config.store(3);
    /// assert_eq!(*watcher.changed().await.unwrap(), 3);      // the latest
    /// drop(config);
    /// assert!(watcher.changed().await.is_none());            // the cell is gone
    /// # });
    /// ```
    ///
    /// While a cell is watched, a writer takes a lock for a moment; readers never do.
    pub fn subscribe(&self) -> Watcher<T> {
        let slot = self.watched.install();
        // Before the cell is read: see the protocol.
        slot.watchers.fetch_add(1, Ordering::SeqCst);
        slot.renew(|| self.current.load(Ordering::SeqCst), false);
        let seen = slot.latest.lock().version;
        Watcher {
            slot,
            rcu: self.rcu().clone(),
            seen,
            place: None,
        }
    }
}

impl<T: Send + Sync + 'static> Watcher<T> {
    /// Waits for a version that is newer than the last one given out; `None` once the cell is gone.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuCell;
    /// let level = RcuCell::new("info");
    /// let mut watcher = level.subscribe();
    /// level.store("debug");
    /// while let Some(now) = watcher.changed().await {
    ///     assert_eq!(*now, "debug");
    /// #   break;
    /// }
    /// # });
    /// ```
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed(self)
    }

    /// The present version, whether it was given out before or not; `None` once the cell is gone.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let level = RcuCell::new("info");
    /// let mut watcher = level.subscribe();
    /// assert_eq!(*watcher.latest().unwrap(), "info");
    /// drop(level);
    /// assert!(watcher.latest().is_none());
    /// ```
    pub fn latest(&mut self) -> Option<OwnedRcuRef<T>> {
        let guard = self.rcu.read_owned();
        let latest = self.slot.latest.lock();
        let value = latest.value;
        self.seen = latest.version;
        drop(latest);
        // SAFETY: not retired when the lock was taken (invariant 1), after the guard's section began.
        (!value.is_null()).then(|| unsafe { OwnedRcuRef::new(guard, value) })
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<OwnedRcuRef<T>>> {
        let waker = Parked::of(cx.waker());
        // Before the lock: see the protocol.
        let guard = self.rcu.read_owned();
        let mut latest = self.slot.latest.lock();
        if latest.version == self.seen && !latest.value.is_null() {
            let place = *self.place.get_or_insert_with(|| {
                latest.next += 1;
                latest.next
            });
            let old = latest.waiting.insert(place, waker);
            drop(latest);
            drop(old);
            return Poll::Pending;
        }
        self.seen = latest.version;
        let value = latest.value;
        drop(latest);
        // SAFETY: as in `latest`.
        Poll::Ready((!value.is_null()).then(|| unsafe { OwnedRcuRef::new(guard, value) }))
    }
}

impl<T: Send + Sync + 'static> Stream for Watcher<T> {
    type Item = OwnedRcuRef<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OwnedRcuRef<T>>> {
        self.get_mut().poll_changed(cx)
    }
}

impl<T: Send + Sync + 'static> Drop for Watcher<T> {
    fn drop(&mut self) {
        let old = match self.place {
            Some(place) => self.slot.latest.lock().waiting.remove(&place),
            None => None,
        };
        self.slot.watchers.fetch_sub(1, Ordering::SeqCst);
        drop(old);
    }
}

/// Future of [`Watcher::changed`]: a newer version, or `None` once the cell is gone.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::RcuCell;
/// use tokio::time::{Duration, timeout};
/// let level = RcuCell::new("info");
/// let mut watcher = level.subscribe();
/// let none_yet = timeout(Duration::from_millis(1), watcher.changed()).await;
/// assert!(none_yet.is_err());
/// level.store("debug");
/// assert!(watcher.changed().await.is_some());    // what was given up has lost nothing
/// # });
/// ```
///
/// # Cancel safety
/// Dropped before it is ready, it has taken nothing: the version is there for the next one.
#[must_use = "futures do nothing unless polled"]
pub struct Changed<'a, T: Send + Sync + 'static>(&'a mut Watcher<T>);

impl<T: Send + Sync + 'static> Future for Changed<'_, T> {
    type Output = Option<OwnedRcuRef<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_changed(cx)
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}
