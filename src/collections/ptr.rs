//! A pointer under RCU that may be null.
//!
//! # Invariants
//! 1. `current` is null or points to a published value that was not taken out. The value lies where
//!    [`into_stored`] put it.
//! 2. A value that is taken out (by swap, exchange or drop) is freed only through [`Retired`] or
//!    [`Rcu::retire_raw`], after a grace period of the pointer's domain that starts later. So a
//!    section of that domain that loaded it may use it until the section ends.
//! 3. Nothing is moved out of a published value or changed in it.
//! 4. While a value is allocated, no other value has its address. A value of a type without a size
//!    lies inside a [`Sizeless`], between two bytes.

use crate::structures::{DomainRef, Holder};
use crate::sys::prim::{AtomicPtr, Ordering};
use crate::{Guard, Rcu, Retired};
use std::fmt;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use thiserror::Error;

const NAME: &str = "RcuPtr";

/// A pointer that may be null, to build structures of your own from: trees, tries, chains.
///
/// The pointer owns its value, as an `Option<Box<T>>` does. Readers load it under a guard. Writers
/// swap it, and what they take out is [`Retired`]. Compare QEMU's `atomic_rcu_read` and
/// `atomic_rcu_set`, and liburcu's `rcu_dereference`, `rcu_xchg_pointer` and `rcu_cmpxchg_pointer`.
/// For one value that is always there, use an [`RcuCell`](crate::RcuCell).
///
/// A binary search tree, into which any number of threads insert while others look up:
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
///     fn find<'g>(
///         &'g self,
///         key: u32,
///         guard: &'g impl Guard,
///     ) -> Result<&'g Node, &'g RcuPtr<Node>> {
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
/// Every operation is O(1) and wait-free, except for allocation and deallocation. A value of a type
/// without a size is put in a box, so that it has an address of its own.
///
/// # Drop
/// Dropping the pointer retires its value: references under a guard outlive the pointer. The drop
/// of the value retires the values of the pointers in it. So a structure is freed level by level,
/// without recursion, after one grace period for each level. A chain of a million takes long: use
/// an [`RcuList`](crate::RcuList).
pub struct RcuPtr<T: Send + Sync + 'static> {
    current: AtomicPtr<T>,
    domain: DomainRef,
}

impl<T: Send + Sync + 'static> RcuPtr<T> {
    /// Makes a null pointer in the [global domain](Rcu::global). This does not start the domain, so
    /// the pointer can be a static.
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

    /// Makes a null pointer in the domain of `rcu`.
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

    /// Makes a pointer in the [global domain](Rcu::global).
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::new(Some(Box::new("10.0.0.1")));
    /// assert_eq!(peer.load(&Rcu::global().read()), Some(&"10.0.0.1"));
    /// ```
    pub fn new(value: Option<Box<T>>) -> Self {
        Self::at(into_stored(value), DomainRef::GLOBAL)
    }

    /// Makes a pointer in the domain of `rcu`.
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
        Self { current: AtomicPtr::new(current), domain }
    }

    // loom's atomics are not made in a `const fn`.
    #[cfg(rcu_loom)]
    fn at(current: *mut T, domain: DomainRef) -> Self {
        Self { current: AtomicPtr::new(current), domain }
    }

    /// Returns the domain whose guards the pointer accepts.
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

    /// Returns the value, if there is one. The reference is bound to the guard, not to the pointer.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// let guard = Rcu::global().read();
    /// let seen = peer.load(&guard);
    /// peer.store(None);
    /// assert_eq!(seen, Some(&"10.0.0.1"));           // there until the guard is dropped
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the value.
    #[inline]
    #[track_caller]
    pub fn load<'g>(&self, guard: &'g impl Guard) -> Option<&'g T> {
        self.domain.assert_covers(guard, NAME);
        // SAFETY: null, or loaded in a section of the pointer's domain, which lasts for 'g
        // (invariants 1, 2). Acquire pairs with the publication, so that the value is seen whole.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// Returns whether the pointer is null. Needs no guard.
    ///
    /// ```
    /// use async_rcu::RcuPtr;
    /// let peer: RcuPtr<String> = RcuPtr::null();
    /// assert!(peer.is_null());
    /// ```
    pub fn is_null(&self) -> bool {
        self.current.load(Ordering::Relaxed).is_null()
    }

    /// Publishes `value`, and retires the old value.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuPtr};
    /// let peer = RcuPtr::null();
    /// peer.store(Some(Box::new("10.0.0.2")));
    /// assert_eq!(peer.load(&Rcu::global().read()), Some(&"10.0.0.2"));
    /// ```
    pub fn store(&self, value: Option<Box<T>>) {
        let old = self.exchange(value);
        // SAFETY: taken out here, and once.
        unsafe { self.retire(old) };
    }

    /// Publishes `value`, and returns the old value.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuPtr;
    /// let peer = RcuPtr::from(Box::new("10.0.0.1"));
    /// let old = peer.swap(None).unwrap();
    /// let old: Box<&str> = old.wait().await;
    /// println!("no reader talks to {old} any more");
    /// # });
    /// ```
    pub fn swap(&self, value: Option<Box<T>>) -> Option<Retired<T>> {
        let old = self.exchange(value);
        // SAFETY: taken out here, and once.
        unsafe { self.retired(old) }
    }

    fn exchange(&self, value: Option<Box<T>>) -> *mut T {
        // Starts the domain first, so that a refused start loses nothing.
        self.rcu();
        // AcqRel: Release publishes the new value; Acquire shows the old one whole.
        self.current.swap(into_stored(value), Ordering::AcqRel)
    }

    /// Publishes `new` if the pointer is still `current`, which an earlier [`load`](Self::load)
    /// returned. Returns the old value. Values are compared by address. Since `current` is borrowed
    /// for the call, no newer value can have its address. This holds for types without a size, too.
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
    /// If the pointer is not `current`: the value that the pointer has, to try again, and `new`.
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the value.
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
        match self.current.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire) {
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

    /// Takes the value out, and returns it as [`swap`](Self::swap) does.
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
    /// `old` was in `current`, has been taken out by the caller, and is given here once.
    unsafe fn retired(&self, old: *mut T) -> Option<Retired<T>> {
        let old = NonNull::new(old)?;
        // SAFETY: in a box or in a `Sizeless` (invariant 1), and freed by this alone (invariant 2).
        Some(unsafe {
            match size_of::<T>() {
                0 => Retired::from_holder(self.rcu(), Sizeless::around(old.as_ptr())),
                _ => Retired::from_raw(self.rcu(), old.as_ptr()),
            }
        })
    }

    /// # Safety
    /// As [`retired`](Self::retired).
    unsafe fn retire(&self, old: *mut T) {
        if old.is_null() {
            return;
        }
        // SAFETY: as in `retired`.
        unsafe {
            match size_of::<T>() {
                0 => self.rcu().retire_raw(Sizeless::around(old)),
                _ => self.rcu().retire_raw(old),
            }
        }
    }
}

/// The error of [`RcuPtr::compare_exchange`]: the pointer was changed by another writer.
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
    /// The value that the pointer had.
    pub current: Option<&'g T>,
    /// The value that was to be published.
    pub new: Option<Box<T>>,
}

/// A value without a size, at an address inside this allocation. Its beginning or end could also be
/// the address of a value in a neighbouring allocation.
#[repr(C)]
struct Sizeless<T> {
    before: u8,
    value: T,
    after: u8,
}

impl<T> Sizeless<T> {
    /// # Safety
    /// `value` came from [`into_stored`], and is of a type without a size.
    unsafe fn around(value: *mut T) -> *mut Self {
        // SAFETY: the value lies in a `Sizeless`, and the pointer was made from one to the whole.
        unsafe { value.byte_sub(offset_of!(Self, value)).cast() }
    }
}

impl<T: Send + Sync + 'static> Holder for Sizeless<T> {
    type Value = T;
    fn value(&self) -> &T {
        &self.value
    }
    fn into_value(self) -> T {
        self.value
    }
}

/// Puts a value where it lies while it is published: in its box, or, without a size, in a
/// [`Sizeless`].
fn into_stored<T>(value: Option<Box<T>>) -> *mut T {
    match value {
        None => ptr::null_mut(),
        Some(value) if size_of::<T>() != 0 => Box::into_raw(value),
        Some(value) => {
            let place = Box::into_raw(Box::new(Sizeless { before: 0, value: *value, after: 0 }));
            // SAFETY: alive. A pointer to the whole can be made from this one.
            unsafe { &raw mut (*place).value }
        }
    }
}

/// Undoes [`into_stored`].
///
/// # Safety
/// `stored` came from [`into_stored`], and is the caller's alone.
unsafe fn from_stored<T>(stored: *mut T) -> Option<Box<T>> {
    // SAFETY: by the caller's word it lies in a `Sizeless` or in a box, with no reader.
    (!stored.is_null()).then(|| unsafe {
        match size_of::<T>() {
            0 => Box::new(Box::from_raw(Sizeless::around(stored)).value),
            _ => Box::from_raw(stored),
        }
    })
}

impl<T: Send + Sync + 'static> Drop for RcuPtr<T> {
    fn drop(&mut self) {
        let old = self.current.load(Ordering::Acquire);
        // SAFETY: taken out here, and once.
        unsafe { self.retire(old) };
    }
}

impl<T: Send + Sync + 'static> Default for RcuPtr<T> {
    /// A null pointer in the [global domain](Rcu::global).
    fn default() -> Self {
        Self::at(ptr::null_mut(), DomainRef::GLOBAL)
    }
}

impl<T: Send + Sync + 'static> From<Box<T>> for RcuPtr<T> {
    /// Makes a pointer in the [global domain](Rcu::global).
    fn from(value: Box<T>) -> Self {
        Self::new(Some(value))
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for RcuPtr<T> {
    /// Reads the value in a section of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.rcu().read();
        f.debug_tuple("RcuPtr").field(&self.load(&guard)).finish()
    }
}
