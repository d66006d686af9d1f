//! Waiting for a grace period: the future, its blocking twin, and cookies.
//!
//! A waiter joins the list of waiters under the number of its grace period, raises `wanted` to this
//! number, and kicks the grace-period thread, once. Then it looks again whether the grace period
//! has elapsed. If the thread is stopped and cannot be started, each poll of a waiter or a drain
//! takes the thread's turn and wakes itself, so that the wait still ends.

use super::Domain;
use super::rcu::Rcu;
use crate::dispatch::blocking::block_on;
use crate::reader::sequence::{Mark, Seq};
use crate::sys::budget::Budget;
use crate::sys::prim::opaque_debug;
use crate::sys::wait_list::{Place, WaitList};
use std::cmp;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

pub(crate) struct Synchronizers {
    pub(crate) waiters: WaitList<Seq>,
    /// The highest grace period that a waiter asked for.
    pub(super) wanted: Mark,
}

impl Synchronizers {
    pub(super) fn new(elapsed: Seq) -> Self {
        Self { waiters: WaitList::new(()), wanted: Mark::at(elapsed) }
    }
}

impl Domain {
    /// Asks for a grace period by number. Returns `false` if no thread can start it.
    pub(crate) fn want(self: &Arc<Self>, seq: Seq) -> bool {
        self.synchronizers.wanted.raise(seq);
        self.kick()
    }
}

/// A cookie: the number of a grace period, from [`Rcu::grace_period`] or
/// [`Rcu::start_grace_period`].
///
/// Cookies of one domain are ordered by the starts of their grace periods. So if
/// `rcu.grace_period() > cookie`, the cookie's grace period has started. Cookies of different
/// domains are neither equal nor ordered.
///
/// ```
/// # let rcu = async_rcu::Rcu::new();
/// let cookie = rcu.grace_period();
/// assert!(!rcu.has_elapsed(cookie));
/// rcu.blocking_synchronize();
/// assert!(rcu.has_elapsed(cookie));
/// assert!(rcu.grace_period() > cookie);          // the cookie's grace period has started
/// assert!(async_rcu::Rcu::new().grace_period() != cookie);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GracePeriod {
    domain: u64,
    seq: Seq,
}

impl GracePeriod {
    /// Returns the number. Panics if the cookie is of another domain.
    #[track_caller]
    fn of(self, domain: &Domain) -> Seq {
        assert!(
            self.domain == domain.id,
            "a GracePeriod cookie was given to another Rcu than the one that returned it"
        );
        self.seq
    }
}

impl PartialOrd for GracePeriod {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        (self.domain == other.domain).then(|| self.seq.cmp(&other.seq))
    }
}

impl Rcu {
    /// Waits for a grace period: until every section that existed at the first poll has ended. Any
    /// number of waiters share grace periods.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.synchronize().await;
    /// # });
    /// ```
    pub fn synchronize(&self) -> Synchronize {
        Synchronize::new(self.to_internal(), None)
    }

    /// Blocks the thread until a grace period has elapsed, as [`synchronize`](Self::synchronize).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let hook: RcuPtr<fn()> = RcuPtr::from(Box::new((|| ()) as fn()));
    /// hook.store(None);
    /// Rcu::global().blocking_synchronize();
    /// // No thread is inside the hook any more: the program may tear down what the hook uses.
    /// ```
    ///
    /// # Panics
    /// If the call would wait for itself: while this thread holds a [`ReadGuard`](crate::ReadGuard)
    /// of this domain, inside a callback of this domain, or on a grace-period thread. In an async
    /// context it panics as tokio's own blocking calls do.
    #[track_caller]
    pub fn blocking_synchronize(&self) {
        self.assert_may_wait("blocking_synchronize");
        let engine = &self.domain().engine;
        let target = match engine.try_start_and_scan() {
            Some(own) if engine.has_elapsed(own) || engine.spin(own) => return,
            Some(own) => own,
            None => engine.next(),
        };
        block_on(Synchronize::new(self.to_internal(), Some(target)), None);
    }

    /// Returns a cookie for the next grace period, and does not start it: Linux's
    /// `get_state_synchronize_rcu`. When that grace period has elapsed, no reader sees what was
    /// unlinked before this call.
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
        GracePeriod { domain: domain.id, seq: domain.engine.next() }
    }

    /// Returns a cookie for the next grace period, which starts soon: Linux's
    /// `start_poll_synchronize_rcu`. A section that begins before holds it up.
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
        let cookie = self.grace_period();
        self.want(cookie);
        cookie
    }

    pub(crate) fn want(&self, cookie: GracePeriod) {
        let domain = self.domain();
        domain.want(cookie.of(domain));
    }

    /// Returns whether a cookie's grace period has elapsed. Never blocks.
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
    pub fn has_elapsed(&self, cookie: GracePeriod) -> bool {
        let domain = self.domain();
        domain.engine.has_elapsed(cookie.of(domain))
    }

    /// Waits for a cookie's grace period, and asks for its start if necessary.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// let unlinked = rcu.grace_period();             // after the last of several changes
    /// // ... other work, during which the grace period may elapse ...
    /// rcu.wait_for(unlinked).await;
    /// # });
    /// ```
    ///
    /// # Panics
    /// With a cookie of another domain.
    #[track_caller]
    pub fn wait_for(&self, cookie: GracePeriod) -> Synchronize {
        Synchronize::new(self.to_internal(), Some(cookie.of(self.domain())))
    }
}

/// Future of [`Rcu::synchronize`] and [`Rcu::wait_for`]: ready when the grace period has elapsed.
///
/// Its grace period starts soon after the first poll. If two grace periods are under way, it starts
/// when the older one has elapsed, so that many waiters need few grace periods. A section that
/// begins before the start may hold it up. [`Rcu::force`] starts a grace period at once.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// use async_rcu::wait::Synchronize;
/// use futures::future::join_all;
/// let many: Vec<Synchronize> = (0..100).map(|_| rcu.synchronize()).collect();
/// join_all(many).await;                          // a few grace periods, not a hundred
/// assert!(rcu.stats().grace_periods < 100);
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point. The grace period may happen all the same.
///
/// # Deadlocks
/// A task that awaits this future while it holds a guard of the same domain waits for ever.
#[must_use = "futures do nothing unless polled"]
pub struct Synchronize {
    rcu: Rcu,
    target: Option<Seq>,
    place: Option<Place<Seq>>,
    polled: bool,
    budget: Budget,
    /// A deadlock was reported.
    noted: bool,
}

impl Synchronize {
    fn new(rcu: Rcu, target: Option<Seq>) -> Self {
        Self { rcu, target, place: None, polled: false, budget: Budget::default(), noted: false }
    }

    /// At the first poll, if no future waits, or few do and this task has waited before: starts the
    /// grace period, and scans once.
    fn begin(&mut self, waker: &Waker) {
        let domain = self.rcu.domain();
        let engine = &domain.engine;
        let waker = waker.data().addr();
        let over = self.target.is_some_and(|target| engine.has_elapsed(target));
        if over || !engine.may_start_for(waker, domain.synchronizers.waiters.len()) {
            return;
        }
        // `own` is at least the target, which was the next number when the cookie was made.
        let own = engine.try_start_and_scan_for(waker);
        self.target = self.target.or(own);
    }

    fn leave(&mut self) {
        self.rcu.domain().synchronizers.waiters.leave(&mut self.place);
    }
}

impl Future for Synchronize {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.polled, true) {
            this.begin(cx.waker());
        }
        let domain = this.rcu.domain();
        let target = *this.target.get_or_insert_with(|| domain.engine.next());
        if domain.engine.has_elapsed(target) {
            ready!(this.budget.poll(cx));
            this.leave();
            return Poll::Ready(());
        }
        let waiters = &domain.synchronizers.waiters;
        // The thread is asked once. A place that is lost was lost by a fork, with the request.
        let can_start = if this.place.is_some_and(|place| waiters.rejoin(place, cx.waker())) {
            !domain.gp_thread_is_stopped() || domain.kick()
        } else {
            waiters.join(&mut this.place, cx.waker(), |()| target);
            domain.want(target)
        };
        if !can_start {
            domain.turn();
            cx.waker().wake_by_ref();
        }
        // The look after the waiter has joined.
        if domain.engine.has_elapsed(target) {
            ready!(this.budget.poll(cx));
            this.leave();
            return Poll::Ready(());
        }
        if !this.noted {
            this.noted = domain.note_deadlock("synchronize", false);
        }
        Poll::Pending
    }
}

impl Drop for Synchronize {
    fn drop(&mut self) {
        self.leave();
    }
}

opaque_debug!(Synchronize, "Synchronize");
