//! The current thread's records.
//!
//! Each thread has two tables. `OWN` holds the thread's records of all domains. `CACHE` holds those
//! of the last two domains that the thread used, and has no destructor. When the thread ends, the
//! destructor of `OWN` gives all its records up and empties the cache. From then on [`find`]
//! returns *temporary* records, which are given up at once. (A record that was given up stays
//! unused until its sections and callbacks have ended.)
//!
//! The cache finds a record by the address of its registry. The record cannot be one of an earlier
//! domain with that registry: a registry serves another domain only after this thread has given its
//! record up, which empties the cached entry.

use super::record::Record;
use super::registry::Registry;
use crate::sys::prim::thread_local;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::ptr;

#[derive(Clone, Copy)]
struct Entry {
    registry: *const Registry,
    record: *const Record,
}

const EMPTY: Entry = Entry { registry: ptr::null(), record: ptr::null() };

/// By the addresses of the registries.
struct Own(RefCell<BTreeMap<usize, (&'static Registry, &'static Record)>>);

impl Own {
    /// Gives up the records for which `over` returns `true`.
    fn give_up(&self, over: impl Fn(&'static Registry, &'static Record) -> bool) {
        self.0.borrow_mut().retain(|_, &mut (registry, record)| {
            let over = over(registry, record);
            if over {
                remove_cached(|cached| ptr::eq(cached, registry));
                // SAFETY: the record belongs to this thread, and leaves both tables here.
                unsafe { registry.orphan(record) };
            }
            !over
        });
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        remove_cached(|_| true);
        for (registry, record) in mem::take(self.0.get_mut()).into_values() {
            // SAFETY: the record belongs to this thread, and is in no table any more.
            unsafe { registry.orphan(record) }
        }
    }
}

thread_local! {
    static CACHE: [Cell<Entry>; 2] = const { [Cell::new(EMPTY), Cell::new(EMPTY)] };
    static OWN: Own = const { Own(RefCell::new(BTreeMap::new())) };
}

fn remove_cached(is_over: impl Fn(*const Registry) -> bool) {
    // The cache has no destructor, so this fails under loom only.
    let _ = CACHE.try_with(|cache| {
        for entry in cache {
            if is_over(entry.get().registry) {
                entry.set(EMPTY);
            }
        }
    });
}

/// Returns the current thread's record if the cache has it.
#[inline(always)]
pub(crate) fn cached(registry: &'static Registry) -> Option<&'static Record> {
    CACHE.with(|[first, second]| {
        let entry = first.get();
        let record = if ptr::eq(entry.registry, registry) {
            entry.record
        } else {
            let entry = second.get();
            if !ptr::eq(entry.registry, registry) {
                return None;
            }
            entry.record
        };
        // SAFETY: `remember` put a record there, and records are never freed.
        Some(unsafe { &*record })
    })
}

/// A record that the current thread may use. Its drop gives a temporary one up.
pub(crate) struct Found {
    registry: &'static Registry,
    pub(crate) record: &'static Record,
    temporary: bool,
}

impl Drop for Found {
    fn drop(&mut self) {
        if self.temporary {
            // SAFETY: the record belongs to this thread, and is in no table.
            unsafe { self.registry.orphan(self.record) };
        }
    }
}

/// Returns the current thread's record, and registers the thread if it has none.
#[cold]
pub(crate) fn find(registry: &'static Registry) -> Found {
    let found = |record, temporary| Found { registry, record, temporary };
    if let Some(record) = known(registry) {
        remember(registry, record);
        return found(record, false);
    }
    let record = registry.acquire();
    let is_own = OWN.try_with(|own| {
        // The thread also gives up its records of domains that have ended.
        own.give_up(|registry, record| registry.is_ended() && record.is_idle());
        own.0.borrow_mut().insert(ptr::from_ref(registry).addr(), (registry, record));
    });
    if is_own.is_ok() {
        remember(registry, record);
    }
    found(record, is_own.is_err())
}

/// Returns the current thread's record if it has one.
pub(crate) fn known(registry: &'static Registry) -> Option<&'static Record> {
    cached(registry).or_else(|| {
        let find = |own: &Own| {
            let records = own.0.borrow();
            records.get(&ptr::from_ref(registry).addr()).map(|(_, record)| *record)
        };
        OWN.try_with(find).ok()?
    })
}

/// Returns whether the current thread is inside a section of its own, in any domain.
pub(crate) fn is_reading() -> bool {
    let any = |own: &Own| own.0.borrow().values().any(|(_, record)| record.is_reading());
    OWN.try_with(any).unwrap_or(true)
}

/// Puts a record first in the cache. The record that was first becomes the second.
fn remember(registry: &'static Registry, record: &'static Record) {
    CACHE.with(|[first, second]| {
        if !ptr::eq(first.get().registry, registry) {
            second.set(first.get());
        }
        first.set(Entry { registry, record });
    });
}

/// Gives up the current thread's record if no section is open and no callback unfinished in it.
pub(crate) fn give_up_if_idle(registry: &'static Registry) {
    let _ = OWN.try_with(|own| {
        own.give_up(|other, record| ptr::eq(other, registry) && record.is_idle());
    });
}
