//! An allocator that counts the bytes which the process holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, with a count of the bytes held.
pub(crate) struct Counting(AtomicIsize);

impl Counting {
    pub(crate) const fn new() -> Self {
        Self(AtomicIsize::new(0))
    }

    /// Returns the number of bytes held.
    pub(crate) fn held(&self) -> isize {
        self.0.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize, sign: isize) {
        let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
        self.0.fetch_add(sign * bytes, Ordering::Relaxed);
    }
}

// SAFETY: every method passes its arguments on to `System`. Counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}
