//! The program's global lock: callbacks run under it, and its guard can wait without it.

use super::drain::Drain;
use super::rcu::Rcu;
use super::synchronize::Synchronize;
use crate::dispatch::blocking;
use crate::dispatch::job::{BigLock, BoxFuture, Context, Held, RunOn};
use crate::sys::prim::opaque_debug;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// One lock for all state that is not under RCU, with the state that it guards: the "big lock".
/// Cheap to clone; clones are the same lock.
///
/// A domain that is [built with the lock](crate::Builder::global_lock) runs its callbacks under it:
/// see [`GlobalLock::call`]. The lock is fair, and a panic does not poison it.
///
/// ```
/// use async_rcu::{GlobalLock, Rcu};
/// let devices = GlobalLock::new(vec!["disk", "net"]);
/// let rcu = Rcu::builder().global_lock(&devices).build()?;
/// devices.call(&rcu, |devices| devices.retain(|d| *d != "net"));
/// rcu.blocking_drain();
/// assert_eq!(*devices.blocking_lock(), ["disk"]);
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
pub struct GlobalLock<T>(Arc<Mutex<T>>);

/// Access to the state under a [`GlobalLock`]. Its drop releases the lock. It is `Send`.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::GlobalLock;
/// let devices = GlobalLock::new(vec!["disk"]);
/// let mut guard = devices.lock().await;
/// guard.push("net");
/// assert_eq!(guard.len(), 2);
/// # });
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct GlobalLockGuard<T>(OwnedMutexGuard<T>);

/// Future of [`GlobalLock::lock`]: ready with a [`GlobalLockGuard`].
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::GlobalLock;
/// use futures::FutureExt;
/// let lock = GlobalLock::new(1);
/// let held = lock.lock().await;
/// assert!(lock.lock().now_or_never().is_none());
/// drop(held);
/// assert!(lock.lock().now_or_never().is_some());
/// # });
/// ```
///
/// # Cancel safety
/// Dropping it gives up its place in the queue and nothing else.
#[must_use = "futures do nothing unless polled"]
pub struct Lock<T>(BoxFuture<OwnedMutexGuard<T>>);

impl<T: Send + 'static> GlobalLock<T> {
    /// Makes a lock around `value`.
    ///
    /// ```
    /// use async_rcu::GlobalLock;
    /// let lock = GlobalLock::new(vec![1, 2, 3]);
    /// assert_eq!(lock.blocking_lock().len(), 3);
    /// ```
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Waits for the lock.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::GlobalLock;
    /// let lock = GlobalLock::new(1);
    /// *lock.lock().await += 1;
    /// assert_eq!(*lock.lock().await, 2);
    /// # });
    /// ```
    ///
    /// # Deadlocks
    /// It waits for ever if the task holds the lock already, and in a callback under the lock.
    pub fn lock(&self) -> Lock<T> {
        Lock(Box::pin(Arc::clone(&self.0).lock_owned()))
    }

    /// Blocks the thread until it holds the lock.
    ///
    /// ```
    /// use async_rcu::GlobalLock;
    /// let lock = GlobalLock::new(1);
    /// *lock.blocking_lock() += 1;
    /// assert_eq!(*lock.blocking_lock(), 2);
    /// ```
    ///
    /// # Panics
    /// In an async context, as `tokio::sync::Mutex::blocking_lock` does; on a grace-period thread;
    /// and inside a callback under this lock, where it would wait for itself.
    #[track_caller]
    pub fn blocking_lock(&self) -> GlobalLockGuard<T> {
        if blocking::in_batch_under(self.id()) {
            panic!(
                "deadlock: blocking_lock of the GlobalLock under which this callback runs; \
                 use GlobalLock::call to reach the state that the lock guards"
            );
        }
        if blocking::on_gp_thread() {
            panic!(
                "blocking_lock on a grace-period thread would block every grace period of its \
                 domain"
            );
        }
        GlobalLockGuard(Arc::clone(&self.0).blocking_lock_owned())
    }

    /// Takes the lock if it is free.
    ///
    /// ```
    /// use async_rcu::GlobalLock;
    /// let lock = GlobalLock::new(1);
    /// let held = lock.try_lock().unwrap();
    /// assert!(lock.try_lock().is_none());
    /// drop(held);
    /// ```
    pub fn try_lock(&self) -> Option<GlobalLockGuard<T>> {
        let guard = Arc::clone(&self.0).try_lock_owned().ok()?;
        Some(GlobalLockGuard(guard))
    }

    /// Queues a callback with `&mut` access to the state: `call_rcu` under the big lock.
    ///
    /// If the domain is [built with this lock](crate::Builder::global_lock), the batch holds the
    /// lock for the callback. In any other domain the callback runs on the worker thread, and takes
    /// the lock for itself. In both cases it runs exactly once, and [`Rcu::drain`] waits for it.
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
            None => Context::of(context)
                .spawn(RunOn::Worker, Box::pin(async move { f(&mut *lock.lock().await) })),
        });
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(super) fn erase(&self) -> Box<dyn BigLock> {
        Box::new(self.clone())
    }
}

impl<T: Send + 'static> GlobalLockGuard<T> {
    /// Releases the lock, drains, and takes the lock again: QEMU's `drain_call_rcu`.
    ///
    /// The call itself releases the lock, so the state may change until the future is ready.
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
        DrainUnlocked(Relock::Waiting(rcu.drain(), self.unlock()))
    }

    /// Releases the lock, waits for a grace period, and takes the lock again.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use async_rcu::{GlobalLock, Rcu};
    /// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
    /// let guard = lock.lock().await;
    /// // ... unlink something ...
    /// let guard = guard.synchronize(&rcu).await;
    /// // ... the lock is held again, and no reader sees what was unlinked ...
    /// assert_eq!(*guard, 1);
    /// # });
    /// ```
    pub fn synchronize(self, rcu: &Rcu) -> SynchronizeUnlocked<T> {
        SynchronizeUnlocked(Relock::Waiting(rcu.synchronize(), self.unlock()))
    }

    /// Releases the lock, blocks the thread until a drain is over, and takes the lock again.
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
    /// As [`Rcu::blocking_drain`], after the lock is released.
    #[track_caller]
    pub fn blocking_drain(self, rcu: &Rcu) -> GlobalLockGuard<T> {
        let lock = self.unlock();
        rcu.blocking_drain();
        lock.blocking_lock()
    }

    /// Releases the lock, and returns it.
    fn unlock(self) -> GlobalLock<T> {
        GlobalLock(Arc::clone(OwnedMutexGuard::mutex(&self.0)))
    }
}

impl<T: Send + 'static> BigLock for GlobalLock<T> {
    fn id(&self) -> usize {
        GlobalLock::id(self)
    }

    fn try_lock(&self) -> Option<Box<dyn Held>> {
        let guard = Arc::clone(&self.0).try_lock_owned().ok()?;
        Some(Box::new(guard))
    }

    fn lock(&self) -> BoxFuture<Box<dyn Held>> {
        let lock = Arc::clone(&self.0);
        Box::pin(async move { Box::new(lock.lock_owned().await) as Box<dyn Held> })
    }
}

impl<T: Send + 'static> Held for OwnedMutexGuard<T> {
    fn value(&mut self) -> &mut dyn Any {
        &mut **self
    }
}

/// Waits without the lock, then for the lock.
enum Relock<T, F> {
    Waiting(F, GlobalLock<T>),
    Locking(Lock<T>),
}

impl<T: Send + 'static, F: Future<Output = ()> + Unpin> Relock<T, F> {
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

/// Future of [`GlobalLockGuard::drain`]: ready with the lock again, after a drain.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{GlobalLock, Rcu, global_lock::DrainUnlocked};
/// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
/// let wait: DrainUnlocked<i32> = lock.lock().await.drain(&rcu);
/// assert!(lock.try_lock().is_some());            // the call has released it
/// assert_eq!(*wait.await, 1);
/// # });
/// ```
///
/// # Cancel safety
/// If it is dropped, the lock stays released.
#[must_use = "futures do nothing unless polled"]
pub struct DrainUnlocked<T>(Relock<T, Drain>);

/// Future of [`GlobalLockGuard::synchronize`]: ready with the lock again, after a grace period.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{GlobalLock, Rcu, global_lock::SynchronizeUnlocked};
/// let (lock, rcu) = (GlobalLock::new(1), Rcu::new());
/// let wait: SynchronizeUnlocked<i32> = lock.lock().await.synchronize(&rcu);
/// assert!(lock.try_lock().is_some());            // the call has released it
/// assert_eq!(*wait.await, 1);
/// # });
/// ```
///
/// # Cancel safety
/// If it is dropped, the lock stays released.
#[must_use = "futures do nothing unless polled"]
pub struct SynchronizeUnlocked<T>(Relock<T, Synchronize>);

impl<T> Future for Lock<T> {
    type Output = GlobalLockGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(GlobalLockGuard)
    }
}

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

impl<T> From<Arc<Mutex<T>>> for GlobalLock<T> {
    fn from(lock: Arc<Mutex<T>>) -> Self {
        Self(lock)
    }
}

impl<T: Default + Send + 'static> Default for GlobalLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Clone for GlobalLock<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for GlobalLockGuard<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for GlobalLockGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for GlobalLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_lock() {
            Ok(guard) => f.debug_struct("GlobalLock").field("value", &*guard).finish(),
            Err(_) => f.write_str("GlobalLock { <locked> }"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for GlobalLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

opaque_debug!(Lock<T>, "Lock", T);
opaque_debug!(DrainUnlocked<T>, "DrainUnlocked", T);
opaque_debug!(SynchronizeUnlocked<T>, "SynchronizeUnlocked", T);
