//! Windows: `FlushProcessWriteBuffers`, which cannot fail.

use super::MemoryBarrier;
use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

pub(super) fn register() -> MemoryBarrier {
    MemoryBarrier::FlushProcessWriteBuffers
}

/// A full barrier on every processor that runs a thread of this process.
pub(super) fn barrier() {
    // SAFETY: takes nothing, and has no precondition.
    unsafe { FlushProcessWriteBuffers() }
}
