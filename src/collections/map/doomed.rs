//! Many entries on their way to be freed, by one callback.
//!
//! Dropping keys and values is foreign code. Where one panics, the callback ends, and is counted and reported as a callback
//! that panicked; what is left goes into a callback of its own.

use super::entry::Entry;
use crate::Rcu;
use std::ptr::NonNull;

/// Entries that were taken out of the map and are nobody else's. Dropping it, wherever that happens, has what is left freed
/// after a grace period.
pub(super) struct Doomed<I: Entries> {
    rcu: Rcu,
    /// `None`: all are freed.
    left: Option<I>,
}

/// Where they come from. Each is given out once, and is then the caller's to free.
pub(super) trait Entries:
    Iterator<Item = NonNull<Entry<Self::Key, Self::Value>>> + Send + 'static
{
    type Key: Send + Sync + 'static;
    type Value: Send + Sync + 'static;
}

impl<I: Entries> Doomed<I> {
    /// # Safety
    /// What `entries` gives out was taken out of a map of `rcu`, or is taken out before this is dropped; nobody else frees
    /// it.
    pub(super) unsafe fn new(rcu: &Rcu, entries: I) -> Self {
        Self {
            rcu: rcu.clone(),
            left: Some(entries),
        }
    }

    /// Frees them all: behind the grace period.
    fn free(mut self) {
        while let Some(entry) = self.left.as_mut().and_then(Iterator::next) {
            // SAFETY: from a box, given out once, and no reader is left: this runs after a grace period that began after
            // it was taken out.
            drop(unsafe { Box::from_raw(entry.as_ptr()) });
        }
        self.left = None;
    }
}

impl<I: Entries> Drop for Doomed<I> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            let rest = Self {
                rcu: self.rcu.clone(),
                left: Some(left),
            };
            self.rcu.call(move || rest.free());
        }
    }
}

/// Entries one by one, as they are taken out.
pub(super) struct Taken<K, V>(Vec<NonNull<Entry<K, V>>>);

// SAFETY: the only owner of keys and values that may be sent.
unsafe impl<K: Send, V: Send> Send for Taken<K, V> {}

impl<K, V> Taken<K, V> {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Iterator for Taken<K, V> {
    type Item = NonNull<Entry<K, V>>;
    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop()
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Doomed<Taken<K, V>> {
    /// One more.
    pub(super) fn push(&mut self, entry: NonNull<Entry<K, V>>) {
        if let Some(Taken(entries)) = &mut self.left {
            entries.push(entry);
        }
    }
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Entries for Taken<K, V> {
    type Key = K;
    type Value = V;
}

impl<K: Send + Sync + 'static, V: Send + Sync + 'static> Entries
    for super::raw::teardown::Teardown<Entry<K, V>>
{
    type Key = K;
    type Value = V;
}
