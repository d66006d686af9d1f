//! A version that was taken out of its cell or collection, and that readers may still see.

use super::structures::Holder;
use crate::sys::prim::opaque_debug;
use crate::{GracePeriod, Rcu, wait::Synchronize};
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, ready};

/// How a retired value and the allocation that holds it are freed.
pub(super) struct Reclaimer<T: 'static> {
    /// Retires the allocation with the value. `None`: the value is static.
    pub(super) free: Option<unsafe fn(&Rcu, *mut ())>,
    /// Frees the allocation, and moves the value to a box.
    pub(super) take: unsafe fn(*mut ()) -> Box<T>,
}

/// # Safety
/// `value` came from a `Box<T>`, is `Send`, was unlinked, and nothing else frees it.
unsafe fn free<T: 'static>(rcu: &Rcu, value: *mut ()) {
    // SAFETY: by the caller's word.
    unsafe { rcu.retire_value(value.cast::<T>()) };
}

/// # Safety
/// `value` came from a `Box<T>`, nothing else frees it, and no reader is left.
unsafe fn take<T>(value: *mut ()) -> Box<T> {
    // SAFETY: by the caller's word.
    unsafe { Box::from_raw(value.cast::<T>()) }
}

/// # Safety
/// As [`take`], for a `Box<H>`.
unsafe fn take_from<H: Holder>(holder: *mut ()) -> Box<H::Value> {
    // SAFETY: by the caller's word.
    let holder = unsafe { Box::from_raw(holder.cast::<H>()) };
    Box::new(holder.into_value())
}

impl<T: 'static> Reclaimer<T> {
    const OF_BOX: &'static Self = &Self { free: Some(free::<T>), take: take::<T> };

    const fn of<H: Holder<Value = T>>() -> &'static Self {
        const { &Self { free: Some(free::<H>), take: take_from::<H> } }
    }
}

/// A version that was taken out of a cell or a collection. Readers may still see it, so it is given
/// out only after a grace period.
///
/// Look at the version ([`Deref`]), [wait](Self::wait) for it, or drop it: the domain's executor
/// then frees it after a grace period. This type is not `must_use`, since dropping is the usual
/// case.
///
/// ```
/// # use async_rcu::RcuCell;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let table = RcuCell::new(vec![1, 2, 3]);
/// let old = table.swap(vec![4]);
/// assert_eq!(old.len(), 3);
/// let owned: Box<Vec<i32>> = old.wait().await;   // no reader sees it any more
/// # });
/// ```
pub struct Retired<T: Send + Sync + 'static> {
    rcu: Rcu,
    /// After it, no reader is left.
    gp: GracePeriod,
    value: NonNull<T>,
    /// The allocation that holds the value.
    holder: *mut (),
    reclaimer: &'static Reclaimer<T>,
}

// SAFETY: owns a `T` and a holder that are `Send`. Readers may use the `T` meanwhile, which is
// `Sync`.
unsafe impl<T: Send + Sync + 'static> Send for Retired<T> {}
// SAFETY: lends out `&T` only.
unsafe impl<T: Send + Sync + 'static> Sync for Retired<T> {}

impl<T: Send + Sync + 'static> Retired<T> {
    /// # Safety
    /// `value` was unlinked from a structure of `rcu`, and lives until `holder` is given to a
    /// function of `reclaimer`, which is sound once no reader is left.
    pub(super) unsafe fn new(
        rcu: &Rcu,
        value: NonNull<T>,
        holder: *mut (),
        reclaimer: &'static Reclaimer<T>,
    ) -> Self {
        Self { gp: rcu.grace_period(), rcu: rcu.to_internal(), value, holder, reclaimer }
    }

    /// Makes a `Retired` of a box that was just unlinked from a structure of `rcu`, for structures
    /// of your own. To free the value without giving it out, use [`Rcu::retire_raw`], which costs
    /// less.
    ///
    /// ```
    /// use async_rcu::{Rcu, Retired};
    /// use std::ptr;
    /// use std::sync::atomic::{AtomicPtr, Ordering};
    /// let current = AtomicPtr::new(Box::into_raw(Box::new("v1")));
    /// let old = current.swap(ptr::null_mut(), Ordering::AcqRel);
    /// // SAFETY: from a box, unlinked by the swap, and given away here only.
    /// let old = unsafe { Retired::from_raw(Rcu::global(), old) };
    /// assert_eq!(*old.blocking_wait(), "v1");
    /// ```
    ///
    /// # Safety
    /// - `value` came from [`Box::into_raw`], and nothing else frees it.
    /// - It was unlinked before this call: no section that begins later can reach it.
    /// - Only sections of `rcu` reached it.
    ///
    /// The compiler cannot see which pointers other threads can still load, so the caller answers
    /// for it.
    pub unsafe fn from_raw(rcu: &Rcu, value: *mut T) -> Self {
        // SAFETY: a box's pointer is not null; the rest by the caller's word.
        unsafe {
            let place = NonNull::new_unchecked(value);
            Self::new(rcu, place, value.cast(), Reclaimer::OF_BOX)
        }
    }

    /// Makes a `Retired` of a node that was just unlinked from a structure of `rcu`, and that is
    /// freed with its value.
    ///
    /// ```
    /// use async_rcu::{Rcu, Retired, structures::Holder};
    /// # struct Entry(u32, String);
    /// # impl Holder for Entry {
    /// #     type Value = String;
    /// #     fn value(&self) -> &String { &self.1 }
    /// #     fn into_value(self) -> String { self.1 }
    /// # }
    /// let entry = Box::into_raw(Box::new(Entry(7, "seven".to_owned())));
    /// // SAFETY: from a box, and no reader can find it.
    /// let old = unsafe { Retired::from_holder(Rcu::global(), entry) };
    /// assert_eq!(*old.blocking_wait(), "seven");
    /// ```
    ///
    /// # Safety
    /// As [`from_raw`](Self::from_raw), for the node and what it owns. While a reader is left, the
    /// node is written only through atomics and locks.
    pub unsafe fn from_holder<H: Holder<Value = T>>(rcu: &Rcu, holder: *mut H) -> Self {
        // SAFETY: alive and shared, by the caller's word.
        let value = NonNull::from(unsafe { (*holder).value() });
        // SAFETY: the value is the holder's, which lives until it is freed.
        unsafe { Self::new(rcu, value, holder.cast(), Reclaimer::of::<H>()) }
    }

    /// Waits until no reader can see the value, and returns it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuCell;
    /// let file = RcuCell::new("v1.log".to_owned());
    /// let old = file.swap("v2.log".to_owned());
    /// let old = old.wait().await;
    /// println!("no reader writes {old} any more");
    /// # });
    /// ```
    pub fn wait(self) -> Reclaim<T> {
        Reclaim { wait: self.rcu.wait_for(self.gp), retired: Some(self) }
    }

    /// [`wait`](Self::wait) that blocks the thread.
    ///
    /// ```
    /// use async_rcu::RcuCell;
    /// let file = RcuCell::new("v1.log".to_owned());
    /// let old: Box<String> = file.swap("v2.log".to_owned()).blocking_wait();
    /// assert_eq!(*old, "v1.log");
    /// ```
    ///
    /// # Panics
    /// As [`Rcu::blocking_synchronize`]. The value is then freed after a grace period.
    #[track_caller]
    pub fn blocking_wait(self) -> Box<T> {
        self.rcu.assert_may_wait("blocking_wait");
        if !self.rcu.has_elapsed(self.gp) {
            // Covers the value's grace period, which was the next one when the value was taken out.
            self.rcu.blocking_synchronize();
        }
        // SAFETY: its grace period has elapsed.
        unsafe { self.take() }
    }

    /// Returns the value if no reader can see it. Otherwise requests its grace period, so that a
    /// later try may succeed.
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
    /// `self`, if it is too early.
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
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so each is taken once; no reader is left.
        unsafe {
            drop(ptr::read(&this.rcu));
            (this.reclaimer.take)(this.holder)
        }
    }

    /// Returns the domain that the value was retired in.
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
        // SAFETY: alive until `self` gives it away.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Send + Sync + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        let holder = self.holder;
        if let Some(free) = self.reclaimer.free {
            // SAFETY: what it frees is `Send`, was unlinked when `self` was made, and is freed
            // once.
            unsafe { free(&self.rcu, holder) };
        }
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
/// Dropping the future before it is ready leaves the value to be freed after a grace period.
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
/// Dropping the future before it is ready leaves the values to be freed after a grace period.
#[must_use = "futures do nothing unless polled"]
pub struct ReclaimAll<T: Send + Sync + 'static> {
    wait: Option<Synchronize>,
    retired: Vec<Retired<T>>,
}

impl Rcu {
    /// Waits for many versions with one grace period, and returns them in their order.
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
    /// If one of them was retired in another domain. All are then freed after a grace period.
    #[track_caller]
    pub fn reclaim_all<T: Send + Sync + 'static>(
        &self,
        all: impl IntoIterator<Item = Retired<T>>,
    ) -> ReclaimAll<T> {
        let retired: Vec<Retired<T>> = all.into_iter().collect();
        let foreign = retired.iter().any(|retired| !retired.rcu.same_domain(self));
        assert!(!foreign, "reclaim_all was given a Retired of another Rcu");
        let last = retired.iter().map(|retired| retired.gp).reduce(|a, b| match a < b {
            true => b,
            false => a,
        });
        ReclaimAll { wait: last.map(|gp| self.wait_for(gp)), retired }
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

opaque_debug!(Reclaim<T>, "Reclaim", T: Send + Sync + 'static);

impl<T: Send + Sync + 'static> fmt::Debug for ReclaimAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReclaimAll").field("len", &self.retired.len()).finish_non_exhaustive()
    }
}
