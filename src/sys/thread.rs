//! Named threads.

#[cfg(all(test, rcu_loom))]
pub(crate) use platform::wait_for_all;
pub(crate) use platform::yield_now;
use std::io;
pub(crate) use std::thread::{Thread, ThreadId, current};

type Body = Box<dyn FnOnce() + Send>;

/// A handle that can wait for a thread. If the handle is dropped, the thread runs on.
#[derive(Debug)]
pub(crate) enum JoinHandle {
    Std(platform::JoinHandle<()>),
    Raw(raw::Handle),
}

impl JoinHandle {
    /// Waits until the thread is gone from the system.
    pub(crate) fn join(self) {
        match self {
            // A panic of the thread is caught within it, or aborts.
            JoinHandle::Std(thread) => drop(thread.join()),
            JoinHandle::Raw(thread) => thread.join(),
        }
    }
}

/// Starts a thread, with this number of bytes for its stack, or with the default. `ps -L` and
/// debuggers show its name (Linux keeps 15 bytes of it).
pub(crate) fn spawn(
    name: String,
    stack: Option<usize>,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle> {
    // `Builder::spawn` panics on a NUL byte in the name, so the name ends there.
    let name = name.split('\0').next().unwrap_or_default().to_owned();
    permit(&name)?;
    let f: Body = Box::new(f);
    if raw::is_needed() {
        return raw::spawn(name, stack, f).map(JoinHandle::Raw);
    }
    platform::spawn(name, stack, f).map(JoinHandle::Std)
}

pub(crate) fn current_name() -> Option<String> {
    current().name().map(str::to_owned)
}

/// Fails on targets that have no threads. Some of them panic if they are asked for the time, so
/// callers ask this first. (On `wasm32-unknown-unknown` std has no threads even with atomics.)
#[cfg(all(target_family = "wasm", any(target_os = "unknown", not(target_feature = "atomics"))))]
pub(crate) fn are_supported() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(all(
    target_family = "wasm",
    any(target_os = "unknown", not(target_feature = "atomics"))
)))]
pub(crate) fn are_supported() -> io::Result<()> {
    Ok(())
}

#[cfg(not(rcu_loom))]
mod platform {
    use super::Body;
    use std::io;
    use std::thread::Builder;
    pub(crate) use std::thread::{JoinHandle, yield_now};

    pub(super) fn spawn(name: String, stack: Option<usize>, f: Body) -> io::Result<JoinHandle<()>> {
        let builder = Builder::new().name(name);
        match stack {
            Some(stack) => builder.stack_size(stack).spawn(f),
            None => builder.spawn(f),
        }
    }
}

/// loom's threads, counted. A model that leaves threads behind waits for their end, since statics
/// end with the model's main thread.
#[cfg(rcu_loom)]
mod platform {
    use super::Body;
    use crate::sys::event::Event;
    use crate::sys::prim::{AtomicUsize, Ordering, statics};
    use std::io;
    use std::sync::Arc;

    pub(super) use loom::thread::JoinHandle;
    pub(crate) use loom::thread::yield_now;

    struct All {
        living: AtomicUsize,
        ended: Event,
    }

    statics! {
        /// Shared, since the last thread may still be in `set` when the waiter goes on.
        static ALL: Arc<All> = Arc::new(All {
            living: AtomicUsize::new(0),
            ended: Event::new(),
        });
    }

    /// The count orders nothing but the thread's end before the model's end.
    pub(super) fn spawn(
        _name: String,
        _stack: Option<usize>,
        f: Body,
    ) -> io::Result<JoinHandle<()>> {
        let all = Arc::clone(&ALL);
        all.living.fetch_add(1, Ordering::Relaxed);
        loom::thread::Builder::new().spawn(move || {
            f();
            if all.living.fetch_sub(1, Ordering::Release) == 1 {
                all.ended.set();
            }
        })
    }

    /// Ends a model: waits until every thread that the crate itself started has ended.
    pub(crate) fn wait_for_all() {
        loop {
            ALL.ended.reset();
            // A plain load might read an old value.
            if ALL.living.fetch_add(0, Ordering::Acquire) == 0 {
                return;
            }
            ALL.ended.wait(None);
        }
    }
}

/// std's threads always work on systems without fork.
#[cfg(not(all(unix, not(rcu_loom))))]
mod raw {
    use super::Body;
    use std::io;

    #[derive(Debug)]
    pub(crate) enum Handle {}

    impl Handle {
        pub(super) fn join(self) {
            match self {}
        }
    }

    pub(super) fn is_needed() -> bool {
        false
    }

    pub(super) fn spawn(_name: String, _stack: Option<usize>, _f: Body) -> io::Result<Handle> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(all(test, not(rcu_loom))))]
#[inline]
fn permit(_name: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, not(rcu_loom)))]
use seam::permit;

/// In unit tests: threads that the system refuses, by name.
#[cfg(all(test, not(rcu_loom)))]
pub(crate) mod seam {
    use std::io;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    static REFUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn refused() -> MutexGuard<'static, Vec<String>> {
        REFUSED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this exists, threads of this name cannot be started.
    #[derive(Debug)]
    pub(crate) struct Refusal(String);

    pub(crate) fn refuse(name: &str) -> Refusal {
        refused().push(name.to_owned());
        Refusal(name.to_owned())
    }

    impl Drop for Refusal {
        fn drop(&mut self) {
            refused().retain(|name| *name != self.0);
        }
    }

    pub(super) fn permit(name: &str) -> io::Result<()> {
        match refused().iter().any(|refused| refused == name) {
            true => Err(io::Error::other("refused by a test")),
            false => Ok(()),
        }
    }
}

/// Threads in the child of a fork, made by `pthread_create`.
///
/// std's threads take a lock of std when they start and when they end. If a fork leaves a thread
/// behind that holds it, then in the child every thread that std starts waits for ever.
#[cfg(all(unix, not(rcu_loom)))]
mod raw {
    use super::Body;
    use crate::sys::gate;
    use crate::sys::unwind::or_abort;
    use std::ffi::{CString, c_void};
    use std::io;
    use std::ptr;

    /// A thread that is neither joined nor detached.
    #[derive(Debug)]
    pub(crate) struct Handle(libc::pthread_t);

    struct Start {
        name: CString,
        f: Body,
    }

    pub(super) fn is_needed() -> bool {
        gate::is_child()
    }

    pub(super) fn spawn(name: String, stack: Option<usize>, f: Body) -> io::Result<Handle> {
        let name = CString::new(name).unwrap_or_default();
        let start = Box::into_raw(Box::new(Start { name, f }));
        let mut id = std::mem::MaybeUninit::uninit();
        // SAFETY: the attributes are initialised before they are used, and then destroyed. If the
        // thread starts, `main` takes the box over, once.
        let error = unsafe {
            let mut attributes = std::mem::MaybeUninit::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            if let Some(stack) = stack {
                // Whole pages. A size that the system refuses leaves the default.
                let stack = stack.checked_next_multiple_of(64 * 1024).unwrap_or(stack);
                libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
            }
            let to = id.as_mut_ptr();
            let error = libc::pthread_create(to, attributes.as_ptr(), main, start.cast());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            error
        };
        if error != 0 {
            // SAFETY: the box made above, which no thread has.
            drop(unsafe { Box::from_raw(start) });
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: `pthread_create` writes the id if it succeeds.
        Ok(Handle(unsafe { id.assume_init() }))
    }

    extern "C" fn main(start: *mut c_void) -> *mut c_void {
        // SAFETY: the box that `spawn` gave to this thread.
        let Start { name, f } = *unsafe { Box::from_raw(start.cast::<Start>()) };
        set_name(name);
        or_abort(f);
        ptr::null_mut()
    }

    #[cfg(target_os = "linux")]
    fn set_name(name: CString) {
        let mut name = name.into_bytes();
        // Linux refuses longer names.
        name.truncate(15);
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the id is the current thread's, and the string ends with a NUL byte.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    }

    #[cfg(not(target_os = "linux"))]
    fn set_name(_name: CString) {}

    impl Handle {
        pub(super) fn join(self) {
            let this = std::mem::ManuallyDrop::new(self);
            // SAFETY: the thread is neither joined nor detached, and `self` is consumed.
            unsafe { libc::pthread_join(this.0, ptr::null_mut()) };
        }
    }

    impl Drop for Handle {
        fn drop(&mut self) {
            // SAFETY: the thread is neither joined nor detached.
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
                let f = Box::new(move || send.send(()).unwrap());
                let thread = spawn("raw-test".into(), Some(1 << 20), f).unwrap();
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
}
