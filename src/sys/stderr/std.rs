//! By std.

use std::io::Write;

pub(super) fn write(line: &[u8]) {
    let _ = std::io::stderr().write_all(line);
}
