//! What the service gives out to wait on: named futures, each with a blocking twin in [`Rcu`].
//!
//! All of them keep the domain alive by a handle, register a waker and look again, and forget it when dropped. Where the
//! thread is stopped and cannot be started, a poll takes the thread's turn and wakes itself, so that waiting goes on.

use super::rcu::Rcu;
use crate::reader::sequence::Seq;
use crate::reader::waiters::Key;
use crate::sys::prim::Ordering;
pub(crate) use crate::sys::wake::Parked;
use crate::sys::wake::WakeList;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// Future of [`Rcu::synchronize`] and [`Rcu::wait_for`]: ready when the grace period has elapsed.
///
/// Its grace period starts soon after the first poll; where two are unfinished already, when the older of them has
/// elapsed, so that any number of waiters needs few. A section that begins before it starts may hold it up. To have one
/// started at once, [`force`](Rcu::force).
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// use futures::future::join_all;
/// let many: Vec<async_rcu::wait::Synchronize> = (0..100).map(|_| rcu.synchronize()).collect();
/// join_all(many).await;                          // a few grace periods, not a hundred
/// assert!(rcu.stats().grace_periods < 100);
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point; the grace period may happen all the same.
///
/// # Deadlocks
/// Awaited by a task that itself holds a guard of the same domain, it waits for ever.
#[must_use = "futures do nothing unless polled"]
pub struct Synchronize {
    rcu: Rcu,
    target: Option<Seq>,
    key: Option<Key>,
    polled: bool,
    /// That it can hardly end was reported.
    noted: bool,
}

impl Synchronize {
    pub(super) fn new(rcu: Rcu, target: Option<Seq>) -> Self {
        rcu.domain().synchronizing.fetch_add(1, Ordering::Relaxed);
        Self {
            rcu,
            target,
            key: None,
            polled: false,
            noted: false,
        }
    }

    /// The first poll: where nobody else waits or is about to, this starts the grace period by itself and looks whether it is over at once.
    fn begin(&mut self, waker: &Waker) {
        let domain = self.rcu.domain();
        let engine = &domain.engine;
        let over = self.target.is_some_and(|target| engine.has_elapsed(target));
        if over || domain.synchronizing.load(Ordering::Relaxed) > 1 {
            return;
        }
        // Its own number is no lower than a target that was the next one before.
        let own = engine.try_start_and_scan_for(waker.data().addr());
        self.target = self.target.or(own);
    }

    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            self.rcu.domain().waiters.forget(key);
        }
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
            this.forget();
            return Poll::Ready(());
        }
        let updated = this
            .key
            .is_some_and(|key| domain.waiters.update(key, cx.waker()));
        if !updated {
            this.key = Some(domain.waiters.register(target, cx.waker()));
        }
        if !domain.want(target) {
            domain.turn();
            cx.waker().wake_by_ref();
        }
        // The look behind the registration.
        if domain.engine.has_elapsed(target) {
            this.forget();
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
        self.rcu
            .domain()
            .synchronizing
            .fetch_sub(1, Ordering::Relaxed);
        self.forget();
    }
}

/// Future of [`Rcu::drain`]: ready when every callback that was queued before its first poll has finished.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// use std::time::Duration;
/// rcu.call(|| ());
/// if tokio::time::timeout(Duration::from_secs(5), rcu.drain()).await.is_err() {
///     eprintln!("callbacks are left; they run all the same");
/// }
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point; the callbacks run all the same.
///
/// # Deadlocks
/// Awaited in an async callback of the same domain, or by a task that holds a guard of it, or the global lock under which
/// its callbacks run, it waits for ever.
#[must_use = "futures do nothing unless polled"]
pub struct Drain {
    rcu: Rcu,
    state: Asked,
    what: &'static str,
    noted: bool,
}

/// How far a request has come that is made at the first poll.
enum Asked {
    NotYet,
    As(u64),
    Done,
}

impl Drain {
    pub(super) fn new(rcu: Rcu) -> Self {
        Self::called(rcu, "drain")
    }

    fn called(rcu: Rcu, what: &'static str) -> Self {
        Self {
            rcu,
            state: Asked::NotYet,
            what,
            noted: false,
        }
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let domain = this.rcu.domain();
        let mut driven = true;
        if let Asked::As(id) = this.state {
            // In the child of a fork.
            if !domain.dispatcher.tickets.knows(id) {
                this.state = Asked::NotYet;
            }
        }
        match this.state {
            Asked::Done => return Poll::Ready(()),
            Asked::As(_) => driven = !domain.core.hub.sleep_state.is_stopped() || domain.kick(),
            Asked::NotYet => {
                if domain.is_drained() {
                    this.state = Asked::Done;
                    return Poll::Ready(());
                }
                this.state = Asked::As(domain.dispatcher.tickets.ask(cx.waker()));
                driven &= domain.force();
            }
        }
        if !driven {
            domain.turn();
            cx.waker().wake_by_ref();
        }
        if let Asked::As(id) = this.state {
            if domain.dispatcher.tickets.poll(id, cx.waker()).is_pending() {
                if !this.noted {
                    this.noted = domain.note_deadlock(this.what, true);
                }
                return Poll::Pending;
            }
            this.state = Asked::Done;
        }
        Poll::Ready(())
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Asked::As(id) = self.state {
            self.rcu.domain().dispatcher.tickets.forget(id);
        }
    }
}

/// Future of [`Rcu::shutdown`]: ready when the domain was drained and its threads were stopped, or found more work.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// rcu.call(|| println!("runs before"));
/// rcu.shutdown().await;
/// assert_eq!(rcu.stats().finished, 1);
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point; the callbacks run all the same, and the threads may stop or not.
#[must_use = "futures do nothing unless polled"]
pub struct Shutdown {
    drain: Drain,
    state: Asked,
}

impl Shutdown {
    pub(super) fn new(rcu: Rcu) -> Self {
        Self {
            drain: Drain::called(rcu, "shutdown"),
            state: Asked::NotYet,
        }
    }
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.drain).poll(cx));
        let domain = this.drain.rcu.domain();
        match this.state {
            Asked::Done => return Poll::Ready(()),
            Asked::NotYet => this.state = Asked::As(domain.ask_stop(cx.waker())),
            Asked::As(_) => {}
        }
        if let Asked::As(id) = this.state {
            // The look at the sleep_state comes after the asking: a thread that stopped before it does not answer.
            if !domain.poll_stop(id, cx.waker()) && !domain.core.hub.sleep_state.is_stopped() {
                return Poll::Pending;
            }
            domain.forget_stop(id);
            this.state = Asked::Done;
        }
        Poll::Ready(())
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        if let Asked::As(id) = self.state {
            self.drain.rcu.domain().forget_stop(id);
        }
    }
}

/// Calls wakers that were taken out of a lock, whatever they do.
pub(crate) fn wake_all(wakers: impl Iterator<Item = Parked>) {
    let mut list = WakeList::default();
    wakers.for_each(|waker| list.push(waker));
    list.wake_all();
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque_debug!(Synchronize, Drain, Shutdown);
