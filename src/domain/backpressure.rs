//! Flood control: a limit of pending callbacks, and waiting for room.
//!
//! # Protocol
//! `pending` counts the callbacks that are queued and not finished, and the permits. All threads
//! share this counter, so it is kept only if a limit is set. [`try_take`](Backlog::try_take) raises
//! it only below the limit, [`take`](Backlog::take) in any case. A waiter joins the list, then
//! tries again. A thread that gives room back lowers `pending`, then looks whether there are
//! waiters. These four accesses are SeqCst, so the waiter's second try sees the room, or the other
//! thread sees the waiter.
//!
//! A waiter, woken or not, takes only the room that the waiters before it leave. A woken waiter
//! that gives up wakes the next one. A woken waiter whose room was taken by a caller that does not
//! wait keeps its place, so it is the first to be woken again.

use super::rcu::Rcu;
use crate::sys::budget::Budget;
use crate::sys::prim::{AtomicBool, AtomicU64, AtomicUsize, Ordering, opaque_debug};
use crate::sys::wait_list::{Place, WaitList};
use crate::sys::wake::WakeList;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use thiserror::Error;

type Turn = Place<()>;

#[derive(Debug)]
pub(crate) struct Backlog {
    limit: usize,
    pending: AtomicUsize,
    waiters: WaitList<()>,
    /// An episode is under way: a caller met the limit, and half of it has not been free since.
    met: AtomicBool,
    /// How many episodes have begun.
    episodes: AtomicU64,
    /// How many episodes had begun at the last report.
    reported: AtomicU64,
}

/// What a caller that queues a callback has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    /// Half of the limit was passed now: the caller wakes the grace-period thread.
    Rising,
    /// The limit was met, first in this episode: the caller forces grace periods.
    Met,
}

impl Backlog {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            pending: AtomicUsize::new(0),
            waiters: WaitList::new(()),
            met: AtomicBool::new(false),
            episodes: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.pending() > self.limit / 2
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= self.limit
    }

    /// By the grace-period thread: returns whether an episode has begun since the last report.
    pub(crate) fn take_report(&self) -> bool {
        let episodes = self.episodes.load(Ordering::Relaxed);
        self.reported.swap(episodes, Ordering::Relaxed) != episodes
    }

    fn pressure(&self, before: usize, limit_met: bool) -> Pressure {
        if limit_met && !self.met.swap(true, Ordering::AcqRel) {
            self.episodes.fetch_add(1, Ordering::Relaxed);
            Pressure::Met
        } else if before == self.limit / 2 {
            Pressure::Rising
        } else {
            Pressure::None
        }
    }

    /// Counts a callback that cannot be refused.
    pub(crate) fn take(&self) -> Pressure {
        let before = self.pending.fetch_add(1, Ordering::SeqCst);
        self.pressure(before, before >= self.limit)
    }

    /// Counts a callback, or returns `Err` if there is no room.
    pub(crate) fn try_take(&self) -> Result<Pressure, Pressure> {
        let taken = self.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |pending| {
            (pending < self.limit).then_some(pending + 1)
        });
        match taken {
            Ok(before) => Ok(self.pressure(before, false)),
            Err(_) => Err(self.pressure(self.limit, true)),
        }
    }

    #[cfg(test)]
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.len() != 0
    }

    fn room(&self) -> usize {
        let pending = self.pending.load(Ordering::SeqCst);
        self.limit.saturating_sub(pending)
    }

    /// Counts a callback for a waiter, if the waiters before it leave room.
    fn try_take_in_turn(&self, turn: Turn) -> Result<Pressure, Pressure> {
        self.waiters.with(|(), waiters| {
            let room = self.room();
            match room != 0 && waiters.has_before(turn, room) {
                // A waiter before this one wakes it.
                true => Err(Pressure::None),
                false => self.try_take(),
            }
        })
    }

    /// Takes room for one callback, or puts the waiter into the list. Each try is passed to
    /// `press`, which returns whether there was room.
    pub(crate) fn poll_take(
        &self,
        turn: &mut Option<Turn>,
        waker: &Waker,
        press: impl Fn(Result<Pressure, Pressure>) -> bool,
    ) -> Poll<()> {
        let taken = match *turn {
            // Waiters come first.
            None => self.waiters.len() == 0 && press(self.try_take()),
            Some(turn) => press(self.try_take_in_turn(turn)),
        };
        if !taken {
            self.waiters.join(turn, waker, |()| ());
            let again = turn.map(|turn| press(self.try_take_in_turn(turn)));
            if again == Some(false) {
                return Poll::Pending;
            }
        }
        self.leave(turn);
        Poll::Ready(())
    }

    pub(crate) fn give_back(&self, n: usize) {
        if n == 0 {
            return;
        }
        // Never below 0: after a fork, the child does not count the permits.
        let lower = |pending: usize| Some(pending.saturating_sub(n));
        let before = self.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
        let before = before.unwrap_or_else(|same| same);
        let half = self.limit / 2;
        if before > half && before.saturating_sub(n) <= half {
            self.met.store(false, Ordering::Release);
        }
        if self.waiters.len() != 0 {
            self.wake_some();
        }
    }

    /// In the child of a fork: `pending` callbacks are left. Moves the wakers of all waiters to
    /// `wakers`. A woken waiter comes back to its place.
    pub(crate) fn recount(&self, pending: usize, wakers: &mut WakeList) {
        self.pending.store(pending, Ordering::SeqCst);
        self.waiters.take_all(wakers);
    }

    fn wake_some(&self) {
        self.waiters.with(|(), waiters| waiters.wake_first(self.room()));
    }

    /// Removes a waiter that has its room or gives up. If there is room, wakes the next waiters.
    pub(crate) fn leave(&self, turn: &mut Option<Turn>) {
        if turn.is_some() {
            self.waiters.leave(turn);
            self.wake_some();
        }
    }
}

/// The error of [`Rcu::try_call`], with the closure: the limit of pending callbacks
/// ([`Builder::max_pending`](crate::Builder::max_pending)) is reached.
///
/// ```
/// let rcu = async_rcu::Rcu::builder().max_pending(0).build()?;
/// let full = rcu.try_call(|| println!("without waiting for a grace period")).unwrap_err();
/// assert_eq!(full.to_string(), "the limit of pending callbacks (0) is reached");
/// full.into_inner()();
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Error)]
#[error("the limit of pending callbacks ({limit}) is reached")]
pub struct Full<F> {
    callback: F,
    limit: usize,
}

impl<F> Full<F> {
    /// Returns the closure that was not queued.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::builder().max_pending(0).build()?;
    /// use std::sync::Arc;
    /// let old = Arc::new("old");
    /// let mine = Arc::clone(&old);
    /// match rcu.try_call(move || drop(old)) {
    ///     Ok(()) => {}
    ///     Err(full) => full.into_inner()(),          // runs it on this thread, at once
    /// }
    /// assert_eq!(Arc::strong_count(&mine), 1);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn into_inner(self) -> F {
        self.callback
    }
}

impl Rcu {
    fn backlog(&self) -> Option<&Backlog> {
        self.domain().dispatcher.backlog.as_ref()
    }

    /// Counts a callback that is queued with or without room.
    #[cold]
    pub(super) fn count(&self) {
        if let Some(backlog) = self.backlog() {
            self.press(Ok(backlog.take()));
        }
    }

    /// Does what the pressure requires, and returns whether there was room.
    fn press(&self, outcome: Result<Pressure, Pressure>) -> bool {
        match outcome.unwrap_or_else(|refused| refused) {
            Pressure::None => {}
            Pressure::Rising => drop(self.domain().kick()),
            Pressure::Met => self.force(),
        }
        outcome.is_ok()
    }

    /// Queues `f` as [`call`](Self::call) does, unless
    /// [`max_pending`](crate::Builder::max_pending) callbacks are pending: queued or running.
    ///
    /// Without a limit, the call never fails. At the limit, the call asks the open sections to end,
    /// as [`force`](Self::force) does.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().max_pending(2).build()?;
    /// let held = rcu.read_owned();               // no callback can finish before this ends
    /// assert!(rcu.try_call(|| ()).is_ok());
    /// assert!(rcu.try_call(|| ()).is_ok());
    /// let refused = rcu.try_call(|| println!("later")).unwrap_err();
    /// drop(held);
    /// rcu.blocking_drain();
    /// refused.into_inner()();                    // the closure was not queued
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`], with the closure in it.
    #[inline]
    pub fn try_call<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), Full<F>> {
        if let Some(backlog) = self.backlog() {
            if !self.press(backlog.try_take()) {
                let limit = backlog.limit();
                return Err(Full { callback: f, limit });
            }
        }
        self.enqueue_counted(move |_| f());
        Ok(())
    }

    /// Waits until there is room for a callback. Ready with a [`Permit`] to queue one.
    ///
    /// Waiters get room in the order of their arrival. Without a
    /// [limit](crate::Builder::max_pending) the future is ready at once. A caller that must wait
    /// asks the open sections to end, as [`force`](Self::force) does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let rcu = async_rcu::Rcu::builder().max_pending(100).build()?;
    /// for row in 0..1000 {
    ///     let old = Box::new([row; 1024]);
    ///     rcu.reserve().await.retire(old);        // never more than 100 of them in memory
    /// }
    /// # rcu.drain().await;
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// # }).unwrap();
    /// ```
    pub fn reserve(&self) -> Reserve {
        Reserve {
            rcu: Some(self.to_internal()),
            turn: None,
            budget: Budget::default(),
            noted: false,
        }
    }
}

/// Room for one callback, from [`Rcu::reserve`]. Its drop gives the room back.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let rcu = async_rcu::Rcu::builder().max_pending(1).build()?;
/// let permit = rcu.reserve().await;
/// assert!(rcu.try_call(|| ()).is_err());         // the permit has the room
/// drop(permit);
/// assert!(rcu.try_call(|| ()).is_ok());
/// # Ok::<(), async_rcu::error::BuildError>(())
/// # });
/// ```
#[must_use = "dropping it gives the room back"]
pub struct Permit(Option<Rcu>);

impl Permit {
    /// Queues a callback, as [`Rcu::call`] does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.reserve().await.call(|| println!("after a grace period"));
    /// # rcu.drain().await;
    /// # });
    /// ```
    pub fn call(mut self, f: impl FnOnce() + Send + 'static) {
        if let Some(rcu) = self.0.take() {
            rcu.enqueue_counted(move |_| f());
        }
    }

    /// Queues an async callback, as [`Rcu::call_async`] does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.reserve().await.call_async(async {
    ///     println!("after a grace period, in a task");
    /// });
    /// # rcu.drain().await;
    /// # });
    /// ```
    pub fn call_async(mut self, f: impl Future<Output = ()> + Send + 'static) {
        if let Some(rcu) = self.0.take() {
            rcu.enqueue_async(f);
        }
    }

    /// Retires a value, as [`Rcu::retire`] does.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.reserve().await.retire(Box::new([0; 1024]));
    /// # rcu.drain().await;
    /// # });
    /// ```
    pub fn retire<T: ?Sized + Send + 'static>(mut self, value: Box<T>) {
        if let Some(rcu) = self.0.take() {
            rcu.retire_counted(value);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(rcu) = self.0.take() {
            rcu.domain().dispatcher.give_back(1);
        }
    }
}

/// Future of [`Rcu::reserve`]: ready with a [`Permit`].
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::builder().max_pending(1).build().unwrap();
/// use futures::FutureExt;
/// let first = rcu.reserve().await;
/// let second = rcu.reserve();
/// assert!(rcu.reserve().now_or_never().is_none());
/// drop(first);
/// second.await.call(|| ());
/// # rcu.drain().await;
/// # });
/// ```
///
/// # Cancel safety
/// Dropping it gives up its place in the line and nothing else.
///
/// # Deadlocks
/// It may wait for ever inside an async callback of the same domain (reported at once), and in a
/// task that holds a guard of the domain or keeps permits.
#[must_use = "futures do nothing unless polled"]
pub struct Reserve {
    rcu: Option<Rcu>,
    turn: Option<Turn>,
    budget: Budget,
    /// A deadlock was reported.
    noted: bool,
}

impl Future for Reserve {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        let rcu = this.rcu.as_ref().expect("Reserve polled after completion");
        // Before room is taken: a future that holds room and is not ready would keep it from
        // others.
        ready!(this.budget.poll(cx));
        if let Some(backlog) = rcu.backlog() {
            let press = |outcome| rcu.press(outcome);
            if backlog.poll_take(&mut this.turn, cx.waker(), press).is_pending() {
                if !this.noted {
                    this.noted = rcu.domain().note_deadlock("reserve", true);
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Permit(this.rcu.take()))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Some(backlog) = self.rcu.as_ref().and_then(Rcu::backlog) {
            backlog.leave(&mut self.turn);
        }
    }
}

opaque_debug!(Full<F>, "Full", F);
opaque_debug!(Permit, "Permit");
opaque_debug!(Reserve, "Reserve");

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn half_and_the_limit_are_told_once() {
        let backlog = Backlog::new(4);
        assert_eq!(backlog.take(), Pressure::None);
        assert_eq!(backlog.try_take(), Ok(Pressure::None));
        assert_eq!(backlog.take(), Pressure::Rising);
        assert!(backlog.is_pressed());
        assert_eq!(backlog.take(), Pressure::None);
        assert_eq!(backlog.try_take(), Err(Pressure::Met));
        assert_eq!(backlog.take(), Pressure::None);
        assert!(backlog.take_report() && !backlog.take_report());
        assert_eq!(backlog.try_take(), Err(Pressure::None));
        backlog.give_back(2);
        assert_eq!(backlog.try_take(), Ok(Pressure::None));
        assert_eq!(backlog.try_take(), Err(Pressure::None), "still the same");
        backlog.give_back(4);
        assert_eq!(backlog.pending(), 0);
        assert!(!backlog.take_report());
        for _ in 0..4 {
            backlog.take();
        }
        assert_eq!(backlog.try_take(), Err(Pressure::Met));
        assert!(backlog.take_report());
    }

    #[test]
    fn room_goes_to_waiters_in_order_and_on_if_it_is_not_taken() {
        let backlog = Backlog::new(1);
        let counts: Vec<_> = (0..2).map(|_| Arc::new(Count::default())).collect();
        let woken = || {
            let counts = counts.iter().map(|c| c.0.load(Ordering::Relaxed));
            counts.collect::<Vec<_>>()
        };
        backlog.take();
        let mut turns = [None, None];
        for (turn, count) in turns.iter_mut().zip(&counts) {
            let waker = Waker::from(Arc::clone(count));
            let taken = backlog.poll_take(turn, &waker, |outcome| outcome.is_ok());
            assert!(taken.is_pending());
        }
        backlog.give_back(1);
        assert_eq!(woken(), [1, 0]);
        backlog.leave(&mut turns[0]);
        assert_eq!(woken(), [1, 1]);
        assert!(backlog.try_take().is_ok());
        backlog.leave(&mut turns[1]);
        assert!(!backlog.has_waiters());
    }
}
