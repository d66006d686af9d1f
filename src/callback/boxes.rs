//! Empty boxes: memory of boxes whose values were dropped in place, to be used again.
//!
//! A box that was freed on another thread than the one that allocates the next one is dear: the two
//! threads meet in the allocator. So the memory travels back instead. The value is dropped where
//! its callback runs, and the empty box goes back with the chunk of the queue that carried the
//! value, to the thread that retired it. [`Stock`](super::stock::Stock) keeps it there for the next
//! value.
//!
//! The idea is that of the sheaves of Linux's slab allocator, which `kfree_rcu` fills.

use std::alloc::{Layout, dealloc};
use std::ptr::NonNull;

/// Larger boxes are freed where the value is dropped.
const LARGEST: usize = 1024;

/// Whether empty boxes may be kept. Checkers that look for uses of freed memory turn this off.
#[cfg(not(rcu_free_boxes))]
const MAY_KEEP: bool = true;
#[cfg(rcu_free_boxes)]
const MAY_KEEP: bool = false;

/// The exact layout of a box: the size, and the logarithm of the alignment in the lowest byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct BoxLayout(usize);

impl BoxLayout {
    /// Returns `None` if the box would not be kept: it has no memory, or very much.
    #[inline(always)]
    pub(crate) const fn of(layout: Layout) -> Option<Self> {
        let (size, align) = (layout.size(), layout.align());
        if !MAY_KEEP || size == 0 || size > LARGEST || align > LARGEST {
            return None;
        }
        Some(Self(size << 8 | align.trailing_zeros() as usize))
    }

    pub(crate) const fn raw(self) -> usize {
        self.0
    }

    /// Makes a layout of what [`raw`](Self::raw) returned.
    pub(crate) const fn from_raw(raw: usize) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn bytes(self) -> usize {
        self.0 >> 8
    }

    const fn layout(self) -> Layout {
        match Layout::from_size_align(self.bytes(), 1 << (self.0 & 0xff)) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }
}

/// The memory of a box without a value.
#[derive(Debug)]
pub(crate) struct EmptyBox {
    pub(crate) at: NonNull<u8>,
    pub(crate) layout: BoxLayout,
}

impl EmptyBox {
    /// Gives the memory back to the allocator.
    pub(crate) fn free(self) {
        // SAFETY: the memory came from a box of exactly this layout, and is owned.
        unsafe { dealloc(self.at.as_ptr(), self.layout.layout()) }
    }
}

#[cfg(all(test, not(rcu_loom), not(rcu_free_boxes)))]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_apart_exactly() {
        let of = |size, align| BoxLayout::of(Layout::from_size_align(size, align).unwrap());
        for (size, align) in [(1, 1), (24, 8), (1024, 1024), (1024, 1)] {
            let layout = of(size, align).unwrap();
            assert_eq!(layout.layout(), Layout::from_size_align(size, align).unwrap());
        }
        assert_ne!(of(24, 8), of(24, 4));
        assert_eq!((of(0, 1), of(1025, 1), of(8, 2048)), (None, None, None));
    }
}
