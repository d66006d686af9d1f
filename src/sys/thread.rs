//! Named threads.

use std::io;

pub(crate) use std::thread::{JoinHandle, Thread, ThreadId, current, yield_now};

/// Starts a thread. Its name is what `ps -L` and a debugger show (Linux keeps 15 bytes of it).
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // `Builder::spawn` panics on a NUL byte in the name: the part before it will do.
    let name = name.split('\0').next().unwrap_or_default().to_owned();
    std::thread::Builder::new().name(name).spawn(f)
}

/// The name of the current thread, for reports.
pub(crate) fn current_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}
