//! Stopping a domain's threads: a drain, then one attempt to stop.
//!
//! A caller joins the list of stops. The grace-period thread empties the list when it makes the
//! attempt, or when it finds more work. A thread that stopped before the caller joined does not
//! empty the list, so the caller looks at the thread's state after it has joined.

use super::Domain;
use super::drain::Drain;
use super::rcu::Rcu;
use crate::dispatch::blocking::block_on;
use crate::sys::barrier;
use crate::sys::prim::opaque_debug;
use crate::sys::wait_list::{Place, WaitList};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(super) type Stops = WaitList<()>;

impl Domain {
    pub(super) fn is_stop_requested(&self) -> bool {
        self.stops.len() != 0
    }

    /// Wakes the callers, whatever the outcome of the attempt was.
    pub(super) fn stop_attempted(&self) {
        self.stops.with(|(), waiting| waiting.wake_all());
    }

    /// Waits until the stopped threads have left the system.
    fn join(&self) {
        let thread = self.take_stopped_thread();
        let worker = self.dispatcher.worker.take_thread();
        for thread in thread.into_iter().chain(worker) {
            thread.join();
        }
    }
}

impl Rcu {
    /// Drains, then makes one attempt to stop the domain's threads. The attempt fails if there is
    /// new work, and the future is ready then too. Later work starts the threads again.
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
        Shutdown { drain: Drain::new(self.to_internal(), "shutdown"), place: None, done: false }
    }

    /// Blocks the thread until a [`shutdown`](Self::shutdown) is over. If no other thread shuts
    /// down at the same time, the stopped threads have left the system when this call returns.
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
}

/// Future of [`Rcu::shutdown`]: ready after a drain and one attempt to stop the threads.
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
/// May be dropped at any point. The callbacks run all the same. The threads may stop.
#[must_use = "futures do nothing unless polled"]
pub struct Shutdown {
    drain: Drain,
    /// The place among the stops, once the future has joined them.
    place: Option<Place<()>>,
    done: bool,
}

impl Future for Shutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.drain).poll(cx));
        let domain = this.drain.rcu().domain();
        if this.done {
            return Poll::Ready(());
        }
        let waits = match this.place {
            Some(place) => domain.stops.rejoin(place, cx.waker()),
            None => {
                domain.stops.join(&mut this.place, cx.waker(), |()| ());
                // No kick: this must not start a thread that has stopped by now.
                barrier::light();
                domain.wake_gp_thread();
                true
            }
        };
        // The look after the caller has joined.
        if waits && !domain.gp_thread_is_stopped() {
            return Poll::Pending;
        }
        domain.stops.leave(&mut this.place);
        this.done = true;
        Poll::Ready(())
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.drain.rcu().domain().stops.leave(&mut self.place);
    }
}

opaque_debug!(Shutdown, "Shutdown");
