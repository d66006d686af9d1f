//! Windows: `WaitOnAddress`.

use crate::sys::prim::AtomicU32;
use std::time::Duration;
use windows_sys::Win32::System::Threading::{INFINITE, WaitOnAddress, WakeByAddressSingle};

#[derive(Debug, Default)]
pub(in crate::sys) struct Park;

impl Park {
    pub(in crate::sys) const fn new() -> Self {
        Self
    }

    pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
        // Whole milliseconds, rounded up, so that a short time does not become a busy loop.
        let millis = timeout.map_or(INFINITE, |d| {
            u32::try_from(d.as_nanos().div_ceil(1_000_000))
                .map_or(INFINITE - 1, |m| m.min(INFINITE - 1))
        });
        // SAFETY: both addresses are of four valid bytes for the whole call.
        unsafe {
            WaitOnAddress(word.as_ptr().cast(), (&raw const value).cast(), 4, millis);
        }
    }

    pub(in crate::sys) fn wake(&self, word: &AtomicU32) {
        // SAFETY: the address is only compared, never read.
        unsafe { WakeByAddressSingle(word.as_ptr().cast()) }
    }
}
