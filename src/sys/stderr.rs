//! The last resort of a report.

use std::fmt;
use std::io::Write;

/// Writes a line to standard error; where that cannot be written to, nothing.
pub(crate) fn tell(message: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "async-rcu: {message}");
}
