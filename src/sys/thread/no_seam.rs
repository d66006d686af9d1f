//! Nothing stands between us and the system.

use std::io;

#[inline]
pub(super) fn permit(_name: &str) -> io::Result<()> {
    Ok(())
}
