//! A version that was taken out of its cell, and may still be read.

use crate::{GracePeriod, Rcu, wait::Synchronize};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, ready};

/// Where a version lies.
pub(super) enum Version<T: 'static> {
    /// In a box that readers may still look into: no `Box`, which would claim it alone.
    Boxed(NonNull<T>, PhantomData<Box<T>>),
    /// In the program; and how to make an equal one.
    Static(&'static T, fn() -> T),
    /// In something larger, a node or an entry, which is freed with it. Not in a box, but owned like one.
    Within(NonNull<T>, Owner, PhantomData<Box<T>>),
}

/// What a value lies in, as its collection made it.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    owner: NonNull<()>,
    free: unsafe fn(NonNull<()>),
    /// `NonNull<T>` of a box that the value was moved to. Erased like the others.
    take: unsafe fn(NonNull<()>) -> NonNull<()>,
}

impl<T: 'static> Version<T> {
    /// # Safety
    /// `value` came from a box, and nobody else will free it.
    pub(super) unsafe fn boxed(value: *mut T) -> Self {
        // SAFETY: a box's pointer is not null.
        Version::Boxed(unsafe { NonNull::new_unchecked(value) }, PhantomData)
    }

    /// # Safety
    /// No reader is left.
    unsafe fn into_box(self) -> Box<T> {
        match self {
            // SAFETY: by `boxed`, and readers are gone.
            Version::Boxed(value, _) => unsafe { Box::from_raw(value.as_ptr()) },
            Version::Static(_, make) => Box::new(make()),
            // SAFETY: by `within`, and readers are gone: `take` gives a box of `T` away.
            Version::Within(_, owner, _) => unsafe {
                Box::from_raw((owner.take)(owner.owner).cast::<T>().as_ptr())
            },
        }
    }
}

/// Something that holds a `T` among other things, and is freed as a whole: what [`Retired::within`] needs to know.
pub(crate) trait Holder<T>: Sized {
    /// Where the value is. Keeps the pointer's provenance over the whole holder.
    ///
    /// # Safety
    /// `this` points to a living holder.
    unsafe fn value(this: NonNull<Self>) -> NonNull<T>;

    /// Frees the holder and moves the value out of it.
    ///
    /// # Safety
    /// As [`free`](Self::free).
    unsafe fn take(this: NonNull<Self>) -> Box<T>;

    /// Frees the holder with the value.
    ///
    /// # Safety
    /// Once, with no reader left.
    unsafe fn free(this: NonNull<Self>);
}

unsafe fn take_erased<T, H: Holder<T>>(owner: NonNull<()>) -> NonNull<()> {
    // SAFETY: passed on.
    let value = Box::into_raw(unsafe { H::take(owner.cast()) });
    // SAFETY: a box's pointer is not null.
    unsafe { NonNull::new_unchecked(value) }.cast()
}

unsafe fn free_erased<T, H: Holder<T>>(owner: NonNull<()>) {
    // SAFETY: passed on.
    unsafe { H::free(owner.cast()) }
}

/// A version that was taken out of a cell. Readers may still see it, so it is given out only after a grace period.
///
/// Look at it ([`Deref`]), [wait](Self::wait) for it, or drop it: then it is freed after a grace period, on the domain's
/// executor. Not `must_use`: dropping it is the usual thing to do.
///
/// ```
/// # use async_rcu::RcuCell;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let table = RcuCell::new(vec![1, 2, 3]);
/// let old = table.swap(vec![4]);
/// assert_eq!(old.len(), 3);
/// let owned: Box<Vec<i32>> = old.wait().await;   // nobody else sees it any more
/// # });
/// ```
pub struct Retired<T: Send + Sync + 'static> {
    rcu: ManuallyDrop<Rcu>,
    version: ManuallyDrop<Version<T>>,
    /// Elapsed, no reader is left.
    gp: GracePeriod,
}

// SAFETY: owns a `T` that is `Send`, and lends it out while readers do too: `Sync`.
unsafe impl<T: Send + Sync + 'static> Send for Retired<T> {}
// SAFETY: lends out `&T` only.
unsafe impl<T: Send + Sync + 'static> Sync for Retired<T> {}

impl<T: Send + Sync + 'static> Retired<T> {
    /// For a version of a cell of `rcu`, just taken out.
    pub(super) fn new(rcu: &Rcu, version: Version<T>) -> Self {
        Self {
            gp: rcu.grace_period(),
            rcu: ManuallyDrop::new(rcu.clone()),
            version: ManuallyDrop::new(version),
        }
    }

    /// For a boxed value that was reachable by readers of `rcu`, and no longer is.
    ///
    /// # Safety
    /// `value` came from a box, nobody else will free it, and it is reached by sections of `rcu` alone, none of which begins
    /// to reach it from now on.
    pub(crate) unsafe fn boxed(rcu: &Rcu, value: NonNull<T>) -> Self {
        Self::new(rcu, Version::Boxed(value, PhantomData))
    }

    /// For a value inside something larger, which goes with it.
    ///
    /// # Safety
    /// As [`boxed`](Self::boxed), for the holder and all that is in it, which may be sent to other threads.
    pub(crate) unsafe fn within<H: Holder<T>>(rcu: &Rcu, holder: NonNull<H>) -> Self {
        let owner = Owner {
            owner: holder.cast(),
            free: free_erased::<T, H>,
            take: take_erased::<T, H>,
        };
        // SAFETY: the holder lives, by the caller's word.
        let value = unsafe { H::value(holder) };
        Self::new(rcu, Version::Within(value, owner, PhantomData))
    }

    /// Waits until no reader can see the value, and gives it out.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuCell;
    /// let file = RcuCell::new("v1.log".to_owned());
    /// let old = file.swap("v2.log".to_owned());
    /// let old = old.wait().await;
    /// println!("nobody writes {old} any more");
    /// # });
    /// ```
    pub fn wait(self) -> Reclaim<T> {
        Reclaim {
            wait: self.rcu.wait_for(self.gp),
            retired: Some(self),
        }
    }

    /// [`wait`](Self::wait), blocking the thread.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let file = RcuCell::new("v1.log".to_owned());
    /// let old: Box<String> = file.swap("v2.log".to_owned()).blocking_wait();
    /// assert_eq!(*old, "v1.log");
    /// ```
    ///
    /// # Panics
    /// As [`Rcu::blocking_synchronize`]; the value is then freed after a grace period.
    #[track_caller]
    pub fn blocking_wait(self) -> Box<T> {
        self.rcu.assert_may_wait("blocking_wait");
        if !self.rcu.has_elapsed(self.gp) {
            // Covers the value's own grace period, which was to be the next when it was taken out.
            self.rcu.blocking_synchronize();
        }
        // SAFETY: its grace period has elapsed.
        unsafe { self.take() }
    }

    /// The value, if no reader can see it any more. If not, its grace period is asked for, so that a later try may succeed.
    ///
    /// ```
    /// # use async_rcu::RcuCell;
    /// let buffer = RcuCell::new(vec![0; 4096]);
    /// let mut old = buffer.swap(Vec::new());
    /// let reused = loop {
    ///     match old.try_take() {
    ///         Ok(free) => break free,
    ///         Err(early) => old = early,             // do something else meanwhile
    ///     }
    /// };
    /// assert_eq!(reused.len(), 4096);
    /// ```
    ///
    /// # Errors
    /// `self`, where it is too early.
    pub fn try_take(self) -> Result<Box<T>, Self> {
        if self.rcu.has_elapsed(self.gp) {
            // SAFETY: its grace period has elapsed.
            return Ok(unsafe { self.take() });
        }
        self.rcu.want(self.gp);
        Err(self)
    }

    /// # Safety
    /// Its grace period has elapsed.
    unsafe fn take(self) -> Box<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: each taken once, and `this` is not dropped; no reader is left, by the caller's word.
        unsafe {
            ManuallyDrop::drop(&mut this.rcu);
            ManuallyDrop::take(&mut this.version).into_box()
        }
    }

    /// The domain that the value was retired in.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let old = RcuCell::new(1).swap(2);
    /// assert!(old.rcu().same_domain(Rcu::global()));
    /// ```
    pub fn rcu(&self) -> &Rcu {
        &self.rcu
    }
}

impl<T: Send + Sync + 'static> Deref for Retired<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &*self.version {
            // SAFETY: not freed before `self` gives it away.
            Version::Boxed(value, _) | Version::Within(value, ..) => unsafe { value.as_ref() },
            Version::Static(value, _) => value,
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY: taken once: this is the drop.
        let (rcu, version) = unsafe {
            (
                ManuallyDrop::take(&mut self.rcu),
                ManuallyDrop::take(&mut self.version),
            )
        };
        match version {
            Version::Static(..) => {}
            Version::Boxed(value, _) => {
                let value = Last(value);
                rcu.call(move || value.free());
            }
            Version::Within(_, owner, _) => {
                let holder = LastHolder(owner.owner, owner.free);
                rcu.call(move || holder.free());
            }
        }
    }
}

/// The same, with what it lies in.
struct LastHolder(NonNull<()>, unsafe fn(NonNull<()>));

// SAFETY: the only owner of what may be sent to other threads, by `within`.
unsafe impl Send for LastHolder {}

impl LastHolder {
    fn free(self) {
        // SAFETY: as in `Last::free`; once, as `self` is consumed.
        unsafe { (self.1)(self.0) }
    }
}

/// A value on its way to be freed, behind a grace period that was not over when it was put on its way.
struct Last<T>(NonNull<T>);

// SAFETY: the only owner of a `T` that is `Send`.
unsafe impl<T: Send> Send for Last<T> {}

impl<T> Last<T> {
    fn free(self) {
        // SAFETY: runs after a grace period that started after the value was taken out: no reader is left.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for Retired<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Retired").field(&**self).finish()
    }
}

/// Future of [`Retired::wait`]: the value, when no reader can see it any more.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{RcuCell, cell::Reclaim};
/// let cell = RcuCell::new(1);
/// let wait: Reclaim<i32> = cell.swap(2).wait();
/// assert_eq!(*wait.await, 1);
/// # });
/// ```
///
/// # Cancel safety
/// Dropped before, it leaves the value to be freed after a grace period.
#[must_use = "futures do nothing unless polled"]
pub struct Reclaim<T: Send + Sync + 'static> {
    wait: Synchronize,
    retired: Option<Retired<T>>,
}

impl<T: Send + Sync + 'static> Future for Reclaim<T> {
    type Output = Box<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Box<T>> {
        ready!(Pin::new(&mut self.wait).poll(cx));
        let retired = self.retired.take().expect("polled after it was ready");
        // SAFETY: `wait` was made with its grace period.
        Poll::Ready(unsafe { retired.take() })
    }
}

/// Future of [`Rcu::reclaim_all`]: the values, when no reader can see any of them.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use async_rcu::{Rcu, RcuCell, cell::ReclaimAll};
/// let cell = RcuCell::new(1);
/// let old = [cell.swap(2), cell.swap(3)];
/// let wait: ReclaimAll<i32> = Rcu::global().reclaim_all(old);
/// assert_eq!(wait.await, [Box::new(1), Box::new(2)]);
/// # });
/// ```
///
/// # Cancel safety
/// Dropped before, it leaves the values to be freed after a grace period.
#[must_use = "futures do nothing unless polled"]
pub struct ReclaimAll<T: Send + Sync + 'static> {
    wait: Option<Synchronize>,
    retired: Vec<Retired<T>>,
}

impl Rcu {
    /// Waits for many versions with one grace period, and gives them out in the order in which they came.
    ///
    /// ```
    /// # use async_rcu::{Rcu, RcuCell};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let cells: Vec<_> = (0..3).map(RcuCell::new).collect();
    /// let old = cells.iter().map(|cell| cell.swap(9));
    /// let values = Rcu::global().reclaim_all(old).await;
    /// assert_eq!(values.iter().map(|v| **v).collect::<Vec<_>>(), [0, 1, 2]);
    /// # });
    /// ```
    ///
    /// # Panics
    /// Where one of them was retired in another domain; all are then freed after a grace period.
    #[track_caller]
    pub fn reclaim_all<T: Send + Sync + 'static>(
        &self,
        all: impl IntoIterator<Item = Retired<T>>,
    ) -> ReclaimAll<T> {
        let retired: Vec<Retired<T>> = all.into_iter().collect();
        let foreign = retired.iter().any(|retired| !retired.rcu.same_domain(self));
        assert!(!foreign, "reclaim_all was given a Retired of another Rcu");
        let last = retired
            .iter()
            .map(|retired| retired.gp)
            .reduce(|a, b| match a < b {
                true => b,
                false => a,
            });
        ReclaimAll {
            wait: last.map(|gp| self.wait_for(gp)),
            retired,
        }
    }
}

impl<T: Send + Sync + 'static> Future for ReclaimAll<T> {
    type Output = Vec<Box<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Box<T>>> {
        if let Some(wait) = &mut self.wait {
            ready!(Pin::new(wait).poll(cx));
        }
        let retired = std::mem::take(&mut self.retired);
        // SAFETY: `wait` was made with the last of their grace periods, which elapse in order.
        Poll::Ready(retired.into_iter().map(|r| unsafe { r.take() }).collect())
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Reclaim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reclaim").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for ReclaimAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReclaimAll")
            .field("len", &self.retired.len())
            .finish_non_exhaustive()
    }
}
