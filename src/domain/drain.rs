//! Waiting for callbacks: Linux's `rcu_barrier`, QEMU's `drain_call_rcu`.
//!
//! # Protocol
//! Collections are numbered from 1. The collector *begins* a collection before it reads the first
//! queue: it raises `begun`, and opens the ticket of that number. The collector has the first share
//! of the ticket, and passes it to the batch, or closes it if no callback was queued. Each async
//! callback and each report of the batch opens its own share before the batch closes its share.
//!
//! A new drain takes the number `begun + 1`. Both happen under one lock, so there are two cases:
//! - The drain takes its number before the collection begins. Then the collector sees everything
//!   that was queued before the drain: it is in this collection or an earlier one.
//! - The collection begins first. A queue may have been read already, so the drain waits for the
//!   next collection.
//!
//! A drain is over when its collection has begun and no ticket up to its number is open.

use super::Domain;
use super::rcu::Rcu;
use crate::dispatch::blocking::block_on;
use crate::sys::budget::Budget;
use crate::sys::prim::opaque_debug;
use crate::sys::wait_list::{Place, WaitList};
use crate::sys::wake::WakeList;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;

/// The tickets of a domain, and the waiting drains, by their numbers.
#[derive(Debug)]
pub(crate) struct Tickets(WaitList<u64, OpenTickets>);

#[derive(Debug, Default)]
struct OpenTickets {
    /// The number of the last collection that has begun.
    begun: u64,
    asked: u64,
    /// How many shares of each ticket are open.
    open: BTreeMap<u64, usize>,
    /// The close of the last open ticket wakes the grace-period thread.
    watched: bool,
}

impl OpenTickets {
    /// Returns the highest number whose drains are over.
    fn over(&self) -> u64 {
        let first = self.open.first_key_value();
        first.map_or(self.begun, |(first, _)| first - 1)
    }
}

impl Tickets {
    pub(crate) fn new() -> Self {
        Self(WaitList::new(OpenTickets::default()))
    }

    /// Begins a collection, and opens the first share of its ticket.
    pub(crate) fn begin(&self) -> u64 {
        self.0.with(|tickets, _| {
            tickets.begun += 1;
            tickets.open.insert(tickets.begun, 1);
            tickets.begun
        })
    }

    pub(crate) fn open(&self, number: u64) {
        self.0.with(|tickets, _| *tickets.open.entry(number).or_insert(0) += 1);
    }

    /// Closes a share, and wakes the drains that end with it. Returns whether the caller must wake
    /// the grace-period thread.
    pub(crate) fn close(&self, number: u64) -> bool {
        self.0.with(|tickets, drains| {
            let left = tickets.open.get_mut(&number).map_or(0, |shares| {
                *shares -= 1;
                *shares
            });
            if left != 0 {
                return false;
            }
            tickets.open.remove(&number);
            drains.wake_up_to(tickets.over());
            let wake = tickets.watched && tickets.open.is_empty();
            tickets.watched &= !wake;
            wake
        })
    }

    /// In the child of a fork: opens only these shares. Moves the wakers of all drains to `wakers`.
    pub(crate) fn reopen(&self, shares: impl Iterator<Item = u64>, wakers: &mut WakeList) {
        self.0.with(|tickets, _| {
            tickets.open.clear();
            for number in shares {
                *tickets.open.entry(number).or_insert(0) += 1;
            }
        });
        self.0.take_all(wakers);
    }

    /// If a ticket is open, returns `true`: the last close wakes the grace-period thread.
    pub(crate) fn watch(&self) -> bool {
        self.0.with(|tickets, _| {
            tickets.watched = !tickets.open.is_empty();
            tickets.watched
        })
    }

    pub(crate) fn any_open(&self) -> bool {
        self.0.with(|tickets, _| !tickets.open.is_empty())
    }

    /// Gives a new drain its number and place. The caller must then wake the grace-period thread.
    pub(crate) fn ask(&self, place: &mut Option<Place<u64>>, waker: &Waker) {
        self.0.join(place, waker, |tickets| {
            tickets.asked = tickets.begun + 1;
            tickets.asked
        });
    }

    /// Returns whether a drain is over. If not, `waker` is called when the drain may be over.
    pub(crate) fn poll(&self, place: &mut Option<Place<u64>>, waker: &Waker) -> Poll<()> {
        self.ask(place, waker);
        let number = place.map(|place| place.0);
        let over = self.0.with(|tickets, _| number <= Some(tickets.over()));
        match over {
            true => {
                self.forget(place);
                Poll::Ready(())
            }
            false => Poll::Pending,
        }
    }

    /// Returns whether a drain is not over, and was taken out of the list all the same.
    pub(crate) fn has_lost(&self, place: Place<u64>) -> bool {
        self.0.with(|tickets, drains| place.0 > tickets.over() && !drains.contains(place))
    }

    pub(crate) fn forget(&self, place: &mut Option<Place<u64>>) {
        self.0.leave(place);
    }

    pub(crate) fn wake_all(&self) {
        self.0.with(|_, drains| drains.wake_all());
    }

    pub(crate) fn awaited(&self) -> Option<u64> {
        self.0.with(|_, drains| drains.keys().next_back())
    }

    pub(crate) fn any_asked(&self) -> bool {
        self.0.with(|tickets, _| tickets.asked > tickets.begun)
    }
}

impl Domain {
    /// Returns whether no callback is queued, running or being reported. Sees every callback that
    /// was queued before the call.
    pub(crate) fn is_drained(&self) -> bool {
        // `finished` is read first: if it equals `produced`, all callbacks have finished.
        let finished = self.registry.groups().flatten().all(|record| {
            let finished = record.queue.finished();
            finished == record.queue.produced()
        });
        finished && !self.dispatcher.tickets.any_open()
    }
}

impl Rcu {
    /// Waits until every callback that was queued before the first poll has finished, async
    /// callbacks included. [Forces](Self::force).
    ///
    /// "Before" is the happens-before of the memory model, for callbacks that other threads queued.
    /// If nothing is queued, the future is ready at once.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.drain().await;
    /// # });
    /// ```
    pub fn drain(&self) -> Drain {
        Drain::new(self.to_internal(), "drain")
    }

    /// Blocks the thread until a [`drain`](Self::drain) is over.
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

    /// Blocks the thread until a [`drain`](Self::drain) is over, for at most `d`.
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
    /// [`Timeout`] if callbacks are left after that time. They run all the same.
    ///
    /// # Panics
    /// As [`blocking_synchronize`](Self::blocking_synchronize).
    #[track_caller]
    pub fn blocking_drain_timeout(&self, d: Duration) -> Result<(), Timeout> {
        self.assert_may_wait("blocking_drain_timeout");
        block_on(self.drain(), Some(d)).ok_or(Timeout(()))
    }
}

/// The error of [`Rcu::blocking_drain_timeout`]: the time passed before the drain was over.
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

/// Future of [`Rcu::drain`]: ready when every callback queued before its first poll has finished.
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
/// May be dropped at any point. The callbacks run all the same.
///
/// # Deadlocks
/// It waits for ever in an async callback of the same domain, and in a task that holds a guard of
/// the domain or the global lock of the domain.
#[must_use = "futures do nothing unless polled"]
pub struct Drain {
    rcu: Rcu,
    /// The drain's number, and its place among the waiting drains.
    place: Option<Place<u64>>,
    done: bool,
    budget: Budget,
    /// The method that made this future, for a report.
    method: &'static str,
    /// A deadlock was reported.
    noted: bool,
}

impl Drain {
    pub(super) fn new(rcu: Rcu, method: &'static str) -> Self {
        Self { rcu, place: None, done: false, budget: Budget::default(), method, noted: false }
    }

    pub(super) fn rcu(&self) -> &Rcu {
        &self.rcu
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let domain = this.rcu.domain();
        let tickets = &domain.dispatcher.tickets;
        this.done |= this.place.is_none() && domain.is_drained();
        if this.done {
            return this.budget.poll(cx);
        }
        // A drain that goes on in the child of a fork forces again: the request may be lost.
        let can_run = if this.place.is_none_or(|place| tickets.has_lost(place)) {
            tickets.ask(&mut this.place, cx.waker());
            domain.force()
        } else {
            !domain.gp_thread_is_stopped() || domain.kick()
        };
        if !can_run {
            domain.turn();
            cx.waker().wake_by_ref();
        }
        if tickets.poll(&mut this.place, cx.waker()).is_pending() {
            if !this.noted {
                this.noted = domain.note_deadlock(this.method, true);
            }
            return Poll::Pending;
        }
        this.done = true;
        this.budget.poll(cx)
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        let domain = self.rcu.domain();
        domain.dispatcher.tickets.forget(&mut self.place);
    }
}

opaque_debug!(Drain, "Drain");
