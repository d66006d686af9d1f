//! Loading the cache line of an address in advance. A hint: it changes no result, and may do
//! nothing.

pub(crate) use platform::prefetch;

#[cfg(all(target_arch = "x86_64", not(any(rcu_loom, miri))))]
mod platform {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    /// Starts to load the line. Any address will do.
    #[inline(always)]
    pub(crate) fn prefetch<T>(at: *const T) {
        // SAFETY: every x86_64 has the instruction, which does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

#[cfg(all(target_arch = "aarch64", not(any(rcu_loom, miri))))]
mod platform {
    /// As on x86_64.
    #[inline(always)]
    pub(crate) fn prefetch<T>(at: *const T) {
        // SAFETY: every aarch64 has the instruction, which does not fault.
        unsafe {
            std::arch::asm!(
                "prfm pldl1keep, [{}]",
                in(reg) at,
                options(readonly, nostack, preserves_flags)
            );
        }
    }
}

#[cfg(any(rcu_loom, miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod platform {
    pub(crate) fn prefetch<T>(_at: *const T) {}
}
