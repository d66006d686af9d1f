//! An allocator that counts the bytes which the process holds, and its allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// The system's allocator, with a count of the bytes held, and of the allocations made.
pub(crate) struct Counting {
    held: AtomicIsize,
    made: AtomicUsize,
}

impl Counting {
    pub(crate) const fn new() -> Self {
        Self { held: AtomicIsize::new(0), made: AtomicUsize::new(0) }
    }

    /// Returns the number of bytes held.
    pub(crate) fn held(&self) -> isize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns the number of allocations made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize, sign: isize) {
        let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
        self.held.fetch_add(sign * bytes, Ordering::Relaxed);
    }
}

// SAFETY: every method passes its arguments on to `System`. Counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), 1);
        self.made.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}
