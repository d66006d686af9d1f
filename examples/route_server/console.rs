//! Lines for the operator. An output that is closed does not stop the server.

use std::io::{self, Write};

/// Prints a line to the standard output at once.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints a line to the standard error output.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "route_server: {line}");
}
