//! Where a section was opened, and by which task. Kept in debug builds and with the feature
//! `locations`; in other builds the types are empty.

use std::panic::Location;

#[cfg(not(all(any(debug_assertions, feature = "locations"), not(rcu_loom))))]
pub(crate) use empty::{CallSite, OpenedAt, TRACKED, set_task_source};
#[cfg(all(any(debug_assertions, feature = "locations"), not(rcu_loom)))]
pub(crate) use tracked::{CallSite, OpenedAt, TRACKED, set_task_source};

/// Where a section was opened, for reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opening {
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) task: Option<u64>,
}

/// Returns the number of the task that the current thread runs.
pub(crate) type TaskSource = fn() -> Option<u64>;

#[cfg(all(any(debug_assertions, feature = "locations"), not(rcu_loom)))]
mod tracked {
    use super::{Opening, TaskSource};
    use crate::sys::prim::{AtomicPtr, AtomicU64, Ordering};
    use std::panic::Location;
    use std::ptr;
    use std::sync::OnceLock;

    /// Whether this build keeps where sections were opened.
    pub(crate) const TRACKED: bool = true;

    /// The caller's line of code.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct CallSite(&'static Location<'static>);

    impl CallSite {
        #[track_caller]
        #[inline(always)]
        pub(crate) fn current() -> Self {
            Self(Location::caller())
        }
    }

    /// Where the section of a word was opened. The thread that opens the section writes this before
    /// the word, and scans read it after the word.
    #[derive(Debug)]
    pub(crate) struct OpenedAt {
        location: AtomicPtr<Location<'static>>,
        /// 0 if there is no task.
        task: AtomicU64,
    }

    impl OpenedAt {
        pub(crate) fn new() -> Self {
            Self { location: AtomicPtr::new(ptr::null_mut()), task: AtomicU64::new(0) }
        }

        #[inline]
        pub(crate) fn set(&self, site: CallSite) {
            let location = ptr::from_ref(site.0).cast_mut();
            self.location.store(location, Ordering::Relaxed);
            let task = TASK.get().and_then(|task| task()).unwrap_or(0);
            self.task.store(task, Ordering::Relaxed);
        }

        pub(crate) fn get(&self) -> Opening {
            let location = self.location.load(Ordering::Relaxed);
            Opening {
                // SAFETY: the pointer is null, or comes from a `&'static Location`.
                location: unsafe { location.as_ref() },
                task: match self.task.load(Ordering::Relaxed) {
                    0 => None,
                    task => Some(task),
                },
            }
        }
    }

    static TASK: OnceLock<TaskSource> = OnceLock::new();

    /// Sets the function that returns the current task. Only the first call counts.
    pub(crate) fn set_task_source(source: TaskSource) {
        let _ = TASK.set(source);
    }
}

#[cfg(not(all(any(debug_assertions, feature = "locations"), not(rcu_loom))))]
mod empty {
    use super::{Opening, TaskSource};

    pub(crate) const TRACKED: bool = false;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct CallSite;

    impl CallSite {
        #[inline(always)]
        pub(crate) fn current() -> Self {
            Self
        }
    }

    #[derive(Debug)]
    pub(crate) struct OpenedAt;

    impl OpenedAt {
        pub(crate) fn new() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn set(&self, _site: CallSite) {}

        pub(crate) fn get(&self) -> Opening {
            Opening::default()
        }
    }

    pub(crate) fn set_task_source(_source: TaskSource) {}
}
