//! References to a version of a value, with the section that protects it.

use super::RcuCell;
use crate::{OwnedReadGuard, ReadGuard};
use std::fmt;
use std::ops::Deref;

/// A reference to a version of a value, with the section of this thread that protects it. From
/// [`RcuCell::read`].
///
/// Its methods are associated functions, `RcuRef::map(this, f)`, and do not hide methods of `T`.
///
/// The part that [`map`](Self::map) chooses lives as long as the section, so that `f` cannot return
/// a shorter borrow:
///
/// ```compile_fail
/// use async_rcu::{RcuCell, RcuRef};
/// static CELL: RcuCell<Option<&'static str>> = RcuCell::none();
/// fn smuggle<'a>(local: &'a String) -> RcuRef<'static, String> {
///     let read: RcuRef<'static, Option<&'a str>> = CELL.read();
///     RcuRef::map(read, |_: &Option<&'a str>| local)
/// }
/// ```
/// ```
/// use async_rcu::{RcuCell, RcuRef};
/// static CELL: RcuCell<Option<&'static str>> = RcuCell::none();
/// fn part() -> RcuRef<'static, str> {
///     RcuRef::map(CELL.read(), |text: &Option<&'static str>| text.unwrap_or_default())
/// }
/// assert_eq!(&*part(), "");
/// ```
#[must_use = "the section ends when the reference is dropped"]
pub struct RcuRef<'a, T: ?Sized + 'a> {
    /// Valid as long as the guard's section.
    value: *const T,
    guard: ReadGuard<'a>,
}

/// A reference to a version of a value, with the section that protects it. It may be held across
/// `.await`, sent and dropped anywhere. From [`RcuCell::read_owned`].
///
/// ```compile_fail,E0277
/// // Values that threads share must be `Sync`.
/// async_rcu::RcuCell::new(std::cell::Cell::new(1));
/// ```
/// ```
/// async_rcu::RcuCell::new(std::sync::atomic::AtomicU32::new(1));
/// ```
#[must_use = "the section ends when the reference is dropped"]
pub struct OwnedRcuRef<T: ?Sized + 'static> {
    /// Valid as long as the guard's section.
    value: *const T,
    guard: OwnedReadGuard,
}

// SAFETY: a shared reference to a `Sync` type, and a guard that is `Send` and `Sync`.
unsafe impl<T: ?Sized + Sync> Send for OwnedRcuRef<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for OwnedRcuRef<T> {}

impl<'a, T: ?Sized> RcuRef<'a, T> {
    /// # Safety
    /// `value` was loaded in the guard's section from a cell of the guard's domain.
    #[inline(always)]
    pub(super) unsafe fn new(guard: ReadGuard<'a>, value: *const T) -> Self {
        Self { value, guard }
    }

    /// Maps to a part of the value.
    ///
    /// ```
    /// # use async_rcu::{RcuCell, RcuRef};
    /// let cell = RcuCell::new((1, "one".to_owned()));
    /// let name = RcuRef::map(cell.read(), |pair| pair.1.as_str());
    /// assert_eq!(&*name, "one");
    /// ```
    pub fn map<U: ?Sized>(this: Self, f: impl FnOnce(&T) -> &U) -> RcuRef<'a, U> {
        let value = f(&this);
        RcuRef { value, guard: this.guard }
    }

    /// Maps to a part of the value that may not exist.
    ///
    /// ```
    /// use async_rcu::{RcuCell, RcuRef};
    /// let names = RcuCell::new(vec!["a".to_owned()]);
    /// let first = RcuRef::filter_map(names.read(), |names| names.first()).unwrap();
    /// assert_eq!(*first, "a");
    /// drop(first);
    /// assert!(RcuRef::filter_map(names.read(), |names| names.get(7)).is_err());
    /// ```
    ///
    /// # Errors
    /// `this`, if `f` returns `None`.
    pub fn filter_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<RcuRef<'a, U>, Self> {
        match f(&this).map(std::ptr::from_ref) {
            Some(value) => Ok(RcuRef { value, guard: this.guard }),
            None => Err(this),
        }
    }

    /// Returns the section, to load other cells in it.
    ///
    /// ```
    /// use async_rcu::{RcuCell, RcuRef};
    /// let (limit, burst) = (RcuCell::new(10), RcuCell::new(3));
    /// let limit = limit.read();
    /// assert_eq!(*limit + *burst.load(RcuRef::guard(&limit)), 13);
    /// ```
    pub fn guard(this: &Self) -> &ReadGuard<'a> {
        &this.guard
    }
}

impl<T: ?Sized> OwnedRcuRef<T> {
    /// # Safety
    /// As [`RcuRef::new`].
    #[inline(always)]
    pub(super) unsafe fn new(guard: OwnedReadGuard, value: *const T) -> Self {
        Self { value, guard }
    }

    /// Maps to a part of the value.
    ///
    /// ```
    /// use async_rcu::{RcuCell, cell::OwnedRcuRef};
    /// let cell = RcuCell::new((1, "one".to_owned()));
    /// let name = OwnedRcuRef::map(cell.read_owned(), |pair| pair.1.as_str());
    /// std::thread::spawn(move || assert_eq!(&*name, "one")).join().unwrap();
    /// ```
    pub fn map<U: ?Sized>(this: Self, f: impl FnOnce(&T) -> &U) -> OwnedRcuRef<U> {
        let value: *const U = f(&this);
        OwnedRcuRef { value, guard: this.guard }
    }

    /// Maps to a part of the value that may not exist.
    ///
    /// ```
    /// use async_rcu::{RcuCell, cell::OwnedRcuRef};
    /// let names = RcuCell::new(vec!["a".to_owned()]);
    /// let first = OwnedRcuRef::filter_map(names.read_owned(), |names| names.first()).unwrap();
    /// names.store(Vec::new());
    /// assert_eq!(*first, "a");
    /// assert!(OwnedRcuRef::filter_map(names.read_owned(), |names| names.first()).is_err());
    /// ```
    ///
    /// # Errors
    /// `this`, if `f` returns `None`.
    pub fn filter_map<U: ?Sized>(
        this: Self,
        f: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<OwnedRcuRef<U>, Self> {
        match f(&this).map(std::ptr::from_ref) {
            Some(value) => Ok(OwnedRcuRef { value, guard: this.guard }),
            None => Err(this),
        }
    }

    /// Returns the section, to load other cells in it.
    ///
    /// ```
    /// use async_rcu::{RcuCell, cell::OwnedRcuRef};
    /// let (limit, burst) = (RcuCell::new(10), RcuCell::new(3));
    /// let limit = limit.read_owned();
    /// assert_eq!(*limit + *burst.load(OwnedRcuRef::guard(&limit)), 13);
    /// ```
    pub fn guard(this: &Self) -> &OwnedReadGuard {
        &this.guard
    }
}

impl<T: Send + Sync + 'static> OwnedRcuRef<T> {
    /// Goes to the current value of `cell`, in a new section, so that the old version may be freed.
    ///
    /// ```
    /// # use async_rcu::{RcuCell, cell::OwnedRcuRef};
    /// let cell = RcuCell::new(1);
    /// let mut value = cell.read_owned();
    /// cell.store(2);
    /// assert_eq!(*value, 1);
    /// OwnedRcuRef::reload(&mut value, &cell);
    /// assert_eq!(*value, 2);
    /// ```
    ///
    /// # Panics
    /// If the cell is of another domain; the reference is then as it was.
    #[track_caller]
    pub fn reload(this: &mut Self, cell: &RcuCell<T>) {
        cell.assert_covered(&this.guard);
        // `this` is borrowed mutably, so no reference to the old value is left.
        this.guard.refresh();
        this.value = cell.load(&this.guard);
    }
}

macro_rules! as_reference {
    ($($name:ty),*) => {$(
        impl<T: ?Sized> Deref for $name {
            type Target = T;
            #[inline(always)]
            fn deref(&self) -> &T {
                // SAFETY: valid as long as the section, which ends with `self`.
                unsafe { &*self.value }
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    )*};
}
as_reference!(RcuRef<'_, T>, OwnedRcuRef<T>);
