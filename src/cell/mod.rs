//! A value under RCU, references to its versions, and streams of them.

// # Invariants of `RcuCell`
// 1. `current` points to a value that this cell has published and not yet taken out: the value of a
//    `Box`, or the static first value of a cell made by `RcuCell::none`.
// 2. A value that is taken out (by swap, exchange or drop) is freed only through [`Retired`] or
//    [`Rcu::retire_raw`], after a grace period of the cell's domain that starts later. So a section
//    of that domain that loaded the value may use it until the section ends.
// 3. The cell never moves anything out of a published value, and never changes it.

mod refs;
mod retire_on_drop;
mod retired;
pub(crate) mod structures;
mod watch;

pub use refs::{OwnedRcuRef, RcuRef};
pub use retire_on_drop::RetireOnDrop;
pub use retired::{Reclaim, ReclaimAll, Retired};
pub use watch::{Changed, Watcher};

use crate::sys::prim::{AtomicPtr, Ordering};
use crate::{Guard, Rcu};
use retired::Reclaimer;
use std::convert::Infallible;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use structures::DomainRef;
use watch::WatchLink;

/// A value that is read without cost and replaced as a whole: configuration, routes, tables.
///
/// Readers load a pointer inside a section. Writers publish a new value and retire the old one: the
/// domain's executor drops it when no reader can see it any more. Prefer [`with`](Self::with),
/// which cannot hold a section for long. Use [`read_owned`](Self::read_owned) to keep one version
/// across `.await`.
///
/// ```
/// use async_rcu::RcuCell;
/// let limits = RcuCell::new(vec![10, 20]);
/// assert_eq!(limits.with(|l| l[1]), 20);
/// limits.update(|l| l.iter().map(|n| n * 2).collect());   // read, copy, update
/// assert_eq!(limits.with(|l| l[1]), 40);
/// ```
/// Dropping a cell retires its value: references under a guard outlive the cell.
pub struct RcuCell<T: Send + Sync + 'static> {
    current: AtomicPtr<T>,
    domain: DomainRef,
    first: Option<&'static First<T>>,
    watched: WatchLink<T>,
}

/// The static version that a cell may begin with.
struct First<T: 'static> {
    version: &'static T,
    /// Makes an equal value, since the static one cannot be moved.
    reclaimer: Reclaimer<T>,
}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// Makes a cell in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// assert_eq!(limit.with(|n| *n), 10);
    /// ```
    pub fn new(value: T) -> Self {
        Self::new_in(Rcu::global(), value)
    }

    /// Makes a cell in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rcu = Rcu::new();
    /// let limit = RcuCell::new_in(&rcu, 10);
    /// assert_eq!(*limit.load(&rcu.read()), 10);
    /// ```
    pub fn new_in(rcu: &Rcu, value: T) -> Self {
        Self {
            current: AtomicPtr::new(Box::into_raw(rcu.boxed(value))),
            domain: DomainRef::of(rcu),
            first: None,
            watched: WatchLink::new(),
        }
    }

    /// Returns the domain whose guards the cell accepts.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// let guard = limit.rcu().read();
    /// assert_eq!(*limit.load(&guard), 10);
    /// ```
    #[inline]
    pub fn rcu(&self) -> &Rcu {
        self.domain.rcu()
    }

    /// Calls `f` with the current value, in a section that ends with the call.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let table = RcuCell::new(vec!["a", "b"]);
    /// assert_eq!(table.with(|t| t.len()), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let guard = self.rcu().read();
        f(self.get(&guard))
    }

    /// Returns the current value, in a section of this thread that lasts as long as the reference.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let table = RcuCell::new(vec!["a", "b"]);
    /// let rows = table.read();
    /// table.store(Vec::new());
    /// assert_eq!(rows.join(","), "a,b");             // the version that was there
    /// ```
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RcuRef<'_, T> {
        let guard = self.rcu().read();
        let value = self.current.load(Ordering::Acquire);
        // SAFETY: loaded in the guard's section, which is of this cell's domain (invariants 1, 2).
        unsafe { RcuRef::new(guard, value) }
    }

    /// Returns the current value, in a section that may be held across `.await` and sent.
    ///
    /// ```
    /// # use async_rcu::RcuCell;
    /// # async fn send(_: &str) {}
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let motd = RcuCell::new("hello".to_owned());
    /// let text = motd.read_owned();
    /// send(&text).await;              // the same version, whatever is stored meanwhile
    /// # });
    /// ```
    #[inline]
    #[track_caller]
    pub fn read_owned(&self) -> OwnedRcuRef<T> {
        let guard = self.rcu().read_owned();
        let value = self.current.load(Ordering::Acquire);
        // SAFETY: as in `read`.
        unsafe { OwnedRcuRef::new(guard, value) }
    }

    /// Returns the current value, in a section that is already open: several cells, one section.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuCell};
    /// let (a, b) = (RcuCell::new(1), RcuCell::new(2));
    /// let guard = Rcu::global().read();
    /// assert_eq!(*a.load(&guard) + *b.load(&guard), 3);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the value.
    #[inline]
    #[track_caller]
    pub fn load<'g>(&self, guard: &'g impl Guard) -> &'g T {
        self.assert_covered(guard);
        self.get(guard)
    }

    #[inline(always)]
    #[track_caller]
    fn assert_covered(&self, guard: &impl Guard) {
        self.domain.assert_covers(guard, "RcuCell");
    }

    /// Returns the current value, for a guard that is known to be of this cell's domain.
    #[inline(always)]
    fn get<'g>(&self, _guard: &'g impl Guard) -> &'g T {
        // SAFETY: loaded in a section of the cell's domain, which lasts for 'g (invariants 1, 2).
        // Acquire pairs with the publication, so that the value is seen whole.
        unsafe { &*self.current.load(Ordering::Acquire) }
    }

    /// Publishes `value`, and retires the old one.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// limit.store(20);
    /// assert_eq!(limit.with(|n| *n), 20);
    /// ```
    pub fn store(&self, value: T) {
        let old = self.exchange(value);
        // SAFETY: taken out here, and once.
        unsafe { self.retire(old) };
    }

    /// Publishes `value`, and returns the old one.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// let old = limit.swap(20);
    /// assert_eq!(*old, 10);                          // readers may still look at it
    /// ```
    pub fn swap(&self, value: T) -> Retired<T> {
        let old = self.exchange(value);
        // SAFETY: taken out here, and once.
        unsafe { self.retired(old) }
    }

    fn exchange(&self, value: T) -> *mut T {
        let new = Box::into_raw(self.rcu().boxed(value));
        // Release publishes the new value; Acquire shows the old one whole; the watchers need
        // SeqCst.
        let old = self.current.swap(new, Ordering::SeqCst);
        // Before the old version is retired.
        self.watched.tell(&self.current);
        old
    }

    /// Publishes what `f` makes of the current value: read, copy, update. If another writer
    /// publishes meanwhile, the new value is dropped, and `f` is called again. For an update that
    /// waits between reading and publishing, hold a lock of your own around it.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let peers = RcuCell::new(vec!["a"]);
    /// let old = peers.update(|now| now.iter().copied().chain(["b"]).collect());
    /// assert_eq!((old.len(), peers.with(|p| p.len())), (1, 2));
    /// ```
    pub fn update(&self, mut f: impl FnMut(&T) -> T) -> Retired<T> {
        match self.try_update(|value| Ok::<T, Infallible>(f(value))) {
            Ok(old) => old,
            Err(never) => match never {},
        }
    }

    /// [`update`](Self::update) that may give up: an error of `f` leaves the cell as it was.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let left = RcuCell::new(1_u32);
    /// let take = || left.try_update(|n| n.checked_sub(1).ok_or("none left"));
    /// assert!(take().is_ok());
    /// assert_eq!(take().unwrap_err(), "none left");
    /// ```
    ///
    /// # Errors
    /// What `f` returns.
    pub fn try_update<E>(&self, mut f: impl FnMut(&T) -> Result<T, E>) -> Result<Retired<T>, E> {
        loop {
            // One section from the read to the exchange: the version that was read cannot be freed,
            // so its address cannot be used again between them. Each try has a section of its own,
            // so that an update that loses again and again does not hold up grace periods.
            let section = self.rcu().read();
            let seen = self.current.load(Ordering::Acquire);
            // SAFETY: loaded in the section (invariants 1, 2).
            let new = Box::into_raw(self.rcu().boxed(f(unsafe { &*seen })?));
            let exchanged =
                self.current.compare_exchange(seen, new, Ordering::SeqCst, Ordering::Relaxed);
            match exchanged {
                Ok(old) => {
                    // The wakers of watchers run outside of the section.
                    drop(section);
                    // Before the old version is retired.
                    self.watched.tell(&self.current);
                    // SAFETY: taken out here, and once.
                    return Ok(unsafe { self.retired(old) });
                }
                // SAFETY: made above and not published.
                Err(_) => drop(unsafe { Box::from_raw(new) }),
            }
        }
    }

    /// Takes the value out, and returns it as [`swap`](Self::swap) does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuCell;
    /// let cell = RcuCell::new(String::from("last"));
    /// let value: Box<String> = cell.into_retired().wait().await;
    /// assert_eq!(*value, "last");
    /// # });
    /// ```
    pub fn into_retired(self) -> Retired<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: no version is given to the watchers.
        unsafe { this.watched.close(ptr::null_mut(), false) };
        let old = this.current.load(Ordering::Acquire);
        // SAFETY: the cell is owned here and not dropped: taken out here, and once.
        let retired = unsafe { this.retired(old) };
        // SAFETY: not used again, and not dropped by `ManuallyDrop`.
        unsafe {
            ptr::drop_in_place(&raw mut this.domain);
            ptr::drop_in_place(&raw mut this.watched);
        }
        retired
    }

    fn as_first(&self, version: *const T) -> Option<&'static First<T>> {
        self.first.filter(|first| ptr::eq(first.version, version))
    }

    /// # Safety
    /// `old` was in `current`, has been taken out by the caller, and is given here once. Watchers
    /// have been told.
    unsafe fn retired(&self, old: *mut T) -> Retired<T> {
        match self.as_first(old) {
            Some(first) => {
                let version = NonNull::from(first.version);
                // SAFETY: static.
                unsafe { Retired::new(self.rcu(), version, ptr::null_mut(), &first.reclaimer) }
            }
            // SAFETY: from a box (invariant 1), and freed by this alone (invariant 2).
            None => unsafe { Retired::from_raw(self.rcu(), old) },
        }
    }

    /// Retires a version that is not given out.
    ///
    /// # Safety
    /// As [`retired`](Self::retired).
    unsafe fn retire(&self, old: *mut T) {
        if self.as_first(old).is_none() {
            // SAFETY: from a box (invariant 1), and freed by this alone (invariant 2).
            unsafe { self.rcu().retire_raw(old) };
        }
    }
}

// loom's atomics are not made in a `const fn`.
#[cfg(not(rcu_loom))]
impl<T: Send + Sync + 'static> RcuCell<Option<T>> {
    const NONE: &'static First<Option<T>> =
        &First { version: &None, reclaimer: Reclaimer { free: None, take: |_| Box::new(None) } };

    /// Makes an empty cell in the [global domain](Rcu::global), for statics.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// static CONFIG: RcuCell<Option<String>> = RcuCell::none();
    /// CONFIG.store(Some("loaded".to_owned()));
    /// assert_eq!(CONFIG.with(|c| c.clone()).as_deref(), Some("loaded"));
    /// ```
    pub const fn none() -> Self {
        // Named once: two uses of a constant need not have one address.
        let first = Self::NONE;
        Self {
            current: AtomicPtr::new(ptr::from_ref(first.version).cast_mut()),
            domain: DomainRef::GLOBAL,
            first: Some(first),
            watched: WatchLink::new(),
        }
    }
}

impl<T: Send + Sync + 'static> RcuCell<Arc<T>> {
    /// Returns a share of the current value, to keep for long without a section.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// use std::sync::Arc;
    /// let config = RcuCell::new(Arc::new("v1".to_owned()));
    /// let kept: Arc<String> = config.load_full();    // holds no section
    /// config.store(Arc::new("v2".to_owned()));
    /// assert_eq!(*kept, "v1");
    /// ```
    pub fn load_full(&self) -> Arc<T> {
        self.with(Arc::clone)
    }
}

impl<T: Send + Sync + 'static> Drop for RcuCell<T> {
    fn drop(&mut self) {
        let old = self.current.load(Ordering::Acquire);
        let is_boxed = self.as_first(old).is_none();
        // SAFETY: taken out here, and retired once.
        unsafe {
            if !self.watched.close(old, is_boxed) {
                self.retire(old);
            }
        }
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for RcuCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|value| f.debug_tuple("RcuCell").field(value).finish())
    }
}

impl<T: Send + Sync + Default + 'static> Default for RcuCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Send + Sync + 'static> From<T> for RcuCell<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}
