//! A value whose drop waits for a grace period.

use super::structures::DomainRef;
use crate::Rcu;
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

/// A value that is retired when the `RetireOnDrop` is dropped.
///
/// `Arc<RetireOnDrop<T>>` is for objects that are found under RCU and kept by count: after the last
/// owner's drop, the domain's executor frees the value, when no reader can see it.
///
/// ```
/// use async_rcu::{Rcu, cell::RetireOnDrop};
/// use std::sync::Arc;
/// let device = Arc::new(RetireOnDrop::new("disk".to_owned()));
/// let kept = Arc::clone(&device);
/// drop(device);
/// assert_eq!(&**kept, "disk");
/// drop(kept);                                  // the last one: freed after a grace period
/// # Rcu::global().blocking_drain();
/// ```
pub struct RetireOnDrop<T: Send + 'static> {
    /// From a box, and freed through the drop only. Not a `Box`: readers may still look at the
    /// value when the drop moves the pointer.
    value: NonNull<T>,
    domain: DomainRef,
}

// SAFETY: owns a `T` that is `Send`.
unsafe impl<T: Send + 'static> Send for RetireOnDrop<T> {}
// SAFETY: lends out `&T` only.
unsafe impl<T: Send + Sync + 'static> Sync for RetireOnDrop<T> {}

impl<T: Send + 'static> RetireOnDrop<T> {
    /// Makes a value in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::cell::RetireOnDrop;
    /// let device = RetireOnDrop::new("disk");
    /// assert_eq!(*device, "disk");
    /// ```
    pub fn new(value: T) -> Self {
        Self::new_in(Rcu::global(), value)
    }

    /// Makes a value in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, cell::RetireOnDrop};
    /// let rcu = Rcu::new();
    /// drop(RetireOnDrop::new_in(&rcu, "disk"));          // retired
    /// assert_eq!(rcu.stats().queued, 1);
    /// ```
    pub fn new_in(rcu: &Rcu, value: T) -> Self {
        let value = NonNull::from(Box::leak(rcu.boxed(value)));
        Self { value, domain: DomainRef::of(rcu) }
    }

    /// Returns the domain that the value will be retired in.
    ///
    /// ```
    /// use async_rcu::{Rcu, cell::RetireOnDrop};
    /// let device = RetireOnDrop::new("disk");
    /// assert!(RetireOnDrop::rcu(&device).same_domain(Rcu::global()));
    /// ```
    pub fn rcu(this: &Self) -> &Rcu {
        this.domain.rcu()
    }
}

impl<T: Send + 'static> Deref for RetireOnDrop<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: alive until the drop has retired it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Send + 'static> Drop for RetireOnDrop<T> {
    fn drop(&mut self) {
        // SAFETY: from a box, and retired here only. The value is found under RCU through the
        // `RetireOnDrop` alone, so no section that begins later reaches it.
        unsafe { self.domain.rcu().retire_raw(self.value.as_ptr()) };
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for RetireOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetireOnDrop").field(&**self).finish()
    }
}
