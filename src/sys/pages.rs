//! Large pages for large blocks of memory. With small pages, most random accesses to such a block
//! wait for the page table, too. Not for loom, whose tables are small.

pub(crate) use platform::prefer_large_pages;

#[cfg(all(target_os = "linux", not(miri)))]
mod platform {
    /// Smaller blocks have no more than a few large pages, which are of 2 MiB mostly.
    const LARGE: usize = 8 << 20;
    /// A multiple of the size of a small page, which is 4, 16 or 64 KiB.
    const SMALL_PAGE: usize = 64 << 10;

    /// Asks for large pages for a block that has not been used yet, if it is large. Does nothing on
    /// a system that has none, or whose owner has turned them off.
    pub(crate) fn prefer_large_pages(first: *mut u8, bytes: usize) {
        if bytes < LARGE {
            return;
        }
        // Whole pages of the block only: what else lies in the others is not ours.
        let skipped = first.align_offset(SMALL_PAGE);
        let bytes = (bytes - skipped) & !(SMALL_PAGE - 1);
        let first = first.wrapping_add(skipped);
        // SAFETY: this advice changes no contents, whatever the pages hold. Errors change nothing.
        unsafe { libc::madvise(first.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(any(not(target_os = "linux"), miri))]
mod platform {
    pub(crate) fn prefer_large_pages(_first: *mut u8, _bytes: usize) {}
}
