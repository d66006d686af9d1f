//! Which record the current thread has in a domain.
//!
//! Two tables, both of the thread. `CACHE` has no destructor and two places: the last two domains used, told apart by the
//! address of their hub. `MINE` owns the thread's records, of every domain; when the thread ends its destructor gives them
//! all up and shuts the cache, and from then on [`find`] hands out *temporary* records, which the caller gives
//! up at once (an orphan is not used again before what was opened or queued in it has ended).
//!
//! A cached address cannot be that of a newer domain on the same hub: the hub is used again only when this thread has
//! given its record up, and that takes it out of the cache.

use super::hub::Hub;
use super::registry::{Core, Local, Record};
use crate::sys::prim::thread_local;
use std::cell::{Cell, RefCell};
use std::ptr;

/// A thread's record in some domain, whatever that keeps in it.
trait Given {
    fn hub(&self) -> &'static Hub;
    fn address(&'static self) -> *const ();
    fn is_idle(&self) -> bool;
    /// # Safety
    /// As [`Record::orphan`].
    unsafe fn give_up(&'static self);
}

impl<L: Local> Given for Record<L> {
    fn hub(&self) -> &'static Hub {
        Record::hub(self)
    }
    fn address(&'static self) -> *const () {
        ptr::from_ref(self).cast()
    }
    fn is_idle(&self) -> bool {
        Record::is_idle(self)
    }
    unsafe fn give_up(&'static self) {
        // SAFETY: passed on.
        unsafe { self.orphan() }
    }
}

#[derive(Clone, Copy)]
struct Place {
    hub: *const Hub,
    record: *const (),
}

const EMPTY: Place = Place {
    hub: ptr::null(),
    record: ptr::null(),
};

struct Mine(RefCell<Vec<&'static dyn Given>>);

impl Drop for Mine {
    fn drop(&mut self) {
        forget_cached(|_| true);
        for record in self.0.get_mut().drain(..) {
            // SAFETY: the thread's own; nothing finds it any more: the cache is shut and this table is going.
            unsafe { record.give_up() }
        }
    }
}

thread_local! {
    static CACHE: [Cell<Place>; 2] = const { [Cell::new(EMPTY), Cell::new(EMPTY)] };
    static MINE: Mine = const { Mine(RefCell::new(Vec::new())) };
}

fn forget_cached(which: impl Fn(*const Hub) -> bool) {
    // It has no destructor: it is there at any time. (Not so under loom.)
    let _ = CACHE.try_with(|cache| {
        for place in cache {
            if which(place.get().hub) {
                place.set(EMPTY);
            }
        }
    });
}

/// The current thread's record, where the cache has it. `hub` is the core's: the caller has it at hand, and the core itself
/// need not be looked at.
#[inline(always)]
pub(crate) fn cached<L: Local>(
    hub: &'static Hub,
    _core: &'static Core<L>,
) -> Option<&'static Record<L>> {
    let hub = hub.id();
    CACHE.with(|[first, second]| {
        let place = first.get();
        let record = if ptr::eq(place.hub, hub) {
            place.record
        } else {
            let place = second.get();
            if !ptr::eq(place.hub, hub) {
                return None;
            }
            place.record
        };
        // SAFETY: put there by `remember` as this thread's record under this hub; a hub belongs to one core for ever,
        // and a core's records are all `Record<L>` of its own `L`, and never freed.
        Some(unsafe { &*record.cast::<Record<L>>() })
    })
}

/// A record that the current thread may use.
#[derive(Debug)]
pub(crate) enum Found<L: Local> {
    /// The thread's own, until it ends.
    Mine(&'static Record<L>),
    /// The thread is past its end. Open or queue one thing in it, then call [`Record::orphan`].
    Temporary(&'static Record<L>),
}

/// The current thread's record, registered now where it has none.
#[cold]
pub(crate) fn find<L: Local>(core: &'static Core<L>) -> Found<L> {
    if let Some(record) = known(core) {
        remember(core.hub, record);
        return Found::Mine(record);
    }
    let record = core.acquire();
    let kept = MINE.try_with(|mine| {
        let mut mine = mine.0.borrow_mut();
        // The first record of a domain that a thread registers anywhere is the time to let go of those that are over.
        mine.retain(|old| {
            let over = old.hub().is_ended() && old.is_idle();
            if over {
                forget_cached(|hub| ptr::eq(hub, old.hub()));
                // SAFETY: the thread's own; it leaves both tables here.
                unsafe { old.give_up() };
            }
            !over
        });
        mine.push(record);
    });
    match kept {
        Ok(()) => {
            remember(core.hub, record);
            Found::Mine(record)
        }
        Err(_) => Found::Temporary(record),
    }
}

/// The current thread's record where it has one; registers nothing.
pub(crate) fn known<L: Local>(core: &'static Core<L>) -> Option<&'static Record<L>> {
    if let Some(record) = cached(core.hub, core) {
        return Some(record);
    }
    let address = MINE
        .try_with(|mine| {
            let mine = mine.0.borrow();
            mine.iter()
                .find(|record| ptr::eq(record.hub(), core.hub))
                .map(|record| record.address())
        })
        .ok()??;
    // SAFETY: as in `cached`.
    Some(unsafe { &*address.cast::<Record<L>>() })
}

/// Puts a record in the first place of the cache, and what was there in the second.
fn remember<L: Local>(hub: &'static Hub, record: &'static Record<L>) {
    CACHE.with(|[first, second]| {
        if !ptr::eq(first.get().hub, hub) {
            second.set(first.get());
        }
        first.set(Place {
            hub: hub.id(),
            record: ptr::from_ref(record).cast(),
        });
    });
}

/// Gives up the current thread's record of `core` if nothing is open or queued there.
pub(crate) fn give_up_if_idle<L: Local>(core: &'static Core<L>) {
    let _ = MINE.try_with(|mine| {
        mine.0.borrow_mut().retain(|record| {
            let go = ptr::eq(record.hub(), core.hub) && record.is_idle();
            if go {
                forget_cached(|hub| ptr::eq(hub, core.hub));
                // SAFETY: the thread's own; it leaves both tables here.
                unsafe { record.give_up() };
            }
            !go
        });
    });
}
