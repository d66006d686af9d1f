//! Watchers of a cell, which receive new versions.
//!
//! # Protocol
//! A cell that has had a watcher shares a [`Watched`] with its watchers: the latest version, its
//! number, and the waiters. A writer renews it between taking the old version out and retiring it,
//! and reads the cell's pointer anew under the lock. So the last writer to take the lock leaves the
//! newest version there, whichever writer made it. Dropping the cell closes the `Watched`, and
//! gives the last version to the watchers, who may not have received it. The last watcher that
//! leaves retires it.
//!
//! A watcher begins a section, then takes the lock and the latest version. This version was not
//! retired when the lock was taken, so it is retired after the section began.
//!
//! No lock orders a writer and a new watcher before there is a `Watched`. The writer *swaps* the
//! version, then *looks* for watchers. The watcher *installs* the `Watched` and counts itself, then
//! *reads* the cell. All four are SeqCst: either the writer finds the watcher, or the watcher reads
//! what the writer has swapped in. A `Watched` without watchers may have a freed version. A new
//! watcher renews it before it looks.
//!
//! # Invariants
//! 1. While `watchers` is not 0, the version in `latest` was not retired when the lock was last
//!    taken, or the pointer is null.
//! 2. A cell's `Watched` is installed once, and the cell owns a share of it.

use super::{OwnedRcuRef, RcuCell};
use crate::Rcu;
use crate::sys::budget::Budget;
use crate::sys::prim::{AtomicPtr, AtomicUsize, Ordering, opaque_debug};
use crate::sys::wait_list::{Place, WaitList};
use futures_core::Stream;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What a cell shares with its watchers: the latest version, and the waiters for the next.
pub(super) struct Watched<T> {
    latest: WaitList<(), Latest<T>>,
    watchers: AtomicUsize,
}

struct Latest<T> {
    /// Null: there is no version to return.
    value: *const T,
    version: u64,
    /// The cell has ended.
    closed: bool,
    /// The watchers own `value`, the last version. The last watcher that leaves retires it.
    owned: bool,
}

// SAFETY: the pointer is to a `T` that is `Send` and `Sync`, and that this does not free.
unsafe impl<T: Send + Sync> Send for Watched<T> {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl<T: Send + Sync> Sync for Watched<T> {}

impl<T> Watched<T> {
    /// Calls `current` under the lock, stores its value if it is new, and wakes all waiters.
    /// `replaced`: it is new even at an equal address, since values without a size share one.
    fn renew(&self, current: impl FnOnce() -> *const T, replaced: bool) {
        self.latest.with(|latest, waiting| {
            let value = current();
            // The pointer is stored also if the address is the same: a new version may lie where a
            // freed one did, and the old pointer does not lead to it.
            let old = mem::replace(&mut latest.value, value);
            if !ptr::eq(old, value) || (replaced && size_of::<T>() == 0) {
                latest.version += 1;
                waiting.wake_all();
            }
        });
    }
}

/// A cell's pointer to its [`Watched`]. Null: the cell has never had a watcher.
pub(super) struct WatchLink<T>(AtomicPtr<Watched<T>>);

impl<T> WatchLink<T> {
    #[cfg(not(rcu_loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[cfg(rcu_loom)]
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Returns what is shared with the watchers, if there are any.
    fn watched(&self) -> Option<&Watched<T>> {
        // SAFETY: null, or installed and owned by the cell that `self` is part of (invariant 2).
        let watched = unsafe { self.0.load(Ordering::SeqCst).as_ref() }?;
        (watched.watchers.load(Ordering::SeqCst) != 0).then_some(watched)
    }

    /// Called by a writer after it has taken a version out of the cell and before it retires it.
    #[inline]
    pub(super) fn tell(&self, cell: &AtomicPtr<T>) {
        if let Some(watched) = self.watched() {
            watched.renew(|| cell.load(Ordering::SeqCst), true);
        }
    }

    /// Called when the cell ends, before its last version is retired. Gives the last version to the
    /// watchers, unless it is null, and returns whether they own it now.
    ///
    /// # Safety
    /// `last` is null, or was taken out of the cell, and is retired by the caller only if this
    /// returns `false`. If `is_boxed`, it came from a box. Else it is static.
    pub(super) unsafe fn close(&self, last: *mut T, is_boxed: bool) -> bool {
        let Some(watched) = self.watched() else { return false };
        watched.latest.with(|latest, waiting| {
            // No watcher comes any more, and those that leave take the lock.
            let is_watched = watched.watchers.load(Ordering::SeqCst) != 0;
            latest.closed = true;
            latest.value = if is_watched { last } else { ptr::null() };
            latest.owned = is_watched && is_boxed && !last.is_null();
            waiting.wake_all();
            latest.owned
        })
    }

    /// Returns a share of the `Watched`, which is made now if there is none.
    fn install(&self) -> Arc<Watched<T>> {
        let mut watched = self.0.load(Ordering::SeqCst);
        if watched.is_null() {
            let latest = Latest { value: ptr::null(), version: 0, closed: false, owned: false };
            let new = Arc::into_raw(Arc::new(Watched {
                latest: WaitList::new(latest),
                watchers: AtomicUsize::new(0),
            }))
            .cast_mut();
            let installed =
                self.0.compare_exchange(watched, new, Ordering::SeqCst, Ordering::SeqCst);
            watched = match installed {
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
            Arc::increment_strong_count(watched);
            Arc::from_raw(watched)
        }
    }
}

impl<T> Drop for WatchLink<T> {
    fn drop(&mut self) {
        let watched = self.0.load(Ordering::Acquire);
        if !watched.is_null() {
            // SAFETY: the cell's share (invariant 2).
            drop(unsafe { Arc::from_raw(watched) });
        }
    }
}

/// Receives new versions of a cell, always the latest one. From [`RcuCell::subscribe`].
///
/// A `Stream` of [`OwnedRcuRef`]s; or call [`changed`](Self::changed) in a loop. Each reference
/// holds its section until it is dropped. The watcher itself holds no section.
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
    watched: Arc<Watched<T>>,
    rcu: Rcu,
    /// The newest version that the watcher returned, or the current one at the subscription.
    seen: u64,
    /// Its place among the waiters.
    place: Option<Place<()>>,
    /// It does not count as a watcher any more.
    has_left: bool,
    budget: Budget,
}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// Makes a watcher that receives versions published from now on.
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
    /// While a cell has watchers, its writers take a lock for a moment. Readers never do. After the
    /// cell is dropped, its last version is kept until every watcher has received it or is dropped.
    pub fn subscribe(&self) -> Watcher<T> {
        let watched = self.watched.install();
        // Before the cell is read: see the protocol.
        watched.watchers.fetch_add(1, Ordering::SeqCst);
        watched.renew(|| self.current.load(Ordering::SeqCst), false);
        let seen = watched.latest.with(|latest, _| latest.version);
        Watcher {
            watched,
            rcu: self.rcu().clone(),
            seen,
            place: None,
            has_left: false,
            budget: Budget::default(),
        }
    }
}

impl<T: Send + Sync + 'static> Watcher<T> {
    /// Waits for a version newer than the last returned one. Returns `None` once the cell is
    /// dropped and its last version was returned. [`RcuCell::into_retired`] ends the cell without
    /// it.
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

    /// Returns the present version, also if it was returned before. Once the cell is dropped,
    /// returns the last version if it was not returned before, then `None`.
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
        // Before the lock: see the protocol.
        let guard = self.rcu.read_owned();
        let (value, closed) = self.watched.latest.with(|latest, _| {
            let seen = mem::replace(&mut self.seen, latest.version);
            let is_over = latest.closed && seen == latest.version;
            (if is_over { ptr::null() } else { latest.value }, latest.closed)
        });
        if closed {
            self.leave();
        }
        // SAFETY: not retired when the lock was taken (invariant 1), in the guard's section.
        (!value.is_null()).then(|| unsafe { OwnedRcuRef::new(guard, value) })
    }

    /// Leaves the watchers, when the watcher is dropped or has received the last version.
    fn leave(&mut self) {
        self.watched.latest.leave(&mut self.place);
        if mem::replace(&mut self.has_left, true) {
            return;
        }
        let last = self.watched.latest.with(|latest, _| {
            let is_last = self.watched.watchers.fetch_sub(1, Ordering::SeqCst) == 1;
            let owned = is_last && mem::take(&mut latest.owned);
            owned.then(|| mem::replace(&mut latest.value, ptr::null()))
        });
        if let Some(last) = last {
            // SAFETY: from a box, and owned by the watchers, of which this was the last. The cell
            // has ended, so no section that begins later reaches the version.
            unsafe { self.rcu.retire_raw(last.cast_mut()) };
        }
    }

    fn has_news(&self) -> bool {
        let is_new = |latest: &mut Latest<T>| latest.version != self.seen || latest.closed;
        self.watched.latest.with(|latest, _| is_new(latest))
    }

    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<OwnedRcuRef<T>>> {
        if !self.has_news() {
            let list = &self.watched.latest;
            list.join(&mut self.place, cx.waker(), |_| ());
            if !self.has_news() {
                return Poll::Pending;
            }
        }
        ready!(self.budget.poll(cx));
        self.watched.latest.leave(&mut self.place);
        Poll::Ready(self.latest())
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
        self.leave();
    }
}

/// Future of [`Watcher::changed`]: a newer version, or `None` once the cell is dropped and its last
/// version was returned.
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
/// assert!(watcher.changed().await.is_some());    // the dropped future has lost nothing
/// # });
/// ```
///
/// # Cancel safety
/// A future that is dropped before it is ready loses no version: the next future returns it.
#[must_use = "futures do nothing unless polled"]
pub struct Changed<'a, T: Send + Sync + 'static>(&'a mut Watcher<T>);

impl<T: Send + Sync + 'static> Future for Changed<'_, T> {
    type Output = Option<OwnedRcuRef<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_changed(cx)
    }
}

impl<T: Send + Sync + 'static> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        self.0.watched.latest.leave(&mut self.0.place);
    }
}

opaque_debug!(Watcher<T>, "Watcher", T: Send + Sync + 'static);
opaque_debug!(Changed<'_, T>, "Changed", T: Send + Sync + 'static);

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    /// Miri tells the two pointers apart.
    #[test]
    fn a_version_at_the_address_of_a_freed_one_is_read_through_its_own_pointer() {
        let link = WatchLink::new();
        let watched = link.install();
        let mut tries = 0..100_000;
        let value = loop {
            let freed = Box::new(0);
            let address = (&raw const *freed).addr();
            watched.renew(|| &raw const *freed, false);
            drop(freed);
            let value = Box::new(1);
            if (&raw const *value).addr() == address {
                break value;
            }
            assert!(tries.next().is_some(), "the allocator never gives an address again");
        };
        watched.renew(|| &raw const *value, false);
        let latest = watched.latest.with(|latest, _| latest.value);
        // SAFETY: points to the box.
        assert_eq!(unsafe { *latest }, 1);
    }
}
