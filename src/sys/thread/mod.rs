//! Named threads.

use std::io;

#[cfg_attr(all(unix, not(rcu_loom)), path = "raw.rs")]
#[cfg_attr(not(all(unix, not(rcu_loom))), path = "no_raw.rs")]
mod raw;
#[cfg_attr(all(test, not(rcu_loom)), path = "seam.rs")]
#[cfg_attr(not(all(test, not(rcu_loom))), path = "no_seam.rs")]
pub(crate) mod seam;
// `wasm32-unknown-unknown` has none of std's threads, with atomics neither.
#[cfg_attr(
    all(
        target_family = "wasm",
        any(target_os = "unknown", not(target_feature = "atomics"))
    ),
    path = "no_support.rs"
)]
mod support;

/// An error on targets that have no threads at all: to be asked before anything that asks for the time.
pub(crate) use support::are_supported;

#[cfg_attr(not(rcu_loom), path = "native.rs")]
#[cfg_attr(rcu_loom, path = "loom.rs")]
mod platform;

#[cfg(all(test, rcu_loom))]
pub(crate) use platform::wait_for_all;
pub(crate) use platform::yield_now;
pub(crate) use std::thread::{Thread, ThreadId, current};

/// A thread that may be waited for. Dropped, it goes on by itself.
#[derive(Debug)]
pub(crate) enum JoinHandle {
    Std(platform::JoinHandle<()>),
    Raw(raw::Handle),
}

impl JoinHandle {
    /// Waits until the system has forgotten the thread.
    pub(crate) fn join(self) {
        match self {
            // Its panics are caught within, or abort.
            JoinHandle::Std(thread) => drop(thread.join()),
            JoinHandle::Raw(thread) => thread.join(),
        }
    }
}

/// Starts a thread. Its name is what `ps -L` and a debugger show (Linux keeps 15 bytes of it).
pub(crate) fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle> {
    // `Builder::spawn` panics on a NUL byte in the name: the part before it will do.
    let name = name.split('\0').next().unwrap_or_default().to_owned();
    seam::permit(&name)?;
    if raw::is_needed() {
        return raw::spawn(name, Box::new(f)).map(JoinHandle::Raw);
    }
    let thread = platform::Builder::new().name(name).spawn(f)?;
    Ok(JoinHandle::Std(thread))
}

/// The name of the current thread, for reports.
pub(crate) fn current_name() -> Option<String> {
    current().name().map(str::to_owned)
}
