//! Linux: `membarrier(2)`, private and expedited.

use super::MemoryBarrier;
use crate::sys::stderr::tell;
use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier};

/// Registers the process for the expedited command, and tries it once.
pub(super) fn register() -> MemoryBarrier {
    let registered = membarrier(MembarrierCommand::RegisterPrivateExpedited)
        .and_then(|()| membarrier(MembarrierCommand::PrivateExpedited));
    match registered {
        Ok(()) => MemoryBarrier::Membarrier,
        Err(_) => MemoryBarrier::Fence,
    }
}

/// A full barrier on every processor that runs a thread of this process.
pub(super) fn barrier() {
    loop {
        match membarrier(MembarrierCommand::PrivateExpedited) {
            Ok(()) => return,
            // The kernel wants a processor mask and has no memory for it just now.
            Err(Errno::NOMEM) => std::thread::yield_now(),
            Err(error) => {
                tell(format_args!(
                    "membarrier, granted at start, now fails ({error}): readers run without fences, so no grace period could be trusted; aborting"
                ));
                std::process::abort();
            }
        }
    }
}
