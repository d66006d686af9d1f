//! A walk along a list.

use super::super::chain::Node;
use std::fmt;
use std::iter::FusedIterator;

/// A walk along an [`RcuList`](crate::RcuList) from its front, bound to the guard. Each step
/// follows the link as it is then. From [`RcuList::iter`](crate::RcuList::iter). The walk may be
/// sent to another thread while the guard lives.
///
/// ```
/// use async_rcu::{Rcu, RcuList};
/// let list: RcuList<u32> = (1..=4).collect();
/// let guard = Rcu::global().read();
/// let even: Vec<_> = list.iter(&guard).filter(|n| **n % 2 == 0).collect();
/// assert_eq!(even, [&2, &4]);
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct ListIter<'g, T> {
    /// The node before the next step, or the first node if `passed` is `false`. The section
    /// protects it for `'g`, by the invariants of the list. This is not a link, since the list may
    /// be dropped first.
    at: Option<&'g Node<T>>,
    passed: bool,
    /// The highest number when the walk began.
    end: u64,
}

impl<'g, T> ListIter<'g, T> {
    pub(super) fn from(first: Option<&'g Node<T>>, end: u64) -> Self {
        Self { at: first, passed: false, end }
    }
}

impl<'g, T> Iterator for ListIter<'g, T> {
    type Item = &'g T;

    #[inline]
    fn next(&mut self) -> Option<&'g T> {
        if self.passed {
            let link = &self.at?.next;
            // SAFETY: null, or a node that lives as long as the section that reached the node
            // before it: "A reader on a removed node" in `chain`.
            self.at = unsafe { link.follow().as_ref::<'g>() };
        }
        self.passed = true;
        self.at = self.at.filter(|node| node.number <= self.end);
        Some(&self.at?.value)
    }
}

impl<T> FusedIterator for ListIter<'_, T> {}

impl<T> Clone for ListIter<'_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T: fmt::Debug> fmt::Debug for ListIter<'_, T> {
    /// Shows what is left of the walk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
