//! An array under RCU. [`spine`](super::spine) has the protocol.
//!
//! # Invariants
//! 1. `current` points to the current spine, which this array made, or is null: the array is empty.
//! 2. Each element comes from a box. From its publication until its removal, the array owns it, and
//!    one visible slot of the current spine points to it.
//! 3. Removed elements and replaced spines are freed only through [`Retired`] or a callback of the
//!    array's domain that is queued afterwards: after a grace period that starts later.
//! 4. The lock's `HighWater` is that of the current spine, while that is flat.

mod change;
mod view;
mod write;

pub use view::{VecIter, VecView};
pub use write::VecWriter;

use super::shown::Shown;
use super::spine::{Copies, Header, HighWater, Spine};
use super::writers::{Writers, Writing};
use crate::structures::DomainRef;
use crate::sys::prim::{AtomicPtr, Ordering};
use crate::{GracePeriod, Guard, Rcu, Retired};
use std::fmt;
use std::ptr::{self, NonNull};

const NAME: &str = "RcuVec";

/// A resizable array that is read often: slots, queues by number, tables by index.
///
/// Readers index it under a guard. [`load`](Self::load) returns a view that later writes do not
/// change. Elements are never moved. Writers take turns. Removed elements are [`Retired`]. While
/// writers run, [`len`](Self::len) may be out of date.
///
/// ```
/// use async_rcu::{Rcu, RcuVec};
/// static WORKERS: RcuVec<String> = RcuVec::new();
/// WORKERS.push("a".to_owned());
/// WORKERS.push("b".to_owned());
///
/// let guard = Rcu::global().read();
/// let view = WORKERS.load(&guard);
/// let old = WORKERS.replace(1, "c".to_owned());
/// WORKERS.push("d".to_owned());
/// assert_eq!(*old, "b");
/// assert_eq!((&*view[1], view.len()), ("b", 2));
/// assert_eq!(WORKERS.get(1, &guard).unwrap(), "c");
/// assert_eq!(WORKERS.len(), 3);
/// ```
///
/// # Complexity
/// | operation | time |
/// |---|---|
/// | `get`, `load`, indexing a view, a step of an iterator, `len` | O(1), wait-free |
/// | `push` | O(1) amortised; within the capacity readers see it without a new version |
/// | `pop` | O(1) amortised |
/// | a `push` that views forbid in place, `replace`, `swap_remove` but of the last | see below |
/// | `append`, and all edits of one [`write`](Self::write) together | O(n + added) pointers |
/// | `clear`, drop | O(1) here; O(n) in one callback after a grace period |
///
/// Only pointers are copied, never elements. An element costs an allocation and a pointer.
///
/// Within a grace period after a `pop`, views keep the popped slot, and a `push` is not done in
/// place. Such a change takes O(n) pointers for the first few within a grace period, and then
/// O(log n) amortised. So a reader in a section holds up a few arrays of pointers and O(log n) for
/// each changed element, but not a copy of the array for each change.
///
/// Until the first change of a later grace period, to look up an element that they changed, or one
/// after it, takes O(log n).
///
/// # Drop
/// Dropping an array retires its elements in one callback. References under a guard outlive the
/// array. A panicking drop of an element does not skip the others; one panic is reported.
///
/// # Deadlocks
/// Writers wait for each other, and for ever if a [`VecWriter`] is never dropped. A thread that
/// would wait for itself panics. No element is dropped while the writers' lock is held.
pub struct RcuVec<T: Send + Sync + 'static> {
    current: AtomicPtr<Header<T>>,
    writers: Writers<State>,
    domain: DomainRef,
}

/// What the lock guards.
#[derive(Debug)]
struct State {
    water: HighWater<GracePeriod>,
    copies: Copies<GracePeriod>,
}

impl<T: Send + Sync + 'static> RcuVec<T> {
    /// Makes an empty array in the [global domain](Rcu::global). This does not start the domain, so
    /// the array can be a static.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// static PEERS: RcuVec<String> = RcuVec::new();
    /// PEERS.push("10.0.0.1".to_owned());
    /// assert_eq!(PEERS.len(), 1);
    /// ```
    pub const fn new() -> Self {
        Self::with(DomainRef::GLOBAL)
    }

    /// Makes an empty array in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let rcu = Rcu::new();
    /// let array = RcuVec::new_in(&rcu);
    /// array.push(1);
    /// assert_eq!(array.get(0, &rcu.read()), Some(&1));
    /// ```
    pub fn new_in(rcu: &Rcu) -> Self {
        Self::with(DomainRef::of(rcu))
    }

    const fn with(domain: DomainRef) -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
            writers: Writers::new(State { water: HighWater::at(0), copies: Copies::NONE }),
            domain,
        }
    }

    /// Returns the domain whose guards the array accepts.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let guard = array.rcu().read();
    /// assert_eq!(array.get(2, &guard), Some(&2));
    /// ```
    pub fn rcu(&self) -> &Rcu {
        self.domain.rcu()
    }

    /// Returns the number of elements. Opens a section meanwhile.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// assert_eq!(array.len(), 3);
    /// ```
    pub fn len(&self) -> usize {
        if self.current.load(Ordering::Relaxed).is_null() {
            return 0;
        }
        self.load(&self.rcu().read()).len()
    }

    /// Returns whether there are no elements.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = RcuVec::new();
    /// assert!(array.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a view: one length and the elements below it, which later writes do not change.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let guard = Rcu::global().read();
    /// let view = array.load(&guard);
    /// array.push(3);
    /// assert_eq!((view.len(), array.len()), (3, 4));
    /// assert_eq!(view[2], 2);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the elements.
    #[inline]
    #[track_caller]
    pub fn load<'g>(&self, guard: &'g impl Guard) -> VecView<'g, T> {
        self.domain.assert_covers(guard, NAME);
        let spine = Spine::from_raw(self.current.load(Ordering::Acquire));
        // SAFETY: loaded in a section of the array's domain that lasts for 'g (invariants 1, 3).
        VecView::new(spine.map_or(Shown::EMPTY, |spine| unsafe { spine.show() }))
    }

    /// Returns an element, or `None` if the index is out of range.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// let guard = Rcu::global().read();
    /// assert_eq!(array.get(1, &guard), Some(&1));
    /// assert_eq!(array.get(3, &guard), None);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the elements.
    #[inline]
    #[track_caller]
    pub fn get<'g>(&self, index: usize, guard: &'g impl Guard) -> Option<&'g T> {
        self.domain.assert_covers(guard, NAME);
        let spine = Spine::from_raw(self.current.load(Ordering::Acquire))?;
        // SAFETY: as in `load`. The element lives as long as what a view shows.
        unsafe { spine.find(index).map(|element| element.as_ref()) }
    }

    /// Returns the elements of a view, in order. The iterator is bound to the guard, not to the
    /// array.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// assert_eq!(array.iter(&Rcu::global().read()).sum::<u32>(), 3);
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the elements.
    #[inline]
    #[track_caller]
    pub fn iter<'g>(&self, guard: &'g impl Guard) -> VecIter<'g, T> {
        self.load(guard).iter()
    }

    /// Adds an element at the end.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array = RcuVec::new();
    /// array.push("a");
    /// assert_eq!(array.len(), 1);
    /// ```
    #[track_caller]
    pub fn push(&self, value: T) {
        let value = self.rcu().boxed(value);
        let mut state = self.lock("push");
        self.add(&mut state, 1, [value]);
    }

    /// Adds elements at the end, in one step: a reader finds all of them or none of them. The
    /// iterator runs to its end first, and may write the array. If the iterator panics, nothing is
    /// added.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = [1].into_iter().collect();
    /// array.append([2, 3]);
    /// assert!(array.iter(&Rcu::global().read()).eq(&[1, 2, 3]));
    /// ```
    #[track_caller]
    pub fn append(&self, values: impl IntoIterator<Item = T>) {
        let values: Vec<Box<T>> = values.into_iter().map(|value| self.rcu().boxed(value)).collect();
        if values.is_empty() {
            return;
        }
        let mut state = self.lock("append");
        self.add(&mut state, values.len(), values);
    }

    /// Removes the last element, and returns it.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = [1].into_iter().collect();
    /// assert_eq!(*array.pop().unwrap(), 1);
    /// assert!(array.pop().is_none());
    /// ```
    #[track_caller]
    pub fn pop(&self) -> Option<Retired<T>> {
        let mut state = self.lock("pop");
        let spine = self.spine()?;
        // SAFETY: the lock is held.
        let len = unsafe { spine.len() }.checked_sub(1)?;
        // SAFETY: as above, and the array is not empty.
        Some(unsafe { self.remove_last(&mut state, spine, len) })
    }

    /// Replaces an element, and returns the old one.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// assert_eq!(*array.replace(1, 10), 1);
    /// assert!(array.iter(&Rcu::global().read()).eq(&[0, 10, 2]));
    /// ```
    ///
    /// # Panics
    /// If `index` is out of range.
    #[track_caller]
    pub fn replace(&self, index: usize, value: T) -> Retired<T> {
        let value = self.rcu().boxed(value);
        let mut state = self.lock("replace");
        let (spine, len) = self.bounds(index, "replace");
        // Starts the domain first, so that a refused start loses nothing.
        self.rcu();
        // SAFETY: the lock is held, and `index` is in range. The change takes the element out.
        unsafe {
            let element = spine.get(index);
            self.change(&mut state, spine, len, &[(index, boxed(value))]);
            self.retired(element)
        }
    }

    /// Removes an element, moves the last one to its place, and returns the removed one.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..3).collect();
    /// assert_eq!(*array.swap_remove(0), 0);
    /// assert!(array.iter(&Rcu::global().read()).eq(&[2, 1]));
    /// ```
    ///
    /// # Panics
    /// If `index` is out of range.
    #[track_caller]
    pub fn swap_remove(&self, index: usize) -> Retired<T> {
        let mut state = self.lock("swap_remove");
        let (spine, len) = self.bounds(index, "swap_remove");
        let last = len - 1;
        self.rcu();
        // SAFETY: as in `replace`; as in `pop`.
        unsafe {
            if index == last {
                return self.remove_last(&mut state, spine, last);
            }
            let element = spine.get(index);
            self.change(&mut state, spine, last, &[(index, spine.get(last))]);
            self.retired(element)
        }
    }

    /// Removes all elements, and retires them in one callback.
    ///
    /// ```
    /// use async_rcu::RcuVec;
    /// let array: RcuVec<u32> = (0..3).collect();
    /// array.clear();
    /// assert!(array.is_empty());
    /// ```
    #[track_caller]
    pub fn clear(&self) {
        let mut state = self.lock("clear");
        let old = self.spine();
        if old.is_some() {
            // Starts the domain first, so that a refused start loses nothing.
            self.rcu();
        }
        self.current.store(ptr::null_mut(), Ordering::Release);
        state.water = HighWater::at(0);
        if let Some(spine) = old {
            // SAFETY: just taken out, with all elements that it shows.
            unsafe { self.retire_whole(spine) };
        }
    }

    /// Returns a writer for several edits in one turn. Readers see all of them at once, after
    /// [`publish`](VecWriter::publish), or never. Other writers wait until this writer is dropped.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuVec};
    /// let array: RcuVec<u32> = (0..5).collect();
    /// let mut writer = array.write();
    /// writer.push(5);
    /// writer.replace(0, 10);
    /// writer.swap_remove(1);
    /// assert_eq!(array.len(), 5);
    /// let removed = writer.publish();
    /// assert_eq!(removed.iter().map(|old| **old).collect::<Vec<_>>(), [0, 1]);
    /// assert!(array.iter(&Rcu::global().read()).eq(&[10, 5, 2, 3, 4]));
    /// ```
    #[track_caller]
    pub fn write(&self) -> VecWriter<'_, T> {
        VecWriter::new(self, self.lock("write"))
    }

    #[track_caller]
    fn lock(&self, what: &'static str) -> Writing<'_, State> {
        self.writers.lock(what, "VecWriter")
    }

    /// Returns the current spine, for the holder of the lock, under which it was stored.
    fn spine(&self) -> Option<Spine<T>> {
        Spine::from_raw(self.current.load(Ordering::Relaxed))
    }

    /// Returns the spine and its length, if `index` is in range. For the holder of the lock.
    #[track_caller]
    fn bounds(&self, index: usize, what: &str) -> (Spine<T>, usize) {
        let spine = self.spine();
        // SAFETY: the lock is held.
        let len = spine.map_or(0, |spine| unsafe { spine.len() });
        match spine {
            Some(spine) if index < len => (spine, len),
            _ => out_of_range(what, index, len),
        }
    }

    /// # Safety
    /// The element has just been taken out, and nothing else frees it.
    unsafe fn retired(&self, element: NonNull<T>) -> Retired<T> {
        // SAFETY: from a box (invariant 2). Only sections of the array's domain reach it, and none
        // from now on.
        unsafe { Retired::from_raw(self.rcu(), element.as_ptr()) }
    }
}

#[cold]
#[track_caller]
fn out_of_range(what: &str, index: usize, len: usize) -> ! {
    panic!("{what}: index {index} is out of range of an RcuVec of length {len}");
}

fn boxed<T>(value: Box<T>) -> NonNull<T> {
    // SAFETY: a box's pointer is not null.
    unsafe { NonNull::new_unchecked(Box::into_raw(value)) }
}

impl<T: Send + Sync + 'static> Drop for RcuVec<T> {
    fn drop(&mut self) {
        if let Some(spine) = Spine::from_raw(self.current.load(Ordering::Acquire)) {
            // SAFETY: the array is dropped, so its spine is taken out.
            unsafe { self.retire_whole(spine) };
        }
    }
}

super::sequence_traits!(RcuVec);
