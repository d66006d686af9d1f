//! A walk along a list.

use super::super::chain::Node;
use std::fmt;
use std::iter::FusedIterator;

/// A walk along an [`RcuList`](crate::RcuList), from its front, bound to the guard that it reads under. From
/// [`RcuList::iter`](crate::RcuList::iter).
///
/// It goes on by the links as they are when it steps. It may be sent where the guard's reference may be kept.
///
/// ```
/// use async_rcu::{Rcu, RcuList};
/// let list: RcuList<u32> = (1..=4).collect();
/// let guard = Rcu::global().read();
/// let even: Vec<_> = list.iter(&guard).filter(|n| **n % 2 == 0).collect();
/// assert_eq!(even, [&2, &4]);
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct ListIter<'g, T>(At<'g, T>);

/// All references are to nodes that sections protect for `'g`, by the invariants of the list.
enum At<'g, T> {
    /// Before this one: the first when the walk began. No link, which is the list's and may be gone before the guard.
    Before(&'g Node<T>),
    /// Behind this one.
    Behind(&'g Node<T>),
    End,
}

impl<'g, T> ListIter<'g, T> {
    pub(super) fn from(first: Option<&'g Node<T>>) -> Self {
        Self(first.map_or(At::End, At::Before))
    }
}

impl<'g, T> Iterator for ListIter<'g, T> {
    type Item = &'g T;

    #[inline]
    fn next(&mut self) -> Option<&'g T> {
        let node = match self.0 {
            At::Before(node) => node,
            At::Behind(node) => {
                // SAFETY: null, or a node that is there as long as the section in which its forerunner was reached:
                // "A reader on a removed node" in `chain`.
                let Some(next) = (unsafe { node.next.follow().as_ref::<'g>() }) else {
                    self.0 = At::End;
                    return None;
                };
                next
            }
            At::End => return None,
        };
        self.0 = At::Behind(node);
        Some(&node.value)
    }
}

impl<T> FusedIterator for ListIter<'_, T> {}

impl<T> Clone for ListIter<'_, T> {
    fn clone(&self) -> Self {
        Self(match self.0 {
            At::Before(node) => At::Before(node),
            At::Behind(node) => At::Behind(node),
            At::End => At::End,
        })
    }
}

impl<T: fmt::Debug> fmt::Debug for ListIter<'_, T> {
    /// What is left of the walk, as it stands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
