//! There are threads, and a clock.

use std::io;

pub(crate) fn are_supported() -> io::Result<()> {
    Ok(())
}
