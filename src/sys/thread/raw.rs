//! Threads in the child of a fork, straight from the system.
//!
//! std's own threads pass a lock of std's when they start and when they end. A thread that a fork left behind there holds it
//! in the child for ever, and every thread that std starts in the child then waits for it.

use crate::sys::gate;
use std::ffi::{CString, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// A thread that was not yet waited for.
#[derive(Debug)]
pub(crate) struct Handle(libc::pthread_t);

struct Start {
    name: CString,
    f: Box<dyn FnOnce() + Send>,
}

pub(super) fn is_needed() -> bool {
    gate::is_child()
}

pub(super) fn spawn(name: String, f: Box<dyn FnOnce() + Send>) -> io::Result<Handle> {
    let name = CString::new(name).unwrap_or_default();
    let start = Box::into_raw(Box::new(Start { name, f }));
    let mut id = std::mem::MaybeUninit::uninit();
    // SAFETY: `main` takes the box over, once, where the thread is started.
    let error = unsafe { libc::pthread_create(id.as_mut_ptr(), ptr::null(), main, start.cast()) };
    if error != 0 {
        // SAFETY: the pointer made above; no thread has it.
        drop(unsafe { Box::from_raw(start) });
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: written where the thread was started.
    Ok(Handle(unsafe { id.assume_init() }))
}

extern "C" fn main(start: *mut c_void) -> *mut c_void {
    // SAFETY: the box that `spawn` gave to this thread.
    let Start { name, f } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    set_name(name);
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        std::process::abort();
    }
    ptr::null_mut()
}

#[cfg(target_os = "linux")]
fn set_name(name: CString) {
    let mut name = name.into_bytes();
    // As much as Linux keeps.
    name.truncate(15);
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: the current thread, and a string that ends.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
}

#[cfg(not(target_os = "linux"))]
fn set_name(_name: CString) {}

impl Handle {
    pub(super) fn join(self) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: neither joined nor detached before, as `self` is consumed.
        unsafe { libc::pthread_join(this.0, ptr::null_mut()) };
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: neither joined nor detached before.
        unsafe { libc::pthread_detach(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn runs_and_is_joined_or_goes_on_by_itself() {
        let (send, received) = mpsc::channel();
        for joined in [true, false] {
            let send = send.clone();
            let thread =
                spawn("raw-test".into(), Box::new(move || send.send(()).unwrap())).unwrap();
            if joined {
                thread.join();
                received.try_recv().unwrap();
            } else {
                drop(thread);
                received.recv().unwrap();
            }
        }
    }
}
