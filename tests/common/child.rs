//! The end of a forked child.

/// Leaves the child without running anything of the parent's. Where coverage is measured, writes first what it has reached, which
/// the process's end would do otherwise.
#[cfg(unix)]
pub(crate) fn leave(failed: bool) -> ! {
    #[cfg(coverage)]
    {
        unsafe extern "C" {
            fn __llvm_profile_write_file() -> libc::c_int;
        }
        // SAFETY: of the instrumentation's runtime; takes no arguments, and locks its file.
        unsafe { __llvm_profile_write_file() };
    }
    // SAFETY: allowed at any time.
    unsafe { libc::_exit(i32::from(failed)) }
}
