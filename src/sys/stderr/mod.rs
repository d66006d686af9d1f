//! The last resort of a report.

use std::fmt;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "std.rs")]
mod platform;

/// Writes a line to standard error; where that cannot be written to, nothing.
pub(crate) fn tell(message: fmt::Arguments<'_>) {
    platform::write(format!("async-rcu: {message}\n").as_bytes());
}
