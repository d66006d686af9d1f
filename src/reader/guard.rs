//! The two guards: a section of a thread, and a section that may travel.

use super::hub::Hub;
use super::local::{self, Found};
use super::record::Reader;
use super::registry::{Core, Local};
use super::release::ReleaseRequested;
use super::word::Word;
use std::fmt;
use std::marker::PhantomData;
use std::ptr;

/// A read-side critical section of the current thread, from [`Rcu::read`](crate::Rcu::read) to its drop.
///
/// While it exists, nothing that could be reached through the domain's cells when it began is freed. Guards nest and may
/// be dropped in any order: the section lasts until the last of them is gone. A guard that is leaked holds its
/// section for ever, after its thread's end too.
///
/// It belongs to its thread: `!Send` and `!Sync`. A `Future` that holds one across `.await` is therefore not `Send`; use
/// an [`OwnedReadGuard`] there.
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
    reader: &'static Reader,
    /// `'a`: borrowed from the handle that made it. The pointer: bound to this thread.
    _bound: PhantomData<(&'a Hub, *mut ())>,
}

/// A read-side critical section that may be held across `.await`, sent, shared, and dropped on any thread, from
/// [`Rcu::read_owned`](crate::Rcu::read_owned) to its drop.
///
/// Each has a section of its own, and costs eight bytes and no reference count. It protects as [`ReadGuard`] does; a
/// leaked one protects for ever.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{Rcu, RcuCell};
/// let limit = RcuCell::new(10);
/// let guard = Rcu::global().read_owned();
/// let seen = limit.load(&guard);
/// tokio::task::yield_now().await;                // on another thread, perhaps
/// assert_eq!(*seen, 10);
/// # });
/// ```
#[must_use = "the section ends when the guard is dropped"]
pub struct OwnedReadGuard {
    reader: &'static Reader,
    word: &'static Word,
}

mod sealed {
    use super::Hub;

    pub trait Sealed {
        #[doc(hidden)]
        fn hub(&self) -> HubId;
    }

    /// Which domain a guard is of.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct HubId(pub(in crate::reader) *const Hub);
}

pub(crate) use sealed::{HubId, Sealed};

/// A section that [`RcuCell::load`](crate::RcuCell::load) may read in: [`ReadGuard`] or [`OwnedReadGuard`]. Sealed.
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
    fn hub(&self) -> HubId {
        HubId(self.reader.hub())
    }
}

impl Sealed for OwnedReadGuard {
    #[inline(always)]
    fn hub(&self) -> HubId {
        HubId(self.reader.hub())
    }
}

impl HubId {
    #[inline(always)]
    pub(crate) fn of(hub: &'static Hub) -> Self {
        HubId(hub)
    }
}

impl<'a> ReadGuard<'a> {
    #[inline(always)]
    #[track_caller]
    pub(crate) fn enter<L: Local>(hub: &'static Hub, core: &'static Core<L>) -> Self {
        match local::cached(hub, core) {
            // SAFETY: the current thread's record, and its hub; the guard cannot leave the thread, and leaves once, when
            // dropped.
            Some(record) => unsafe {
                record.reader.enter(hub);
                Self::open(&record.reader)
            },
            None => Self::enter_first(core),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn enter_first<L: Local>(core: &'static Core<L>) -> Self {
        // SAFETY: as in `enter`; a temporary record is given up with its section open, so nobody has it before the guard
        // is gone.
        unsafe {
            match local::find(core) {
                Found::Mine(record) => {
                    record.reader.enter(core.hub);
                    Self::open(&record.reader)
                }
                Found::Temporary(record) => {
                    record.reader.enter(core.hub);
                    record.orphan();
                    Self::open(&record.reader)
                }
            }
        }
    }

    #[inline(always)]
    fn open(reader: &'static Reader) -> Self {
        Self {
            reader,
            _bound: PhantomData,
        }
    }

    /// Whether somebody asks for the section to end: a grace period that it holds up was forced (by
    /// [`Rcu::force`](crate::Rcu::force) or a drain) or is stalled. To look at now and then in long loops.
    ///
    /// ```
    /// # let cell = async_rcu::RcuCell::new((0..100).collect::<Vec<u32>>());
    /// let mut guard = cell.rcu().read();
    /// let mut next = 0;
    /// while next < cell.load(&guard).len() {
    ///     // ... a row of a long table ...
    ///     next += 1;
    ///     if guard.is_release_requested() {
    ///         guard.refresh();          // the old version may go; from here on we read the new one
    ///     }
    /// }
    /// ```
    pub fn is_release_requested(&self) -> bool {
        self.reader.is_asked()
    }

    /// Leaves the section and enters it anew, so that grace periods may pass; what is read after it is current.
    ///
    /// `false`, and nothing is done, where another `ReadGuard` of this domain is open on this thread: the section goes on
    /// until the last one is dropped. The borrow checker sees to it that no reference taken under the guard is left.
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
        // SAFETY: the guard is on its thread and inside its section; `&mut self` outlives every reference taken by it.
        unsafe { self.reader.refresh() }
    }
}

impl Drop for ReadGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the pair of the enter that made the guard, on the same thread.
        unsafe { self.reader.leave() }
    }
}

impl OwnedReadGuard {
    #[inline(always)]
    #[track_caller]
    pub(crate) fn enter<L: Local>(hub: &'static Hub, core: &'static Core<L>) -> Self {
        match local::cached(hub, core) {
            Some(record) => Self {
                reader: &record.reader,
                // SAFETY: the current thread's record, and its hub.
                word: unsafe { record.reader.claim(hub) },
            },
            None => Self::enter_first(core),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn enter_first<L: Local>(core: &'static Core<L>) -> Self {
        let (record, temporary) = match local::find(core) {
            Found::Mine(record) => (record, false),
            Found::Temporary(record) => (record, true),
        };
        // SAFETY: the current thread's record; a temporary one is given up with the word claimed.
        unsafe {
            let word = record.reader.claim(core.hub);
            if temporary {
                record.orphan();
            }
            Self {
                reader: &record.reader,
                word,
            }
        }
    }

    /// Whether somebody asks for the section to end: see [`ReadGuard::is_release_requested`].
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
        self.reader.is_asked_owned(self.word)
    }

    /// Waits until somebody asks for the section to end: a grace period that it holds up was forced or is stalled. It may
    /// also be ready when nobody waits any more.
    ///
    /// A task that keeps a version for long waits for this beside its work, and then lets go of the guard or
    /// [refreshes](Self::refresh) it:
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
        ReleaseRequested::new(self.reader.hub(), self.reader.seen(self.word))
    }

    /// Moves the section to now, so that grace periods may pass; what is read after it is current.
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
        self.reader.refresh_owned(self.word);
    }
}

impl Drop for OwnedReadGuard {
    #[inline(always)]
    fn drop(&mut self) {
        self.reader.leave_owned(self.word);
    }
}

impl fmt::Debug for ReadGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedReadGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedReadGuard").finish_non_exhaustive()
    }
}

/// A thread's registration in a domain, made before its first read; see
/// [`Rcu::register_thread`](crate::Rcu::register_thread).
///
/// Dropping it gives the thread's place back if nothing is open or queued there; the next read takes one again.
///
/// ```
/// let rcu = async_rcu::Rcu::new();
/// let registration = rcu.register_thread();
/// assert_eq!(rcu.stats().threads, 1);
/// drop(registration);
/// ```
#[must_use = "dropping it gives the registration back"]
pub struct Registration {
    give_up: fn(*const ()),
    core: *const (),
}

impl Registration {
    pub(crate) fn new<L: Local>(core: &'static Core<L>) -> Self {
        if local::cached(core.hub, core).is_none() {
            if let Found::Temporary(record) = local::find(core) {
                // SAFETY: nothing was opened or queued in it.
                unsafe { record.orphan() }
            }
        }
        Self {
            give_up: |core| {
                // SAFETY: the pointer below, which is of this type and `'static`.
                local::give_up_if_idle(unsafe { &*core.cast::<Core<L>>() });
            },
            core: ptr::from_ref(core).cast(),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        (self.give_up)(self.core);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}
