//! Debug builds, and the feature `locations`: every section carries a sign of where it was opened and by which task.

use super::Origin;
use crate::sys::prim::{AtomicPtr, AtomicU64, Ordering};
use std::panic::Location;
use std::ptr;
use std::sync::OnceLock;

/// Whether sections carry a sign.
pub(crate) const TRACKED: bool = true;

/// Where the caller is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(&'static Location<'static>);

impl Place {
    #[track_caller]
    #[inline(always)]
    pub(crate) fn here() -> Self {
        Self(Location::caller())
    }
}

/// What a word carries beside its number. Written by whoever opens the section, before the word; read by scans, after it.
#[derive(Debug)]
pub(crate) struct OpenedAt {
    location: AtomicPtr<Location<'static>>,
    /// 0: none.
    task: AtomicU64,
}

impl OpenedAt {
    pub(crate) fn new() -> Self {
        Self {
            location: AtomicPtr::new(ptr::null_mut()),
            task: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn put(&self, place: Place) {
        let location = ptr::from_ref(place.0).cast_mut();
        self.location.store(location, Ordering::Relaxed);
        let task = TASK.get().and_then(|task| task()).unwrap_or(0);
        self.task.store(task, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Origin {
        let location = self.location.load(Ordering::Relaxed);
        Origin {
            // SAFETY: null, or from a `&'static Location`.
            location: unsafe { location.as_ref() },
            task: match self.task.load(Ordering::Relaxed) {
                0 => None,
                task => Some(task),
            },
        }
    }
}

/// Tells the number of the task that runs here.
pub(crate) type TaskSource = fn() -> Option<u64>;

static TASK: OnceLock<TaskSource> = OnceLock::new();

/// Sets who is asked for the current task, once: the floor that knows a runtime.
pub(crate) fn ask_for_tasks(source: TaskSource) {
    let _ = TASK.set(source);
}
