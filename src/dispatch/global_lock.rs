//! The user's global lock, and how a batch holds it without knowing its type.

use super::batch::BoxFuture;
use super::here;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// One lock for all that is not under RCU, with what it guards: the "big lock". Cheap to clone; clones are the same lock.
///
/// A domain that is [built with it](crate::Builder::global_lock) runs its callbacks under it, so that they may use what it
/// guards, alone: see [`GlobalLock::call`]. It is fair and is not poisoned by a panic.
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

/// Access to what a [`GlobalLock`] guards, until it is dropped. `Send`: may be held across `.await`.
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
#[must_use = "the lock is let go when the guard is dropped"]
pub struct GlobalLockGuard<T>(OwnedMutexGuard<T>);

/// Future of [`GlobalLock::lock`]: a [`GlobalLockGuard`].
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
pub struct LockGlobal<T>(BoxFuture<OwnedMutexGuard<T>>);

impl<T: Send + 'static> GlobalLock<T> {
    /// A lock around `value`.
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
    /// Where the same task has it already; and in a callback that runs under it.
    pub fn lock(&self) -> LockGlobal<T> {
        LockGlobal(Box::pin(Arc::clone(&self.0).lock_owned()))
    }

    /// Waits for the lock, blocking the thread.
    ///
    /// ```
    /// use async_rcu::GlobalLock;
    /// let lock = GlobalLock::new(1);
    /// *lock.blocking_lock() += 1;
    /// assert_eq!(*lock.blocking_lock(), 2);
    /// ```
    ///
    /// # Panics
    /// In an async context, as `tokio::sync::Mutex::blocking_lock` does; on a grace-period thread; and inside a
    /// batch that runs under this lock, instead of waiting for itself.
    #[track_caller]
    pub fn blocking_lock(&self) -> GlobalLockGuard<T> {
        if here::in_batch_under(self.id()) {
            panic!(
                "deadlock: blocking_lock of the GlobalLock under which this callback runs; use GlobalLock::call to reach what it guards"
            );
        }
        if here::on_gp_thread() {
            panic!(
                "blocking_lock on a grace-period thread would hold up every grace period of its domain"
            );
        }
        GlobalLockGuard(Arc::clone(&self.0).blocking_lock_owned())
    }

    /// The lock, if nobody has it.
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

    /// The address as a name.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn erase(&self) -> Box<dyn BigLock> {
        Box::new(self.clone())
    }
}

impl<T: Send + 'static> GlobalLockGuard<T> {
    /// Lets the lock go; the lock itself, to be locked again.
    pub(crate) fn unlock(self) -> GlobalLock<T> {
        GlobalLock(Arc::clone(OwnedMutexGuard::mutex(&self.0)))
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

impl<T> Future for LockGlobal<T> {
    type Output = GlobalLockGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<GlobalLockGuard<T>> {
        self.0.as_mut().poll(cx).map(GlobalLockGuard)
    }
}

impl<T: fmt::Debug> fmt::Debug for GlobalLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_lock() {
            Ok(guard) => f
                .debug_struct("GlobalLock")
                .field("value", &*guard)
                .finish(),
            Err(_) => f.write_str("GlobalLock { <locked> }"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for GlobalLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for LockGlobal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGlobal").finish_non_exhaustive()
    }
}

/// A global lock of whatever type.
pub(crate) trait BigLock: Send + Sync {
    fn id(&self) -> usize;
    fn try_lock(&self) -> Option<Box<dyn Held>>;
    fn lock(&self) -> BoxFuture<Box<dyn Held>>;
}

/// It, held.
pub(crate) trait Held: Send {
    fn value(&mut self) -> &mut dyn Any;
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
