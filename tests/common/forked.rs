//! Children of `fork` that run a part of a test.
#![cfg(unix)]

use super::HANG_GUARD;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The seconds after which a signal kills a child that hangs: more than the child's own waits take.
pub(crate) const ALARM: u32 = 2 * HANG_GUARD.as_secs() as u32;

/// Runs `child` in a forked child. Fails if `child` panics or hangs.
#[track_caller]
pub(crate) fn fork(child: impl FnOnce()) {
    wait(begin(child));
}

/// Starts `child` in a forked child and returns the child's process id.
pub(crate) fn begin(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child does only what the crate and the C library allow in a forked child.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: `alarm` is allowed at any time. Its signal kills a child that hangs.
            unsafe { libc::alarm(ALARM) };
            leave(catch_unwind(AssertUnwindSafe(child)).is_err())
        }
        pid => pid,
    }
}

/// Waits for a child and fails if the child has failed or was killed.
#[track_caller]
pub(crate) fn wait(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `pid` is a child of this process, and `status` outlives the call.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid);
    assert_eq!(status, 0, "the child failed, or hung until a signal killed it");
}

/// Ends the child without running exit handlers of the parent. A coverage build first writes its
/// counters, which such a handler would do.
pub(crate) fn leave(failed: bool) -> ! {
    #[cfg(coverage)]
    {
        unsafe extern "C" {
            fn __llvm_profile_write_file() -> libc::c_int;
        }
        // SAFETY: the instrumentation's runtime defines the function, which takes no arguments and
        // locks its file.
        unsafe { __llvm_profile_write_file() };
    }
    // SAFETY: `_exit` is allowed at any time.
    unsafe { libc::_exit(i32::from(failed)) }
}
