//! The guards: of a section of the current thread, and of a section that may move between threads.

use super::local;
use super::record::Record;
use super::registry::Registry;
use super::release::ReleaseRequested;
use super::signals::Signals;
use super::word::Word;
use crate::sys::prim::opaque_debug;
use std::marker::PhantomData;

/// A read-side critical section of the current thread, from [`Rcu::read`](crate::Rcu::read) to its
/// drop.
///
/// While the guard exists, nothing is freed that could be reached through the domain's cells when
/// the section began. Guards nest and may be dropped in any order: the section lasts until the last
/// of them is dropped. A leaked guard keeps its section open for ever, also after its thread has
/// ended.
///
/// A guard belongs to its thread: it is `!Send` and `!Sync`. A `Future` that holds one across
/// `.await` is therefore not `Send`; use an [`OwnedReadGuard`] there.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(async_rcu::Rcu::global().read());
/// ```
/// ```
/// fn send<T: Send>(_: T) {}
/// send(async_rcu::Rcu::global().read_owned());
/// ```
#[must_use = "the section ends when the guard is dropped"]
pub struct ReadGuard<'a> {
    record: &'static Record,
    /// Borrowed from the handle that made the guard, and bound to this thread.
    _bound: PhantomData<(&'a Registry, *mut ())>,
}

/// A read-side critical section that may be held across `.await`, sent, shared, and dropped on any
/// thread, from [`Rcu::read_owned`](crate::Rcu::read_owned) to its drop.
///
/// Each guard has a section of its own, and costs eight bytes and no reference count. It protects
/// as a [`ReadGuard`] does; a leaked one protects for ever.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{Rcu, RcuCell};
/// let limit = RcuCell::new(10);
/// let guard = Rcu::global().read_owned();
/// let seen = limit.load(&guard);
/// tokio::task::yield_now().await;                // may resume on another thread
/// assert_eq!(*seen, 10);
/// # });
/// ```
#[must_use = "the section ends when the guard is dropped"]
pub struct OwnedReadGuard {
    record: &'static Record,
    word: &'static Word,
}

mod sealed {
    use super::Signals;

    pub trait Sealed {
        #[doc(hidden)]
        fn domain(&self) -> DomainId;
    }

    /// The domain of a guard, as the address of its signals. Two guards that exist at the same time
    /// have the same address exactly if they have the same domain: a registry serves a second
    /// domain only when no guard of the first is left.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DomainId(pub(in crate::reader) *const Signals);
}

pub(crate) use sealed::{DomainId, Sealed};

/// A section that [`RcuCell::load`](crate::RcuCell::load) may read in: [`ReadGuard`] or
/// [`OwnedReadGuard`]. The trait is sealed.
///
/// ```
/// use async_rcu::{Guard, RcuMap};
/// fn port<'g>(ports: &RcuMap<String, u16>, name: &str, guard: &'g impl Guard) -> &'g u16 {
///     ports.get(name, guard).unwrap_or(&0)
/// }
/// let ports = RcuMap::new();
/// assert_eq!(*port(&ports, "http", &ports.rcu().read()), 0);
/// assert_eq!(*port(&ports, "http", &ports.rcu().read_owned()), 0);
/// ```
pub trait Guard: Sealed {}
impl Guard for ReadGuard<'_> {}
impl Guard for OwnedReadGuard {}

impl Sealed for ReadGuard<'_> {
    #[inline(always)]
    fn domain(&self) -> DomainId {
        DomainId(self.record.signals())
    }
}

impl Sealed for OwnedReadGuard {
    #[inline(always)]
    fn domain(&self) -> DomainId {
        DomainId(self.record.signals())
    }
}

impl DomainId {
    #[inline(always)]
    pub(crate) fn of(registry: &'static Registry) -> Self {
        DomainId(&registry.signals)
    }
}

impl<'a> ReadGuard<'a> {
    #[inline(always)]
    #[track_caller]
    pub(crate) fn enter(registry: &'static Registry) -> Self {
        match local::cached(registry) {
            // SAFETY: the record belongs to this thread, which the guard cannot leave. The guard's
            // drop calls `leave` once.
            Some(record) => unsafe {
                record.enter(&registry.signals);
                Self::open(record)
            },
            None => Self::enter_first(registry),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn enter_first(registry: &'static Registry) -> Self {
        let found = local::find(registry);
        // SAFETY: as in `enter`. A temporary record is given up with its section open, so no other
        // thread gets it before the guard is dropped.
        unsafe {
            found.record.enter(&registry.signals);
            Self::open(found.record)
        }
    }

    #[inline(always)]
    fn open(record: &'static Record) -> Self {
        Self { record, _bound: PhantomData }
    }

    /// Returns whether the section is asked to end: a grace period that it holds up was forced (by
    /// [`Rcu::force`](crate::Rcu::force) or a drain) or is stalled. Long loops call it now and
    /// then.
    ///
    /// ```
    /// # let cell = async_rcu::RcuCell::new((0..100).collect::<Vec<u32>>());
    /// let mut guard = cell.rcu().read();
    /// let mut next = 0;
    /// while next < cell.load(&guard).len() {
    ///     // ... a row of a long table ...
    ///     next += 1;
    ///     if guard.is_release_requested() {
    ///         guard.refresh();          // the old version may be freed from here on
    ///     }
    /// }
    /// ```
    pub fn is_release_requested(&self) -> bool {
        self.record.is_release_requested()
    }

    /// Moves the section to the present, so that grace periods may pass. What is read after it is
    /// current.
    ///
    /// Returns `false`, and does nothing, if this thread has another `ReadGuard` of this domain.
    /// The borrow checker makes sure that no reference taken under the guard is left.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuCell};
    /// let cell = RcuCell::new(1);
    /// let mut guard = cell.rcu().read();
    /// assert_eq!(*cell.load(&guard), 1);
    /// cell.store(2);
    /// assert!(guard.refresh());
    /// assert_eq!(*cell.load(&guard), 2);
    /// ```
    pub fn refresh(&mut self) -> bool {
        // SAFETY: the guard is on its thread and its section is open. By `&mut self`, no reference
        // taken under the guard is left.
        unsafe { self.record.refresh() }
    }
}

impl Drop for ReadGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: ends the section of the `enter` that made the guard, on the same thread.
        unsafe { self.record.leave() }
    }
}

impl OwnedReadGuard {
    #[inline(always)]
    #[track_caller]
    pub(crate) fn enter(registry: &'static Registry) -> Self {
        match local::cached(registry) {
            Some(record) => Self {
                record,
                // SAFETY: the record belongs to this thread.
                word: unsafe { record.claim(&registry.signals) },
            },
            None => Self::enter_first(registry),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn enter_first(registry: &'static Registry) -> Self {
        let found = local::find(registry);
        Self {
            record: found.record,
            // SAFETY: the record belongs to this thread. A temporary one is given up with the word
            // claimed, so no other thread gets it before the guard is dropped.
            word: unsafe { found.record.claim(&registry.signals) },
        }
    }

    /// Returns whether the section is asked to end: see [`ReadGuard::is_release_requested`].
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let mut guard = rcu.read_owned();
    /// assert!(!guard.is_release_requested());
    /// rcu.call(|| ());
    /// rcu.force();
    /// while !guard.is_release_requested() {
    ///     std::thread::yield_now();
    /// }
    /// guard.refresh();
    /// ```
    pub fn is_release_requested(&self) -> bool {
        self.record.is_owned_release_requested(self.word)
    }

    /// Waits until the section is asked to end: see [`ReadGuard::is_release_requested`].
    ///
    /// A task that keeps a version for long waits for this beside its work, and then drops the
    /// guard or [refreshes](Self::refresh) it:
    ///
    /// ```
    /// # use async_rcu::{RcuCell, cell::OwnedRcuRef};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # async fn send(_: &str) {}
    /// let page = RcuCell::new("<html>".to_owned());
    /// let mut snapshot = page.read_owned();
    /// # page.store("<body>".to_owned());
    /// # page.rcu().call(|| ());
    /// # page.rcu().force();
    /// loop {
    ///     tokio::select! {
    ///         () = OwnedRcuRef::guard(&snapshot).release_requested() => {
    ///             OwnedRcuRef::reload(&mut snapshot, &page);
    /// #           break;
    ///         }
    ///         () = send(&snapshot) => {}
    ///     }
    /// #   tokio::task::yield_now().await;
    /// }
    /// # assert_eq!(*snapshot, "<body>");
    /// # });
    /// ```
    pub fn release_requested(&self) -> ReleaseRequested {
        self.record.release_requested(self.word)
    }

    /// Moves the section to the present, so that grace periods may pass. What is read after it is
    /// current.
    ///
    /// ```
    /// # use async_rcu::RcuCell;
    /// let cell = RcuCell::new(1);
    /// let mut guard = cell.rcu().read_owned();
    /// cell.store(2);
    /// guard.refresh();
    /// assert_eq!(*cell.load(&guard), 2);
    /// ```
    pub fn refresh(&mut self) {
        // SAFETY: the guard holds the section, and is borrowed by no reference.
        unsafe { self.record.refresh_owned(self.word) };
    }
}

impl Drop for OwnedReadGuard {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the guard alone holds the section, and is dropped once.
        unsafe { self.record.leave_owned(self.word) };
    }
}

opaque_debug!(ReadGuard<'_>, "ReadGuard");
opaque_debug!(OwnedReadGuard, "OwnedReadGuard");

/// A thread's registration in a domain, made before its first read; see
/// [`Rcu::register_thread`](crate::Rcu::register_thread).
///
/// Its drop gives the thread's record back if no section is open and no callback unfinished in it.
/// The next read registers the thread again.
///
/// ```
/// let rcu = async_rcu::Rcu::new();
/// let registration = rcu.register_thread();
/// assert_eq!(rcu.stats().threads, 1);
/// drop(registration);
/// ```
#[must_use = "dropping it gives the registration back"]
pub struct ThreadRegistration {
    registry: &'static Registry,
    _bound: PhantomData<*mut ()>,
}

impl ThreadRegistration {
    pub(crate) fn new(registry: &'static Registry) -> Self {
        drop(local::find(registry));
        Self { registry, _bound: PhantomData }
    }
}

impl Drop for ThreadRegistration {
    fn drop(&mut self) {
        local::give_up_if_idle(self.registry);
    }
}

opaque_debug!(ThreadRegistration, "ThreadRegistration");
