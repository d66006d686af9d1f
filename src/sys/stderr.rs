//! The last resort for a report: standard error.

use std::fmt;

/// Writes a line to standard error. Does nothing if that fails.
pub(crate) fn tell(message: fmt::Arguments<'_>) {
    platform::write(format!("async-rcu: {message}\n").as_bytes());
}

/// Unix: a system call. std takes a lock, which a thread that a fork left behind may hold for ever.
#[cfg(unix)]
mod platform {
    use std::io::{Error, ErrorKind};

    pub(super) fn write(mut line: &[u8]) {
        while !line.is_empty() {
            let (bytes, length) = (line.as_ptr().cast(), line.len());
            // SAFETY: the pointer and the length are those of a slice.
            let written = unsafe { libc::write(libc::STDERR_FILENO, bytes, length) };
            match usize::try_from(written) {
                Ok(0) => return,
                Ok(written) => line = &line[written..],
                Err(_) if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::io::Write;

    pub(super) fn write(line: &[u8]) {
        let _ = std::io::stderr().write_all(line);
    }
}
