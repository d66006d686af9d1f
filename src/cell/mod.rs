//! A value under RCU, references to its versions, and streams of them.

// # Invariants of `RcuCell`
// 1. `current` points to a value that this cell has published and not yet taken out: the value of a
//    `Box`, or the static first value of a cell made by `RcuCell::none`.
// 2. A value that is taken out (by swap, exchange or drop) is freed only through `Retired`, after a
//    grace period of the cell's domain that starts later. So a section of that domain that loaded
//    the value may use it until the section ends.
// 3. The cell never moves anything out of a published value, and never changes it.

mod deferred;
mod domain_ref;
mod refs;
mod retired;
mod watch;

pub use deferred::Deferred;
pub(crate) use domain_ref::DomainRef;
pub use refs::{OwnedRcuRef, RcuRef};
pub(crate) use retired::Holder;
pub use retired::{Reclaim, ReclaimAll, Retired};
pub use watch::{Changed, Watcher};

use crate::sys::prim::{AtomicPtr, Ordering};
use crate::{Guard, Rcu};
use retired::Version;
use std::convert::Infallible;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use watch::Watched;

/// A value that is read without cost and replaced as a whole: configuration, routes, tables.
///
/// Readers load a pointer inside a section; writers publish a new value and retire the old one, which is dropped on the
/// domain's executor when no reader can see it any more. Lead with [`with`](Self::with), which cannot hold a
/// section too long; use [`read_owned`](Self::read_owned) to keep one version across `.await`.
///
/// ```
/// use async_rcu::RcuCell;
/// let limits = RcuCell::new(vec![10, 20]);
/// assert_eq!(limits.with(|l| l[1]), 20);
/// limits.update(|l| l.iter().map(|n| n * 2).collect());   // read, copy, update
/// assert_eq!(limits.with(|l| l[1]), 40);
/// ```
///
/// Dropping a cell retires its value: references taken under a guard outlive the cell.
pub struct RcuCell<T: Send + Sync + 'static> {
    current: AtomicPtr<T>,
    domain: DomainRef,
    first: Option<First<T>>,
    watched: Watched<T>,
}

/// The version that is static, and how to make an equal one.
type First<T> = (&'static T, fn() -> T);

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// A cell in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// assert_eq!(limit.with(|n| *n), 10);
    /// ```
    pub fn new(value: T) -> Self {
        Self::new_in(Rcu::global(), value)
    }

    /// A cell in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rcu = Rcu::new();
    /// let limit = RcuCell::new_in(&rcu, 10);
    /// assert_eq!(*limit.load(&rcu.read()), 10);
    /// ```
    pub fn new_in(rcu: &Rcu, value: T) -> Self {
        Self {
            current: AtomicPtr::new(Box::into_raw(Box::new(value))),
            domain: DomainRef::of(rcu),
            first: None,
            watched: Watched::by_nobody(),
        }
    }

    /// The domain that guards must be of.
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

    /// The current value, in a section of this thread that lasts as long as the reference.
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

    /// The current value, in a section that may be held across `.await` and sent to other threads.
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

    /// The current value, in a section that is already open: several cells, one section.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuCell};
    /// let (a, b) = (RcuCell::new(1), RcuCell::new(2));
    /// let guard = Rcu::global().read();
    /// assert_eq!(*a.load(&guard) + *b.load(&guard), 3);
    /// ```
    ///
    /// # Panics
    /// Where the guard is of another domain, which would not protect the value.
    #[inline]
    #[track_caller]
    pub fn load<'g>(&self, guard: &'g impl Guard) -> &'g T {
        self.assert_covered(guard);
        self.get(guard)
    }

    #[inline(always)]
    #[track_caller]
    pub(crate) fn assert_covered(&self, guard: &impl Guard) {
        if !self.domain.covers(guard) {
            wrong_domain();
        }
    }

    /// For a guard that is known to be of this cell's domain.
    #[inline(always)]
    fn get<'g>(&self, _guard: &'g impl Guard) -> &'g T {
        // SAFETY: loaded in a section of the cell's domain, which lasts for 'g (invariants 1, 2). Acquire: pairs with the
        // publication, so that the value is seen whole.
        unsafe { &*self.current.load(Ordering::Acquire) }
    }

    /// Publishes `value`; the old one is retired.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// limit.store(20);
    /// assert_eq!(limit.with(|n| *n), 20);
    /// ```
    pub fn store(&self, value: T) {
        drop(self.swap(value));
    }

    /// Publishes `value`; the old one is given out as [`Retired`], to look at, to wait for, or to drop.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let limit = RcuCell::new(10);
    /// let old = limit.swap(20);
    /// assert_eq!(*old, 10);                          // others may still be looking at it too
    /// ```
    pub fn swap(&self, value: T) -> Retired<T> {
        // Release publishes the new value; Acquire makes the old one ours to look at; SeqCst for the watchers.
        let old = self
            .current
            .swap(Box::into_raw(Box::new(value)), Ordering::SeqCst);
        // SAFETY: taken out here, and once.
        unsafe { self.replaced(old) }
    }

    /// Publishes what `f` makes of the current value: read, copy, update. Tried again until nobody came between, so `f` may
    /// be called several times; a lost attempt's value is dropped.
    ///
    /// For updates that wait between reading and publishing, hold a lock of your own around them.
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

    /// [`update`](Self::update) that may give up: an error of `f` leaves everything as it was.
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
        // One section from the read to the exchange: what was read cannot be freed and its address used again between.
        let section = self.rcu().read();
        loop {
            let seen = self.current.load(Ordering::Acquire);
            // SAFETY: loaded in the section (invariants 1, 2).
            let new = Box::into_raw(Box::new(f(unsafe { &*seen })?));
            let exchanged =
                self.current
                    .compare_exchange(seen, new, Ordering::SeqCst, Ordering::Relaxed);
            match exchanged {
                Ok(old) => {
                    // The wakers of watchers need not run in it.
                    drop(section);
                    // SAFETY: taken out here, and once.
                    return Ok(unsafe { self.replaced(old) });
                }
                // SAFETY: made above and not published.
                Err(_) => drop(unsafe { Box::from_raw(new) }),
            }
        }
    }

    /// The value as [`Retired`], as if swapped out; references under guards may still be there.
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
        this.watched.close();
        let old = this.current.load(Ordering::Acquire);
        // SAFETY: the cell is ours and is not dropped: taken out here, and once.
        let retired = unsafe { this.retired(old) };
        // SAFETY: not used again; `ManuallyDrop` keeps them from being dropped twice.
        unsafe {
            std::ptr::drop_in_place(&raw mut this.domain);
            std::ptr::drop_in_place(&raw mut this.watched);
        }
        retired
    }

    /// # Safety
    /// `old` was in `current`, and has just been taken out by the caller.
    unsafe fn replaced(&self, old: *mut T) -> Retired<T> {
        // Before it is retired.
        self.watched.tell(&self.current);
        // SAFETY: passed on.
        unsafe { self.retired(old) }
    }

    /// # Safety
    /// As [`replaced`](Self::replaced); or the cell goes, and its slot is closed.
    unsafe fn retired(&self, old: *mut T) -> Retired<T> {
        let version = match self.first {
            Some((first, make)) if std::ptr::eq(first, old) => Version::Static(first, make),
            // SAFETY: invariant 1: it came from a box, and is now ours alone to free (invariant 2).
            _ => unsafe { Version::boxed(old) },
        };
        Retired::new(self.rcu(), version)
    }
}

#[cold]
#[track_caller]
fn wrong_domain() -> ! {
    panic!("the guard is of another Rcu than the RcuCell, and does not protect its value");
}

// loom's atomics are not made in a `const fn`.
#[cfg(not(rcu_loom))]
impl<T: Send + Sync + 'static> RcuCell<Option<T>> {
    const NONE: &'static Option<T> = &None;

    /// An empty cell in the [global domain](Rcu::global), for statics.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// static CONFIG: RcuCell<Option<String>> = RcuCell::none();
    /// CONFIG.store(Some("loaded".to_owned()));
    /// assert_eq!(CONFIG.with(|c| c.clone()).as_deref(), Some("loaded"));
    /// ```
    pub const fn none() -> Self {
        // Named once: two mentions of a constant need not have one address.
        let none = Self::NONE;
        Self {
            current: AtomicPtr::new(std::ptr::from_ref(none).cast_mut()),
            domain: DomainRef::GLOBAL,
            first: Some((none, || None)),
            watched: Watched::by_nobody(),
        }
    }
}

impl<T: Send + Sync + 'static> RcuCell<Arc<T>> {
    /// The current value with a count of its own: to keep for long, without a section.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// use std::sync::Arc;
    /// let config = RcuCell::new(Arc::new("v1".to_owned()));
    /// let kept: Arc<String> = config.load_full();    // holds up nothing
    /// config.store(Arc::new("v2".to_owned()));
    /// assert_eq!(*kept, "v1");
    /// ```
    pub fn load_full(&self) -> Arc<T> {
        self.with(Arc::clone)
    }
}

impl<T: Send + Sync + 'static> Drop for RcuCell<T> {
    fn drop(&mut self) {
        self.watched.close();
        let old = self.current.load(Ordering::Acquire);
        if self
            .first
            .is_some_and(|(first, _)| std::ptr::eq(first, old))
        {
            return;
        }
        // SAFETY: taken out here, and once.
        drop(unsafe { self.retired(old) });
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
