//! WebAssembly without threads: starting one would fail, and some of these targets panic where they are asked for the time.

use std::io;

pub(crate) fn are_supported() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
