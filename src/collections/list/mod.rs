//! A list under RCU. [`chain`](super::chain) has the protocol.
//!
//! # Invariants
//! 1. `head`, with `Tail` under the writers' lock, keeps the invariants of `chain`. This list made
//!    all its nodes.
//! 2. A removed node is freed only through [`Retired`] or a callback of the list's domain that is
//!    queued afterwards: after a grace period that starts later. So a section of the domain that
//!    reached the node may use it until the section ends.
//! 3. `len` is the number of linked nodes whenever the writers' lock is free.

mod iter;
mod write;

pub use iter::ListIter;
pub use write::ListWriter;

use super::chain::{self, Link, Node, Run, Tail};
use super::writers::Writers;
use crate::structures::{DomainRef, Holder};
use crate::sys::prim::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use crate::{Guard, Rcu, Retired};
use std::fmt;
use std::ptr;

const NAME: &str = "RcuList";

/// A list that is read often and written seldom: handlers, listeners, memory regions.
///
/// Readers walk from the front to the back, wait-free, under a guard. A reader on an element that
/// is removed finishes its walk, and sees the elements after it as they are then. A walk returns no
/// element that was appended after the walk began, so it ends also if the list is used as a queue.
/// Writers take turns. Removed elements are [`Retired`]. While writers run, [`len`](Self::len) may
/// be out of date.
///
/// ```
/// use async_rcu::{Rcu, RcuList};
/// static HANDLERS: RcuList<fn(u32) -> u32> = RcuList::new();
/// HANDLERS.push_back(|n| n + 1);
/// HANDLERS.push_back(|n| n * 2);
///
/// let guard = Rcu::global().read();
/// let result = HANDLERS.iter(&guard).fold(1, |n, handler| handler(n));
/// assert_eq!(result, 4);
/// ```
///
/// # Complexity
/// | operation | time |
/// |---|---|
/// | `push_front`, `push_back`, `pop_front`, `front`, `len` | O(1) |
/// | an edit where a writer stands, one step of a walk or a writer | O(1) |
/// | `append` | O(added) |
/// | `clear`, drop | O(1) here; O(n) in one callback after a grace period |
/// | `retain` | O(n), and one callback for all that goes |
///
/// An element costs an allocation, which also holds a pointer and a number.
///
/// # Drop
/// Dropping a list retires its elements in one callback, which frees them without recursion.
/// References under a guard outlive the list. A panicking drop of an element does not skip the
/// others; one panic is reported.
///
/// # Deadlocks
/// Writers wait for each other, and for ever if a [`ListWriter`] is never dropped. A thread that
/// would wait for itself panics. No element is dropped while the writers' lock is held.
pub struct RcuList<T: Send + Sync + 'static> {
    head: Link<T>,
    len: AtomicUsize,
    /// The highest number of a node, for walks that begin.
    appended: AtomicU64,
    writers: Writers<Tail<T>>,
    domain: DomainRef,
}

impl<T: Send + Sync + 'static> RcuList<T> {
    /// Makes an empty list in the [global domain](Rcu::global). This does not start the domain, so
    /// the list can be a static.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// static LISTENERS: RcuList<fn()> = RcuList::new();
    /// LISTENERS.push_back(|| println!("told"));
    /// assert_eq!(LISTENERS.len(), 1);
    /// ```
    pub const fn new() -> Self {
        Self::with(DomainRef::GLOBAL)
    }

    /// Makes an empty list in the domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let rcu = Rcu::new();
    /// let list = RcuList::new_in(&rcu);
    /// list.push_back(1);
    /// assert_eq!(list.front(&rcu.read()), Some(&1));
    /// ```
    pub fn new_in(rcu: &Rcu) -> Self {
        Self::with(DomainRef::of(rcu))
    }

    const fn with(domain: DomainRef) -> Self {
        Self {
            head: Link(AtomicPtr::new(ptr::null_mut())),
            len: AtomicUsize::new(0),
            appended: AtomicU64::new(0),
            writers: Writers::new(Tail::EMPTY),
            domain,
        }
    }

    /// Returns the domain whose guards the list accepts.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// let guard = list.rcu().read();
    /// assert_eq!(list.front(&guard), Some(&1));
    /// ```
    pub fn rcu(&self) -> &Rcu {
        self.domain.rcu()
    }

    /// Returns the number of elements. O(1), without a section.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = (0..10).collect();
    /// assert_eq!(list.len(), 10);
    /// ```
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns whether there are no elements.
    ///
    /// ```
    /// use async_rcu::RcuList;
    /// let list: RcuList<u32> = RcuList::new();
    /// assert!(list.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the first element, if there is one.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = (1..4).collect();
    /// assert_eq!(list.front(&Rcu::global().read()), Some(&1));
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the elements.
    #[inline]
    #[track_caller]
    pub fn front<'g>(&self, guard: &'g impl Guard) -> Option<&'g T> {
        self.iter(guard).next()
    }

    /// Walks the list from the front. Each step is wait-free, and skips elements that were removed
    /// ahead of the walk. The walk ends before elements that were appended after it began. The
    /// iterator is bound to the guard, not to the list.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let guard = Rcu::global().read();
    /// let list: RcuList<u32> = (1..=3).collect();
    /// let mut walk = list.iter(&guard);
    /// assert_eq!(walk.next(), Some(&1));
    /// list.clear();
    /// drop(list);
    /// assert_eq!(walk.next(), Some(&2));       // 1 still leads to 2
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain, which does not protect the elements.
    #[inline]
    #[track_caller]
    pub fn iter<'g>(&self, guard: &'g impl Guard) -> ListIter<'g, T> {
        self.domain.assert_covers(guard, NAME);
        // SAFETY: null, or a node linked now, in a section of the list's domain that lasts for 'g
        // (invariants 1, 2).
        let first = unsafe { self.head.follow().as_ref() };
        // Every node whose linking happens before this call has at most this number. The number is
        // stored after the link, so the first node may have a higher one.
        let end = self.appended.load(Ordering::Relaxed);
        ListIter::from(first, first.map_or(end, |first| end.max(first.number)))
    }

    /// Adds an element at the front.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [2].into_iter().collect();
    /// list.push_front(1);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2]));
    /// ```
    #[track_caller]
    pub fn push_front(&self, value: T) {
        let run = Run::of(self.rcu().boxed(Node::new(value)));
        self.lock("push_front").insert(ptr::null_mut(), run);
    }

    /// Adds an element at the back.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// list.push_back(2);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2]));
    /// ```
    #[track_caller]
    pub fn push_back(&self, value: T) {
        self.append_run("push_back", Run::of(self.rcu().boxed(Node::new(value))));
    }

    /// Adds elements at the back, in one step: a reader finds all of them or none of them. The
    /// iterator runs to its end first, and may write the list. If the iterator panics, nothing is
    /// added.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [1].into_iter().collect();
    /// list.append([2, 3]);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2, 3]));
    /// ```
    #[track_caller]
    pub fn append(&self, values: impl IntoIterator<Item = T>) {
        let mut run = Run::default();
        values.into_iter().for_each(|value| run.push(self.rcu().boxed(Node::new(value))));
        self.append_run("append", run);
    }

    #[track_caller]
    fn append_run(&self, what: &'static str, run: Run<T>) {
        let mut writer = self.lock(what);
        writer.insert(writer.last(), run);
    }

    /// Removes the first element, and returns it.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::RcuList;
    /// let jobs: RcuList<String> = ["build".to_owned()].into_iter().collect();
    /// let job: Box<String> = jobs.pop_front().unwrap().wait().await;
    /// assert_eq!(*job, "build");
    /// assert!(jobs.pop_front().is_none());
    /// # });
    /// ```
    #[track_caller]
    pub fn pop_front(&self) -> Option<Retired<T>> {
        self.lock("pop_front").pop_front()
    }

    /// Removes the elements for which `keep` returns `false`, and retires them in one callback.
    /// `keep` may read the list. A write of the list in `keep` panics, since the thread would wait
    /// for itself. If `keep` panics, the elements refused so far are removed, and the others stay.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = (0..10).collect();
    /// list.retain(|n| n % 5 == 0);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[0, 5]));
    /// ```
    #[track_caller]
    pub fn retain(&self, mut keep: impl FnMut(&T) -> bool) {
        // By reference: what `keep` owns is dropped after the lock is released.
        self.lock("retain").retain(&mut keep);
    }

    /// Removes all elements, and retires them in one callback. Readers finish their walk.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = (0..3).collect();
    /// let guard = Rcu::global().read();
    /// let walk = list.iter(&guard);
    /// list.clear();
    /// assert!(list.is_empty());
    /// assert!(walk.eq(&[0, 1, 2]));
    /// ```
    #[track_caller]
    pub fn clear(&self) {
        self.lock("clear").clear();
    }

    /// Returns a writer for several edits in one turn, which stands on the first element.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuList};
    /// let list: RcuList<u32> = [1, 2, 4, 5].into_iter().collect();
    /// let mut writer = list.write();
    /// while let Some(&n) = writer.current() {
    ///     match n {
    ///         4 => writer.insert_before(3),
    ///         5 => drop(writer.remove()),
    ///         _ => {}
    ///     }
    ///     writer.move_next();
    /// }
    /// drop(writer);
    /// assert!(list.iter(&Rcu::global().read()).eq(&[1, 2, 3, 4]));
    /// ```
    #[track_caller]
    pub fn write(&self) -> ListWriter<'_, T> {
        self.lock("write")
    }

    #[track_caller]
    fn lock(&self, what: &'static str) -> ListWriter<'_, T> {
        ListWriter::new(self, self.writers.lock(what, "ListWriter"))
    }

    /// Starts the domain. Called before an element is taken out, so that a panic loses nothing.
    fn start(&self) {
        self.rcu();
    }

    /// Retires a node and all nodes after it, which have just been taken out.
    ///
    /// # Safety
    /// Nothing else frees them.
    unsafe fn retire_all(&self, first: *mut Node<T>) {
        if !first.is_null() {
            // SAFETY: runs after a grace period that starts later (invariant 2); `T` is `Send`.
            unsafe { self.rcu().call_unchecked(move || chain::free_all(first)) };
        }
    }
}

impl<T: Send + Sync + 'static> Holder for Node<T> {
    type Value = T;
    fn value(&self) -> &T {
        &self.value
    }
    fn into_value(self) -> T {
        self.value
    }
}

impl<T: Send + Sync + 'static> Drop for RcuList<T> {
    fn drop(&mut self) {
        // SAFETY: dropping the list takes out all nodes (invariant 2).
        unsafe { self.retire_all(self.head.follow()) };
    }
}

super::sequence_traits!(RcuList);
