//! Lines for the operator. That nobody reads them is no reason to stop.

use std::io::{self, Write};

/// A line to the standard output, at once.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A line to the standard error output.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "route_server: {line}");
}
