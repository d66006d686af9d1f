//! The handle.

use super::builder::Builder;
use super::cookie::GracePeriod;
use super::fork;
use super::futures::{Drain, Shutdown, Synchronize};
use super::stall::ForceNotifier;
use super::stall::report::ForceEvent;
use super::stats::Stats;
use super::{Domain, DomainCore};
use crate::dispatch::block::{assert_blocking_allowed, block_on};
use crate::dispatch::here;
use crate::reader::guard::{Guard, HubId, OwnedReadGuard, ReadGuard, Registration};
use crate::reader::hub::Hub;
use crate::reader::local;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A handle to an RCU domain: sections, grace periods, and callbacks that run after them.
///
/// Clones share one domain: its readers, its callbacks, its grace-period thread. Domains do not wait for each other's
/// readers. A library makes one of its own; a program without special wishes uses [`Rcu::global`].
///
/// When the last handle is dropped, what is queued still runs, and then the domain's threads end.
///
/// ```
/// use async_rcu::{Rcu, RcuCell};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let rcu = Rcu::new();
/// let cell = RcuCell::new_in(&rcu, "old");
/// let guard = rcu.read_owned();
/// let seen = cell.load(&guard);
/// cell.store("new");                                // readers from now on see this
/// rcu.call(|| println!("nobody sees the old one"));
/// assert_eq!(*seen, "old");                         // this reader still does
/// drop(guard);
/// rcu.drain().await;                                // the callback has run
/// # });
/// ```
#[derive(Clone)]
pub struct Rcu {
    /// The core's, at hand for the hot paths.
    pub(super) hub: &'static Hub,
    pub(super) core: &'static DomainCore,
    /// Not 0: callbacks are counted one by one, as there is a limit. (No `bool`: an `Option<Rcu>`, which every cell has, would
    /// then be told by it, and every read would load one word more.)
    limited: u8,
    handle: Arc<Handle>,
}

/// What all clones share; its drop is the end of the last.
struct Handle(Arc<Domain>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The time was over before the wait was.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// use std::time::Duration;
/// let held = rcu.read_owned();
/// rcu.call(|| ());
/// let error = rcu.blocking_drain_timeout(Duration::from_millis(1)).unwrap_err();
/// assert_eq!(error.to_string(), "timed out");
/// # drop(held);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("timed out")]
pub struct Timeout(());

impl Rcu {
    /// A domain of its own, with every setting at its default.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rcu = Rcu::new();
    /// let cell = RcuCell::new_in(&rcu, 1);
    /// assert_eq!(*cell.load(&rcu.read()), 1);
    /// ```
    ///
    /// # Panics
    /// Where the grace-period thread cannot be started; [`Builder::build`] tells it as an error.
    pub fn new() -> Rcu {
        match Rcu::builder().build() {
            Ok(rcu) => rcu,
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// A domain of its own, with settings.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().name("routes").build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// To be called in the child of a fork that goes on without the other threads' sections: ends them, in all domains, so that
    /// they no longer hold up grace periods there.
    ///
    /// A forked child has one thread. Domains work in it (what they had queued runs there too, and their threads
    /// start again at the next use); but sections that other threads had open stay open, as the child may still have
    /// references from them. They are reported as stalls of ended threads. The parent is not touched. Owned guards that the forking
    /// thread itself had made are not ended, wherever they were held.
    ///
    /// ```
    /// # use async_rcu::Rcu;
    /// # fn fork() -> i32 { 0 }
    /// if fork() == 0 {
    ///     // SAFETY: this thread has nothing that another one read under RCU.
    ///     unsafe { Rcu::after_fork_in_child() };
    ///     Rcu::global().blocking_synchronize();
    /// }
    /// ```
    ///
    /// # Safety
    /// In the child of a fork, before it starts threads, or at any time in a process that is none. Nothing is used any
    /// more that was read in sections which threads other than the forking one had opened: no reference, no guard (owned ones
    /// included), no `RcuRef` or `OwnedRcuRef` of theirs. To drop such a guard is allowed.
    pub unsafe fn after_fork_in_child() {
        // SAFETY: passed on.
        unsafe { fork::clear_vanished() };
    }

    pub(super) fn from_domain(domain: Arc<Domain>) -> Rcu {
        Rcu {
            hub: domain.core.hub,
            core: domain.core,
            limited: u8::from(domain.dispatcher.backlog.is_some()),
            handle: Arc::new(Handle(domain)),
        }
    }

    /// Whether callbacks are counted.
    #[inline(always)]
    pub(super) fn is_limited(&self) -> bool {
        self.limited != 0
    }

    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.handle.0
    }

    /// Whether both are handles of one domain.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// let rcu = Rcu::new();
    /// assert!(rcu.same_domain(&rcu.clone()));
    /// assert!(!rcu.same_domain(&Rcu::new()));
    /// ```
    pub fn same_domain(&self, other: &Rcu) -> bool {
        std::ptr::eq(self.hub, other.hub)
    }

    /// Whether the guard is of this domain.
    #[inline(always)]
    pub(crate) fn covers(&self, guard: &impl Guard) -> bool {
        guard.hub() == HubId::of(self.hub)
    }

    /// Begins a section on this thread, which lasts until the guard is dropped.
    ///
    /// Wait-free, and without a fence or a locked instruction where the system has a process-wide barrier. The first one of
    /// a thread registers it.
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
        ReadGuard::enter(self.hub, self.core)
    }

    /// Begins a section that may be held across `.await`, sent to other threads and dropped anywhere.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rate = RcuCell::new(10);
    /// let guard = Rcu::global().read_owned();
    /// rate.store(20);
    /// // A section that began before: the new value, and neither can be freed until it ends.
    /// assert_eq!(*rate.load(&guard), 20);
    /// std::thread::spawn(move || drop(guard)).join().unwrap();
    /// ```
    #[inline]
    #[track_caller]
    pub fn read_owned(&self) -> OwnedReadGuard {
        OwnedReadGuard::enter(self.hub, self.core)
    }

    /// Registers this thread now, so that its first read need not. Not needed otherwise.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// std::thread::spawn({
    ///     let rcu = rcu.clone();
    ///     move || {
    ///         let _registration = rcu.register_thread();
    ///         // ... from here on each read is as cheap as the next ...
    ///         drop(rcu.read());
    ///     }
    /// });
    /// ```
    pub fn register_thread(&self) -> Registration {
        Registration::new(self.core)
    }

    /// Waits for a grace period: until every section that existed when the future was first polled has ended.
    ///
    /// Any number of waiters share grace periods.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.synchronize().await;
    /// # });
    /// ```
    pub fn synchronize(&self) -> Synchronize {
        Synchronize::new(self.clone(), None)
    }

    /// [`synchronize`](Self::synchronize), blocking the thread.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let hook: RcuPtr<fn()> = RcuPtr::from(Box::new((|| ()) as fn()));
    /// hook.store(None);
    /// Rcu::global().blocking_synchronize();
    /// // Nobody is inside the hook any more: what it uses may be torn down.
    /// ```
    ///
    /// # Panics
    /// Where it would wait for itself: while this thread has a [`ReadGuard`] of this domain, inside one of the domain's
    /// callbacks, on a grace-period thread. And in an async context, where tokio's own blocking calls panic.
    #[track_caller]
    pub fn blocking_synchronize(&self) {
        self.assert_may_wait("blocking_synchronize");
        let engine = &self.domain().engine;
        let target = match engine.try_start_and_scan() {
            Some(own) if engine.has_elapsed(own) || engine.spin(own) => return,
            Some(own) => own,
            None => engine.next(),
        };
        block_on(Synchronize::new(self.clone(), Some(target)), None);
    }

    /// A cookie for the next grace period, which this does not start: one that elapses covers whatever was unlinked before.
    ///
    /// Linux's `get_state_synchronize_rcu`.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let cookie = rcu.grace_period();
    /// assert!(!rcu.has_elapsed(cookie));
    /// rcu.blocking_synchronize();
    /// assert!(rcu.has_elapsed(cookie));
    /// ```
    pub fn grace_period(&self) -> GracePeriod {
        let domain = self.domain();
        GracePeriod::new(domain.id, domain.engine.next())
    }

    /// A cookie for the next grace period, which is asked for: it starts soon, and a section that begins before it does
    /// still holds it up.
    ///
    /// Linux's `start_poll_synchronize_rcu`.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let cookie = rcu.start_grace_period();
    /// // ... other work ...
    /// while !rcu.has_elapsed(cookie) {
    ///     std::thread::yield_now();
    /// }
    /// ```
    pub fn start_grace_period(&self) -> GracePeriod {
        let domain = self.domain();
        let seq = domain.engine.next();
        domain.want(seq);
        GracePeriod::new(domain.id, seq)
    }

    /// Has a cookie's grace period started, if it is not.
    pub(crate) fn want(&self, gp: GracePeriod) {
        let domain = self.domain();
        domain.want(gp.of(domain.id));
    }

    /// Whether a cookie's grace period has elapsed. Never blocks.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let cookie = rcu.grace_period();
    /// let held = rcu.read_owned();
    /// rcu.start_grace_period();
    /// assert!(!rcu.has_elapsed(cookie));
    /// drop(held);
    /// rcu.blocking_synchronize();
    /// assert!(rcu.has_elapsed(cookie));
    /// ```
    ///
    /// # Panics
    /// With a cookie of another domain.
    #[track_caller]
    pub fn has_elapsed(&self, gp: GracePeriod) -> bool {
        let domain = self.domain();
        domain.engine.has_elapsed(gp.of(domain.id))
    }

    /// Waits for a cookie's grace period, and has it started if need be.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// let unlinked = rcu.grace_period();             // after the last of several changes
    /// // ... other work, during which it may pass by itself ...
    /// rcu.wait_for(unlinked).await;
    /// # });
    /// ```
    ///
    /// # Panics
    /// With a cookie of another domain.
    #[track_caller]
    pub fn wait_for(&self, gp: GracePeriod) -> Synchronize {
        Synchronize::new(self.clone(), Some(gp.of(self.domain().id)))
    }

    /// Asks that the grace periods under way end now: what is queued does not wait for the batch interval, and who holds them
    /// up is told: by [`is_release_requested`](ReadGuard::is_release_requested),
    /// [`release_requested`](OwnedReadGuard::release_requested) and [`on_force`](Self::on_force).
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// let mut guard = rcu.read_owned();
    /// rcu.call(|| println!("the guard no longer holds this up"));
    /// rcu.force();
    /// while !guard.is_release_requested() {
    ///     std::thread::yield_now();                // the request comes from the grace-period thread
    /// }
    /// guard.refresh();
    /// # rcu.blocking_drain();
    /// ```
    pub fn force(&self) {
        self.domain().force();
    }

    /// Has `f` called whenever grace periods are forced (by [`force`](Self::force), a drain, or a backlog that met its limit)
    /// and sections hold them up: it is told which. Until the [`ForceNotifier`] is dropped.
    ///
    /// Runs on the grace-period thread, must be short, and must not wait for the domain; to force it again does
    /// nothing. A handle of the domain that `f`
    /// captures keeps the domain alive as long as the notifier.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # let rcu = async_rcu::Rcu::new();
    /// let (send, events) = mpsc::channel();
    /// let _notifier = rcu.on_force(move |event| drop(send.send(event.holders_total)));
    /// let guard = rcu.read_owned();
    /// rcu.call(|| ());
    /// rcu.force();
    /// assert_eq!(events.recv()?, 1);
    /// # drop(guard);
    /// # Ok::<(), mpsc::RecvError>(())
    /// ```
    pub fn on_force(&self, f: impl Fn(&ForceEvent) + Send + Sync + 'static) -> ForceNotifier {
        self.domain().notify(Arc::new(f))
    }

    /// Waits until every callback that was queued before the first poll has finished, async ones included. Forces.
    ///
    /// Callbacks queued before on other threads count if their `call` happened before (in the sense of the memory
    /// model). With nothing queued it is ready at once. `rcu_barrier`; QEMU's `drain_call_rcu`.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.drain().await;
    /// # });
    /// ```
    pub fn drain(&self) -> Drain {
        Drain::new(self.clone())
    }

    /// [`drain`](Self::drain), blocking the thread.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// use std::sync::mpsc;
    /// let (send, ran) = mpsc::channel();
    /// rcu.call(move || drop(send.send("ran")));
    /// rcu.blocking_drain();
    /// assert_eq!(ran.try_recv(), Ok("ran"));
    /// ```
    ///
    /// # Panics
    /// As [`blocking_synchronize`](Self::blocking_synchronize).
    #[track_caller]
    pub fn blocking_drain(&self) {
        self.assert_may_wait("blocking_drain");
        block_on(self.drain(), None);
    }

    /// [`blocking_drain`](Self::blocking_drain), for `d` at the most.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// use std::time::Duration;
    /// rcu.call(|| ());
    /// if rcu.blocking_drain_timeout(Duration::from_secs(5)).is_err() {
    ///     eprintln!("giving up: a section or a callback does not end");
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Timeout`] where callbacks are left then. They run all the same.
    ///
    /// # Panics
    /// As [`blocking_synchronize`](Self::blocking_synchronize).
    #[track_caller]
    pub fn blocking_drain_timeout(&self, d: Duration) -> Result<(), Timeout> {
        self.assert_may_wait("blocking_drain_timeout");
        block_on(self.drain(), Some(d)).ok_or(Timeout(()))
    }

    /// Drains, then stops the domain's threads. Later work starts them again.
    ///
    /// Under load it makes one attempt to stop, and is ready also where that finds new work.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.call(|| println!("the last one"));
    /// rcu.shutdown().await;
    /// rcu.call(|| println!("starts the threads again"));
    /// # rcu.drain().await;
    /// # });
    /// ```
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.clone())
    }

    /// [`shutdown`](Self::shutdown), blocking the thread; where nobody else shuts down at the same time, the stopped threads
    /// are gone from the system when it returns.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.call(|| println!("the last one"));
    /// rcu.blocking_shutdown();
    /// assert_eq!(rcu.stats().finished, 1);
    /// ```
    ///
    /// # Panics
    /// As [`blocking_synchronize`](Self::blocking_synchronize).
    #[track_caller]
    pub fn blocking_shutdown(&self) {
        self.assert_may_wait("blocking_shutdown");
        block_on(self.shutdown(), None);
        self.domain().join();
    }

    /// Figures of the domain. Reads every record: not for hot paths.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.call(|| ());
    /// rcu.blocking_drain();
    /// let stats = rcu.stats();
    /// assert_eq!((stats.queued, stats.finished), (1, 1));
    /// ```
    pub fn stats(&self) -> Stats {
        self.domain().stats()
    }

    /// Panics where a blocking wait for this domain could never end, or must not be made.
    #[track_caller]
    pub(crate) fn assert_may_wait(&self, what: &str) {
        if here::on_gp_thread() {
            panic!("deadlock: {what} on a grace-period thread, which would wait for itself");
        }
        if here::in_batch_of(self.domain().dispatcher.id()) {
            panic!(
                "deadlock: {what} inside a callback of the same Rcu, which would wait for itself"
            );
        }
        if local::known(self.core).is_some_and(|record| record.reader.is_reading()) {
            panic!(
                "deadlock: {what} while this thread holds a ReadGuard of the same Rcu: no grace period can end before it is dropped"
            );
        }
        assert_blocking_allowed();
    }
}

impl Default for Rcu {
    /// A new domain, as [`Rcu::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Rcu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rcu")
            .field("name", &self.domain().dispatcher.name)
            .finish_non_exhaustive()
    }
}
