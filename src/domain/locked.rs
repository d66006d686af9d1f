//! Where the global lock meets the domain.

use super::drain::Drain;
use super::rcu::Rcu;
use super::synchronize::Synchronize;
use crate::dispatch::global_lock::{GlobalLock, GlobalLockGuard, LockGlobal};
use crate::dispatch::job::{Context, RunOn};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, ready};

impl<T: Send + 'static> GlobalLock<T> {
    /// Queues a callback that gets what the lock guards: `call_rcu` with `&mut` to the state under the big lock.
    ///
    /// Works with any [`Rcu`]. Where that is [built on this lock](crate::Builder::global_lock) the callback runs in its batch,
    /// under the lock that the batch holds; else it runs on the domain's worker thread, and locks for itself. Exactly once in
    /// both cases, and [`Rcu::drain`] waits for it.
    ///
    /// ```
    /// use async_rcu::{GlobalLock, Rcu};
    /// let handlers = GlobalLock::new(vec!["a", "b"]);
    /// let rcu = Rcu::builder().global_lock(&handlers).build()?;
    /// handlers.call(&rcu, |handlers| handlers.retain(|h| *h != "a"));
    /// rcu.blocking_drain();
    /// assert_eq!(*handlers.blocking_lock(), ["b"]);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn call(&self, rcu: &Rcu, f: impl FnOnce(&mut T) + Send + 'static) {
        let lock = self.clone();
        let id = self.id();
        rcu.enqueue(move |context| match Context::of(context).locked(id) {
            Some(value) => f(value),
            None => Context::of(context).spawn(
                RunOn::Worker,
                Box::pin(async move { f(&mut *lock.lock().await) }),
            ),
        });
    }
}

impl<T: Send + 'static> GlobalLockGuard<T> {
    /// Lets the lock go, drains, and locks again: `drain_call_rcu` as one calls it under the big lock.
    ///
    /// The lock is let go by this call. What it guards may have changed when the new guard is given out.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use async_rcu::{GlobalLock, Rcu};
    /// let handlers = GlobalLock::new(vec!["a", "b"]);
    /// let rcu = Rcu::builder().global_lock(&handlers).build()?;
    /// let guard = handlers.lock().await;
    /// handlers.call(&rcu, |handlers| handlers.clear());
    /// let guard = guard.drain(&rcu).await;           // the callback needs the lock
    /// assert!(guard.is_empty());
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// # });
    /// ```
    pub fn drain(self, rcu: &Rcu) -> DrainUnlocked<T> {
        DrainUnlocked(Relock::new(self, rcu.drain()))
    }

    /// Lets the lock go, waits for a grace period, and locks again.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use async_rcu::{GlobalLock, Rcu};
    /// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
    /// let guard = lock.lock().await;
    /// // ... unlink something ...
    /// let guard = guard.synchronize(&rcu).await;
    /// // ... locked again, and no reader sees what was unlinked ...
    /// assert_eq!(*guard, 1);
    /// # });
    /// ```
    pub fn synchronize(self, rcu: &Rcu) -> SynchronizeUnlocked<T> {
        SynchronizeUnlocked(Relock::new(self, rcu.synchronize()))
    }

    /// [`drain`](Self::drain), blocking the thread.
    ///
    /// ```
    /// use async_rcu::{GlobalLock, Rcu};
    /// let handlers = GlobalLock::new(vec!["a", "b"]);
    /// let rcu = Rcu::builder().global_lock(&handlers).build()?;
    /// let guard = handlers.blocking_lock();
    /// handlers.call(&rcu, |handlers| handlers.clear());
    /// assert!(guard.blocking_drain(&rcu).is_empty());
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    ///
    /// # Panics
    /// As [`Rcu::blocking_drain`]; the lock is let go then too.
    #[track_caller]
    pub fn blocking_drain(self, rcu: &Rcu) -> GlobalLockGuard<T> {
        let lock = self.unlock();
        rcu.blocking_drain();
        lock.blocking_lock()
    }
}

/// Waits without the lock, then for the lock.
enum Relock<T, F> {
    Waiting(F, GlobalLock<T>),
    Locking(LockGlobal<T>),
}

impl<T: Send + 'static, F: Future<Output = ()> + Unpin> Relock<T, F> {
    fn new(guard: GlobalLockGuard<T>, wait: F) -> Self {
        Relock::Waiting(wait, guard.unlock())
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<GlobalLockGuard<T>> {
        loop {
            match self {
                Relock::Waiting(wait, lock) => {
                    ready!(Pin::new(wait).poll(cx));
                    *self = Relock::Locking(lock.lock());
                }
                Relock::Locking(lock) => return Pin::new(lock).poll(cx),
            }
        }
    }
}

/// Future of [`GlobalLockGuard::drain`]: the lock again, after a drain.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{GlobalLock, Rcu, global_lock::DrainUnlocked};
/// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
/// let wait: DrainUnlocked<i32> = lock.lock().await.drain(&rcu);
/// assert!(lock.try_lock().is_some());            // let go by the call
/// assert_eq!(*wait.await, 1);
/// # });
/// ```
///
/// # Cancel safety
/// Dropped, it leaves the lock unlocked.
#[must_use = "futures do nothing unless polled"]
pub struct DrainUnlocked<T>(Relock<T, Drain>);

/// Future of [`GlobalLockGuard::synchronize`]: the lock again, after a grace period.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{GlobalLock, Rcu, global_lock::SynchronizeUnlocked};
/// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
/// let wait: SynchronizeUnlocked<i32> = lock.lock().await.synchronize(&rcu);
/// assert!(lock.try_lock().is_some());            // let go by the call
/// assert_eq!(*wait.await, 1);
/// # });
/// ```
///
/// # Cancel safety
/// Dropped, it leaves the lock unlocked.
#[must_use = "futures do nothing unless polled"]
pub struct SynchronizeUnlocked<T>(Relock<T, Synchronize>);

impl<T: Send + 'static> Future for DrainUnlocked<T> {
    type Output = GlobalLockGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

impl<T: Send + 'static> Future for SynchronizeUnlocked<T> {
    type Output = GlobalLockGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

impl<T> fmt::Debug for DrainUnlocked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainUnlocked").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SynchronizeUnlocked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SynchronizeUnlocked")
            .finish_non_exhaustive()
    }
}
