//! Room for callbacks, where it is limited: asking first, and being refused.

use super::rcu::Rcu;
use crate::dispatch::backlog::{Backlog, Pressure};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use thiserror::Error;

/// There was no room for the callback: [`Builder::max_pending`](crate::Builder::max_pending) are pending. From
/// [`Rcu::try_call`]; gives the closure back.
///
/// ```
/// let rcu = async_rcu::Rcu::builder().max_pending(0).build()?;
/// let full = rcu.try_call(|| println!("later, then")).unwrap_err();
/// assert_eq!(full.to_string(), "as many callbacks are pending as may be");
/// full.into_inner()();
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[derive(Error)]
#[error("as many callbacks are pending as may be")]
pub struct Full<F>(F);

impl<F> Full<F> {
    /// The closure that was not queued.
    ///
    /// ```
    /// # let rcu = async_rcu::Rcu::builder().max_pending(0).build()?;
    /// use std::sync::Arc;
    /// let old = Arc::new("old");
    /// let mine = Arc::clone(&old);
    /// match rcu.try_call(move || drop(old)) {
    ///     Ok(()) => {}
    ///     Err(full) => full.into_inner()(),          // here and now, then
    /// }
    /// assert_eq!(Arc::strong_count(&mine), 1);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Full").finish_non_exhaustive()
    }
}

impl Rcu {
    pub(super) fn backlog(&self) -> Option<&Backlog> {
        self.domain().dispatcher.backlog.as_ref()
    }

    /// Counts a callback that is queued in any case.
    #[cold]
    pub(super) fn count(&self) {
        if let Some(backlog) = self.backlog() {
            self.press(backlog.take());
        }
    }

    fn press(&self, pressure: Pressure) {
        match pressure {
            Pressure::None => {}
            Pressure::Rising => {
                self.domain().kick();
            }
            Pressure::Met => self.force(),
        }
    }

    /// Counts a callback if there is room.
    fn try_count(&self) -> bool {
        let Some(backlog) = self.backlog() else {
            return true;
        };
        self.counted(backlog.try_take())
    }

    /// Acts on the outcome; tells whether there was room.
    fn counted(&self, outcome: Result<Pressure, Pressure>) -> bool {
        let (room, pressure) = match outcome {
            Ok(pressure) => (true, pressure),
            Err(pressure) => (false, pressure),
        };
        self.press(pressure);
        room
    }

    /// [`call`](Self::call), if no more than [`max_pending`](crate::Builder::max_pending) callbacks are pending then: queued
    /// and not finished, running ones included.
    ///
    /// Without a limit it never fails. At the limit, holders of sections are told as by [`force`](Self::force).
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().max_pending(2).build()?;
    /// let held = rcu.read_owned();               // nothing is finished before this ends
    /// assert!(rcu.try_call(|| ()).is_ok());
    /// assert!(rcu.try_call(|| ()).is_ok());
    /// let refused = rcu.try_call(|| println!("later")).unwrap_err();
    /// drop(held);
    /// rcu.blocking_drain();
    /// refused.into_inner()();                     // the closure is ours again
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`Full`], with the closure in it.
    #[inline]
    pub fn try_call<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), Full<F>> {
        if !self.try_count() {
            return Err(Full(f));
        }
        self.enqueue_counted(move |_| f());
        Ok(())
    }

    /// Waits until there is room for a callback: a [`Permit`] to queue one.
    ///
    /// In order of arrival. Without a [limit](crate::Builder::max_pending) it is ready at once. While somebody waits, holders of
    /// sections are told as by [`force`](Self::force).
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
            rcu: Some(self.clone()),
            place: None,
            noted: false,
        }
    }
}

/// Room for one callback, from [`Rcu::reserve`]. Dropped, it gives the room back.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let rcu = async_rcu::Rcu::builder().max_pending(1).build()?;
/// let permit = rcu.reserve().await;
/// assert!(rcu.try_call(|| ()).is_err());         // the room is taken
/// drop(permit);
/// assert!(rcu.try_call(|| ()).is_ok());
/// # Ok::<(), async_rcu::error::BuildError>(())
/// # });
/// ```
#[must_use = "dropping it gives the room back"]
pub struct Permit(Option<Rcu>);

impl Permit {
    /// [`Rcu::call`].
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

    /// [`Rcu::call_async`].
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

    /// [`Rcu::retire`].
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let rcu = async_rcu::Rcu::new();
    /// rcu.reserve().await.retire(Box::new([0; 1024]));
    /// # rcu.drain().await;
    /// # });
    /// ```
    pub fn retire<T: ?Sized + Send + 'static>(self, value: Box<T>) {
        self.call(move || drop(value));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(rcu) = self.0.take() {
            rcu.domain().dispatcher.give_back(1);
        }
    }
}

/// Future of [`Rcu::reserve`]: a [`Permit`].
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
/// Where those who have the room wait for this: awaited inside an async callback of the same domain (which is reported at once),
/// by a task that holds a guard of the domain, or that keeps permits.
#[must_use = "futures do nothing unless polled"]
pub struct Reserve {
    rcu: Option<Rcu>,
    place: Option<u64>,
    noted: bool,
}

impl Future for Reserve {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        let rcu = this.rcu.as_ref().expect("polled after it was ready");
        let Some(backlog) = rcu.backlog() else {
            return Poll::Ready(Permit(this.rcu.take()));
        };
        // Those who wait already come first.
        let taken = match this.place {
            None => !backlog.has_waiters() && rcu.try_count(),
            Some(place) => rcu.counted(backlog.try_take_in_turn(place)),
        };
        if !taken {
            let place = backlog.wait(&mut this.place, cx.waker());
            // The look behind the registration.
            if !rcu.counted(backlog.try_take_in_turn(place)) {
                if !this.noted {
                    this.noted = rcu.domain().note_deadlock("reserve", true);
                }
                return Poll::Pending;
            }
        }
        backlog.leave(&mut this.place);
        Poll::Ready(Permit(this.rcu.take()))
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Some(backlog) = self.rcu.as_ref().and_then(Rcu::backlog) {
            backlog.leave(&mut self.place);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").finish_non_exhaustive()
    }
}
