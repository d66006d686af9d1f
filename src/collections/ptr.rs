//! A pointer under RCU that may be null.
//!
//! # Invariants
//! 1. `current` is null or points to a value that was published here and not yet taken out; the value lies where
//!    [`into_stored`] put it.
//! 2. What is taken out (by swap, exchange or drop) is freed only by way of [`Retired`], after a grace period of the
//!    pointer's domain that starts later. So a section of that domain that loaded it may use it to its end.
//! 3. Nothing is moved out of a published value or changed in it.
//! 4. A value that lies in `current` has an address that no other value has while it is allocated, also where its type has
//!    no size: then it lies inside a [`Sizeless`], between two bytes.

use crate::cell::{DomainRef, Holder};
use crate::sys::prim::{AtomicPtr, Ordering};
use crate::{Guard, Rcu, Retired};
use std::fmt;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use thiserror::Error;

const NAME: &str = "RcuPtr";

/// A pointer that may be null, to build one's own structures from: trees, tries, chains.
///
/// It owns what it points to, as an `Option<Box<T>>` does. Readers load it under a guard; writers swap it, and what they take
/// out is [`Retired`]. QEMU's `atomic_rcu_read` and `atomic_rcu_set`, liburcu's `rcu_dereference`, `rcu_xchg_pointer` and
/// `rcu_cmpxchg_pointer`. For one value that is always there, take an [`RcuCell`](crate::RcuCell).
///
/// A binary search tree, into which any number of threads insert at once, while others look up:
///
/// ```
/// use async_rcu::{Guard, Rcu, RcuPtr};
///
/// #[derive(Default)]
/// struct Tree {
///     root: RcuPtr<Node>,
/// }
///
/// #[derive(Default)]
/// struct Node {
///     key: u32,
///     value: RcuPtr<String>,          // null: removed
///     left: RcuPtr<Node>,
///     right: RcuPtr<Node>,
/// }
///
/// impl Tree {
///     /// The node with this key; else the null pointer where it belongs.
///     fn find<'g>(&'g self, key: u32, guard: &'g impl Guard) -> Result<&'g Node, &'g RcuPtr<Node>> {
///         let mut place = &self.root;
///         while let Some(node) = place.load(guard) {
///             if key == node.key {
///                 return Ok(node);
///             }
///             place = if key < node.key { &node.left } else { &node.right };
///         }
///         Err(place)
///     }
///
///     fn get<'g>(&'g self, key: u32, guard: &'g impl Guard) -> Option<&'g str> {
///         self.find(key, guard).ok()?.value.load(guard).map(String::as_str)
///     }
///
///     fn insert(&self, key: u32, value: &str) {
///         let guard = Rcu::global().read();
///         let mut new = Some(Box::new(Node { key, ..Node::default() }));
///         let node = loop {
///             match self.find(key, &guard) {
///                 Ok(node) => break node,
///                 Err(place) => match place.compare_exchange(None, new, &guard) {
///                     Ok(_) => new = None,
///                     // Another thread was first: the node comes back.
///                     Err(lost) => new = lost.new,
///                 },
///             }
///         };
///         node.value.store(Some(Box::new(value.to_owned())));
///     }
///
///     fn remove(&self, key: u32) {
///         let guard = Rcu::global().read();
///         if let Ok(node) = self.find(key, &guard) {
///             node.value.store(None);
///         }
///     }
/// }
///
/// let tree = Tree::default();
/// for (key, value) in [(2, "two"), (1, "one"), (3, "three"), (2, "zwei")] {
///     tree.insert(key, value);
/// }
/// tree.remove(1);
/// let guard = Rcu::global().read();
/// assert_eq!(tree.get(2, &guard), Some("zwei"));
/// assert_eq!(tree.get(1, &guard), None);
/// ```
///
/// # Complexity
/// Every operation is O(1) and wait-free, but for allocation and deallocation. Values of a type without a size are put in a
/// box of three bytes or more, so that each has an address of its own.
///
/// # Drop
/// Dropping the pointer retires what it points to: references taken under a guard outlive it. What lies below, in pointers
/// inside the value, is retired when the value is dropped. So a structure is freed level by level: a grace period for each,
/// no recursion. For a chain of a million that is long: take an [`RcuList`](crate::RcuList).
pub struct RcuPtr<T: Send + Sync + 'static> {
    current: AtomicPtr<T>,
    domain: DomainRef,
}

impl<T: Send + Sync + 'static> RcuPtr<T> {
    /// A null pointer in the [global domain](Rcu::global), which this does not start: for statics.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// static PEER: RcuPtr<String> = RcuPtr::null();
    /// PEER.store(Some(Box::new("10.0.0.1".to_owned())));
    /// assert_eq!(PEER.load(&Rcu::global().read()).unwrap(), "10.0.0.1");
    /// ```
    #[cfg(not(rcu_loom))]
    pub const fn null() -> Self {
        Self::at(ptr::null_mut(), DomainRef::GLOBAL)
    }

    /// A null pointer in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let rcu = Rcu::new();
    /// let peer: RcuPtr<String> = RcuPtr::null_in(&rcu);
    /// assert!(peer.load(&rcu.read()).is_none());
    /// ```
    pub fn null_in(rcu: &Rcu) -> Self {
        Self::at(ptr::null_mut(), DomainRef::of(rcu))
    }

    /// A pointer in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::new(Some(Box::new("10.0.0.1")));
    /// assert_eq!(peer.load(&Rcu::global().read()), Some(&"10.0.0.1"));
    /// ```
    pub fn new(value: Option<Box<T>>) -> Self {
        Self::at(into_stored(value), DomainRef::GLOBAL)
    }

    /// A pointer in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let rcu = Rcu::new();
    /// let peer = RcuPtr::new_in(&rcu, Some(Box::new("10.0.0.1")));
    /// assert_eq!(peer.load(&rcu.read()), Some(&"10.0.0.1"));
    /// ```
    pub fn new_in(rcu: &Rcu, value: Option<Box<T>>) -> Self {
        Self::at(into_stored(value), DomainRef::of(rcu))
    }

    #[cfg(not(rcu_loom))]
    const fn at(current: *mut T, domain: DomainRef) -> Self {
        Self {
            current: AtomicPtr::new(current),
            domain,
        }
    }

    // loom's atomics are not made in a `const fn`.
    #[cfg(rcu_loom)]
    fn at(current: *mut T, domain: DomainRef) -> Self {
        Self {
            current: AtomicPtr::new(current),
            domain,
        }
    }

    /// The domain that guards must be of.
    ///
    /// ```
    /// use async_rcu::RcuPtr;
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// let guard = peer.rcu().read();
    /// assert!(peer.load(&guard).is_some());
    /// ```
    pub fn rcu(&self) -> &Rcu {
        self.domain.rcu()
    }

    /// What it points to, or `None` where it is null. Bound to the guard, not to the pointer.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// let guard = Rcu::global().read();
    /// let seen = peer.load(&guard);
    /// peer.store(None);
    /// assert_eq!(seen, Some(&"10.0.0.1"));           // there until the guard goes
    /// ```
    ///
    /// # Panics
    /// Where the guard is of another domain, which would not protect the value.
    #[inline]
    #[track_caller]
    pub fn load<'g>(&self, guard: &'g impl Guard) -> Option<&'g T> {
        self.domain.assert_covers(guard, NAME);
        // SAFETY: null, or loaded in a section of the pointer's domain, which lasts for 'g (invariants 1, 2). Acquire: pairs
        // with the publication, so that the value is seen whole.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// Whether it is null. Needs no guard, as nothing is looked at.
    ///
    /// ```
    /// use async_rcu::RcuPtr;
    /// let peer: RcuPtr<String> = RcuPtr::null();
    /// assert!(peer.is_null());
    /// ```
    pub fn is_null(&self) -> bool {
        self.current.load(Ordering::Relaxed).is_null()
    }

    /// Publishes `value`; what was there is retired.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::null();
    /// peer.store(Some(Box::new("10.0.0.2")));
    /// assert_eq!(peer.load(&Rcu::global().read()), Some(&"10.0.0.2"));
    /// ```
    pub fn store(&self, value: Option<Box<T>>) {
        drop(self.swap(value));
    }

    /// Publishes `value`; what was there is given out as [`Retired`], to look at, to wait for, or to drop.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuPtr;
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// let old = peer.swap(None).unwrap();
    /// let old: Box<&str> = old.wait().await;
    /// println!("nobody talks to {old} any more");
    /// # });
    /// ```
    pub fn swap(&self, value: Option<Box<T>>) -> Option<Retired<T>> {
        // AcqRel: Release publishes the new value; Acquire makes the old one ours to look at.
        let old = self.current.swap(into_stored(value), Ordering::AcqRel);
        // SAFETY: taken out here, and once.
        unsafe { self.retired(old) }
    }

    /// Publishes `new` where the pointer is still at `current`, which an earlier [`load`](Self::load) gave; what was there is
    /// given out.
    ///
    /// Values are compared by address. As `current` is borrowed for the call, what it refers to has not been freed, and
    /// no newer value can have come to lie in its place. That holds for types without a size too.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let top = RcuPtr::new(Some(Box::new(1)));
    /// let guard = Rcu::global().read();
    /// let seen = top.load(&guard);
    /// let old = top.compare_exchange(seen, Some(Box::new(2)), &guard).unwrap();
    /// assert_eq!(*old.unwrap(), 1);
    /// let lost = top.compare_exchange(seen, Some(Box::new(3)), &guard).unwrap_err();
    /// assert_eq!((lost.current, lost.new), (Some(&2), Some(Box::new(3))));
    /// ```
    ///
    /// # Errors
    /// Where it is elsewhere: where it was, to try again, and `new`.
    ///
    /// # Panics
    /// Where the guard is of another domain, which would not protect the value.
    #[track_caller]
    pub fn compare_exchange<'g>(
        &self,
        current: Option<&T>,
        new: Option<Box<T>>,
        guard: &'g impl Guard,
    ) -> Result<Option<Retired<T>>, CompareExchangeError<'g, T>> {
        self.domain.assert_covers(guard, NAME);
        let expected = current.map_or(ptr::null_mut(), |at| ptr::from_ref(at).cast_mut());
        let new = into_stored(new);
        // As in `swap`; Acquire on failure as in `load`.
        match self
            .current
            .compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: taken out here, and once.
            Ok(old) => Ok(unsafe { self.retired(old) }),
            Err(current) => Err(CompareExchangeError {
                // SAFETY: as in `load`.
                current: unsafe { current.as_ref() },
                // SAFETY: made above and not published.
                new: unsafe { from_stored(new) },
            }),
        }
    }

    /// What it points to as [`Retired`], as if swapped out; references under guards may still be there.
    ///
    /// ```
    /// use async_rcu::RcuPtr;
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// assert_eq!(*peer.into_retired().unwrap(), "10.0.0.1");
    /// assert!(RcuPtr::<String>::null().into_retired().is_none());
    /// ```
    pub fn into_retired(self) -> Option<Retired<T>> {
        self.swap(None)
    }

    /// # Safety
    /// `old` was in `current`, and has just been taken out by the caller.
    unsafe fn retired(&self, old: *mut T) -> Option<Retired<T>> {
        let old = NonNull::new(old)?;
        // SAFETY: by invariants 1 and 2 it is ours to free, reached by sections of the domain alone, and lies in a `Sizeless`
        // or in a box.
        Some(unsafe {
            match size_of::<T>() {
                0 => Retired::within(self.rcu(), Sizeless::around(old)),
                _ => Retired::boxed(self.rcu(), old),
            }
        })
    }
}

/// The pointer was not where it was thought to be. From [`RcuPtr::compare_exchange`].
///
/// ```
/// use async_rcu::{Rcu, RcuPtr};
/// let leader = RcuPtr::from(Box::new("a"));
/// let guard = Rcu::global().read();
/// let lost = leader.compare_exchange(None, Some(Box::new("b")), &guard).unwrap_err();
/// assert_eq!(lost.current, Some(&"a"));
/// assert_eq!(lost.to_string(), "the pointer was changed meanwhile");
/// ```
#[derive(Debug, Error)]
#[error("the pointer was changed meanwhile")]
pub struct CompareExchangeError<'g, T> {
    /// Where it was.
    pub current: Option<&'g T>,
    /// What was to be published.
    pub new: Option<Box<T>>,
}

/// A value without a size, in a place of its own: an address inside this allocation, neither at its beginning nor at its
/// end, where one next to it ends or begins.
#[repr(C)]
struct Sizeless<T> {
    before: u8,
    value: T,
    behind: u8,
}

impl<T> Sizeless<T> {
    /// # Safety
    /// `value` came from [`into_stored`], and is of a type without a size.
    unsafe fn around(value: NonNull<T>) -> NonNull<Self> {
        // SAFETY: it lies in a `Sizeless`, and the pointer was made from one to all of that.
        unsafe { value.byte_sub(offset_of!(Self, value)).cast() }
    }
}

impl<T> Holder<T> for Sizeless<T> {
    unsafe fn value(this: NonNull<Self>) -> NonNull<T> {
        // SAFETY: alive, by the caller's word; a field's address is not null.
        unsafe { NonNull::new_unchecked(&raw mut (*this.as_ptr()).value) }
    }

    unsafe fn take(this: NonNull<Self>) -> Box<T> {
        // SAFETY: comes from a box; once, with no reader left, by the caller's word.
        let this = unsafe { Box::from_raw(this.as_ptr()) };
        Box::new(this.value)
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: as in `take`.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }
}

/// Where a value lies while it is published. A value of a type with a size stays where it is.
fn into_stored<T>(value: Option<Box<T>>) -> *mut T {
    match value {
        None => ptr::null_mut(),
        Some(value) if size_of::<T>() != 0 => Box::into_raw(value),
        Some(value) => {
            let place = Box::into_raw(Box::new(Sizeless {
                before: 0,
                value: *value,
                behind: 0,
            }));
            // SAFETY: alive. The pointer may be led back to the whole.
            unsafe { &raw mut (*place).value }
        }
    }
}

/// The way back.
///
/// # Safety
/// `stored` came from [`into_stored`], and is the caller's alone.
unsafe fn from_stored<T>(stored: *mut T) -> Option<Box<T>> {
    let stored = NonNull::new(stored)?;
    // SAFETY: by the caller's word it lies in a `Sizeless` or in a box, with no reader.
    Some(unsafe {
        match size_of::<T>() {
            0 => Sizeless::take(Sizeless::around(stored)),
            _ => Box::from_raw(stored.as_ptr()),
        }
    })
}

impl<T: Send + Sync + 'static> Drop for RcuPtr<T> {
    fn drop(&mut self) {
        let old = self.current.load(Ordering::Acquire);
        // SAFETY: taken out here, and once.
        drop(unsafe { self.retired(old) });
    }
}

impl<T: Send + Sync + 'static> Default for RcuPtr<T> {
    /// A null pointer in the [global domain](Rcu::global).
    fn default() -> Self {
        Self::at(ptr::null_mut(), DomainRef::GLOBAL)
    }
}

impl<T: Send + Sync + 'static> From<Box<T>> for RcuPtr<T> {
    /// In the [global domain](Rcu::global).
    fn from(value: Box<T>) -> Self {
        Self::new(Some(value))
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for RcuPtr<T> {
    /// Reads the value, in a section of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.rcu().read();
        f.debug_tuple("RcuPtr").field(&self.load(&guard)).finish()
    }
}
