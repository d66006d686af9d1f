//! Waiting for callbacks: Linux's `rcu_barrier`, QEMU's `drain_call_rcu`.
//!
//! A drain asks for a number at its first poll, forces, and waits until no ticket up to that number
//! is open; see [`tickets`](crate::dispatch::tickets). In the child of a fork the number is lost,
//! and the drain asks again. If the grace-period thread is stopped and cannot be started, each poll
//! takes the thread's turn and wakes itself, so that the wait still ends.

use super::Domain;
use super::rcu::Rcu;
use crate::dispatch::block::block_on;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;

impl Domain {
    /// Returns whether nothing is queued, running or being reported. A caller sees at least what
    /// happened before the call.
    pub(crate) fn is_drained(&self) -> bool {
        // `finished` is read before `produced`, so it is never above it. If they are equal, this
        // many callbacks have finished, and there are no others.
        let finished = self.registry.records().all(|record| {
            let finished = record.queue.finished();
            finished == record.queue.produced()
        });
        finished && !self.dispatcher.tickets.any_open()
    }
}

impl Rcu {
    /// Waits until every callback that was queued before the first poll has finished, async
    /// callbacks included. Forces.
    ///
    /// A callback that another thread queued counts if its `call` happened before the first poll,
    /// in the sense of the memory model. If nothing is queued, the future is ready at once.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.drain().await;
    /// # });
    /// ```
    pub fn drain(&self) -> Drain {
        Drain::new(self.clone(), "drain")
    }

    /// Drains, and blocks the thread until then.
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

    /// Drains, and blocks the thread for at most `d`.
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

/// The time given to [`Rcu::blocking_drain_timeout`] has passed before the drain was done.
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
/// It waits for ever if an async callback of the same domain awaits it, or a task that holds a
/// guard of the domain or the global lock under which the domain's callbacks run.
#[must_use = "futures do nothing unless polled"]
pub struct Drain {
    rcu: Rcu,
    state: State,
    /// The method that made this future, for a report.
    method: &'static str,
    /// A report says that this future cannot end.
    noted: bool,
}

enum State {
    NotPolled,
    /// The drain's id among the [`tickets`](crate::dispatch::tickets).
    Waiting(u64),
    Done,
}

impl Drain {
    pub(super) fn new(rcu: Rcu, method: &'static str) -> Self {
        Self {
            rcu,
            state: State::NotPolled,
            method,
            noted: false,
        }
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
        let known = match this.state {
            State::Done => return Poll::Ready(()),
            State::NotPolled => None,
            // A fork has taken all drains out.
            State::Waiting(id) => tickets.knows(id).then_some(id),
        };
        let (id, can_run) = match known {
            Some(id) => (id, !domain.gp_thread_is_stopped() || domain.kick()),
            None if domain.is_drained() => {
                this.state = State::Done;
                return Poll::Ready(());
            }
            None => (tickets.ask(cx.waker()), domain.force()),
        };
        this.state = State::Waiting(id);
        if !can_run {
            domain.turn();
            cx.waker().wake_by_ref();
        }
        if tickets.poll(id, cx.waker()).is_pending() {
            if !this.noted {
                this.noted = domain.note_deadlock(this.method, true);
            }
            return Poll::Pending;
        }
        this.state = State::Done;
        Poll::Ready(())
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let State::Waiting(id) = self.state {
            self.rcu.domain().dispatcher.tickets.forget(id);
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}
