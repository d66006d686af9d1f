//! The handle of a domain, and its sections. The table in `domain` lists the files of the other
//! methods.
//!
//! # Whose handles
//! A *user's* handle comes from a builder, or is a clone. A structure, a future and a callback of
//! the crate have *internal* handles. Every handle keeps the domain from ending. A structure inside
//! of a retired value has an internal handle too, until a callback drops the value. So a structure
//! that is dropped without a user's handle may be one of the domain's last, and its callbacks do
//! not wait for the batch interval. The same holds when the last user's handle is dropped.
//!
//! `users` counts the users' handles. Whoever drops a structure queues its callbacks, and then
//! looks at the count by a read-modify-write. Either this finds no user's handle, or it comes
//! before the drop of the last one: this drop then sees the callbacks, and so does the turn that it
//! asks for.

use super::Domain;
use crate::dispatch::blocking;
use crate::dispatch::blocking::assert_blocking_allowed;
use crate::reader::guard::{DomainId, Guard, OwnedReadGuard, ReadGuard, ThreadRegistration};
use crate::reader::local;
use crate::reader::registry::Registry;
use crate::sys::prim::{AtomicUsize, Ordering};
use std::fmt;
use std::sync::Arc;

/// A handle to an RCU domain: sections, grace periods, and callbacks that run after them.
///
/// Clones share one domain: its readers, its callbacks, its grace-period thread. Domains do not
/// wait for each other's readers. A library makes its own domain. A program without special needs
/// uses [`Rcu::global`]. After the drop of the last handle, the queued callbacks still run, and
/// then the domain's threads end.
///
/// ```
/// use async_rcu::{Rcu, RcuCell};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let rcu = Rcu::new();
/// let cell = RcuCell::new_in(&rcu, "old");
/// let guard = rcu.read_owned();
/// let seen = cell.load(&guard);
/// cell.store("new");                                // readers from now on see this
/// rcu.call(|| println!("no reader sees the old value"));
/// assert_eq!(*seen, "old");                         // this reader still does
/// drop(guard);
/// rcu.drain().await;                                // the callback has run
/// # });
/// ```
pub struct Rcu {
    /// A copy for the hot paths.
    pub(super) registry: &'static Registry,
    /// Not 0 if a call has to do something first: [`LIMITED`], [`BY_CALLERS`]. Not a `bool`: an
    /// `Option<Rcu>`, which every cell has, would use the `bool` as its tag, and every read would
    /// load one more word.
    first: u8,
    /// Not 0 if the memory of retired values is kept for the next ones.
    keeps_memory: u8,
    /// Not 0 for an internal handle.
    internal: u8,
    handle: Arc<Handle>,
}

/// The domain limits, and so counts, its callbacks.
const LIMITED: u8 = 1;

/// The thread may have callbacks to run.
const BY_CALLERS: u8 = 2;

/// Dropped with the last handle, whosever it is.
struct Handle {
    domain: Arc<Domain>,
    /// The number of users' handles.
    users: AtomicUsize,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.domain.end();
    }
}

impl Clone for Rcu {
    fn clone(&self) -> Self {
        let mut clone = self.to_internal();
        clone.handle.users.fetch_add(1, Ordering::Relaxed);
        clone.internal = 0;
        clone
    }
}

impl Drop for Rcu {
    fn drop(&mut self) {
        // Without another handle, the domain ends.
        if self.internal == 0
            && self.handle.users.fetch_sub(1, Ordering::AcqRel) == 1
            && Arc::strong_count(&self.handle) > 1
        {
            self.domain().expect_end();
        }
    }
}

impl Rcu {
    pub(super) fn from_domain(domain: Arc<Domain>) -> Rcu {
        Rcu {
            registry: domain.registry,
            first: match domain.dispatcher.backlog {
                Some(_) => LIMITED,
                None => 0,
            } | match domain.dispatcher.callers {
                Some(_) => BY_CALLERS,
                None => 0,
            },
            keeps_memory: u8::from(domain.settings.keep_memory),
            internal: 0,
            handle: Arc::new(Handle { domain, users: AtomicUsize::new(1) }),
        }
    }

    /// Returns an internal handle.
    pub(crate) fn to_internal(&self) -> Rcu {
        Rcu {
            registry: self.registry,
            first: self.first,
            keeps_memory: self.keeps_memory,
            internal: 1,
            handle: Arc::clone(&self.handle),
        }
    }

    /// Notes that a structure with an internal handle is dropped, after it has queued its
    /// callbacks.
    pub(crate) fn structure_dropped(&self) {
        if self.handle.users.fetch_add(0, Ordering::AcqRel) == 0 {
            self.domain().expect_end();
        }
    }

    /// Does what has to be done before a callback is queued.
    #[inline(always)]
    pub(super) fn before_call(&self) {
        if self.first != 0 {
            self.do_first();
        }
    }

    #[inline(never)]
    fn do_first(&self) {
        if self.first & BY_CALLERS != 0 {
            self.run_share();
        }
        if self.first & LIMITED != 0 {
            self.count();
        }
    }

    #[inline(always)]
    pub(super) fn keeps_memory(&self) -> bool {
        self.keeps_memory != 0
    }

    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.handle.domain
    }

    /// Returns whether both are handles of one domain.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// let rcu = Rcu::new();
    /// assert!(rcu.same_domain(&rcu.clone()));
    /// assert!(!rcu.same_domain(&Rcu::new()));
    /// ```
    pub fn same_domain(&self, other: &Rcu) -> bool {
        std::ptr::eq(self.registry, other.registry)
    }

    /// Returns whether the guard is of this domain.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// let rcu = Rcu::new();
    /// assert!(rcu.covers(&rcu.read()));
    /// assert!(!rcu.covers(&Rcu::new().read()));
    /// ```
    #[inline(always)]
    pub fn covers(&self, guard: &impl Guard) -> bool {
        guard.domain() == DomainId::of(self.registry)
    }

    /// Begins a section on this thread. The section lasts until the guard is dropped.
    ///
    /// Wait-free, and without a fence or a locked instruction if the system has a process-wide
    /// barrier. The first section of a thread registers the thread.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let (rate, burst) = (RcuCell::new(10), RcuCell::new(3));
    /// let guard = Rcu::global().read();              // one section, several cells
    /// assert_eq!(*rate.load(&guard) + *burst.load(&guard), 13);
    /// ```
    #[inline]
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_> {
        ReadGuard::enter(self.registry)
    }

    /// Begins a section whose guard is `Send`: a task may hold it across `.await`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rate = RcuCell::new(10);
    /// let guard = Rcu::global().read_owned();
    /// rate.store(20);
    /// // The section reads the new value. Both values live until the section ends.
    /// assert_eq!(*rate.load(&guard), 20);
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// ```
    #[inline]
    #[track_caller]
    pub fn read_owned(&self) -> OwnedReadGuard {
        OwnedReadGuard::enter(self.registry)
    }

    /// Registers this thread, so that its first section does not have to.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// std::thread::spawn({
    ///     let rcu = rcu.clone();
    ///     move || {
    ///         let _registration = rcu.register_thread();
    ///         // ... the first read is as cheap as the next ...
    ///         drop(rcu.read());
    ///     }
    /// });
    /// ```
    pub fn register_thread(&self) -> ThreadRegistration {
        ThreadRegistration::new(self.registry)
    }

    /// Panics if a blocking wait for this domain can never end, or is not allowed on this thread.
    #[track_caller]
    pub(crate) fn assert_may_wait(&self, method: &str) {
        if blocking::on_gp_thread() {
            panic!("deadlock: {method} on a grace-period thread waits for itself");
        }
        if blocking::in_batch_of(self.domain().dispatcher.id()) {
            panic!("deadlock: {method} inside a callback of the same Rcu waits for itself");
        }
        if local::known(self.registry).is_some_and(|record| record.is_reading()) {
            panic!(
                "deadlock: {method} while this thread holds a ReadGuard of the same Rcu; no grace \
                 period can end before the guard is dropped"
            );
        }
        assert_blocking_allowed();
    }
}

impl fmt::Debug for Rcu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rcu").field("name", &self.domain().dispatcher.name).finish_non_exhaustive()
    }
}
