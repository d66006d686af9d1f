//! Linux: a private futex.

use crate::sys::prim::AtomicU32;
use rustix::thread::futex::{self, Flags, Timespec};
use std::time::Duration;

#[derive(Debug, Default)]
pub(in crate::sys) struct Park;

impl Park {
    pub(in crate::sys) const fn new() -> Self {
        Self
    }

    pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
        // A time that does not fit is for ever.
        let timeout = timeout.and_then(|d| {
            Some(Timespec {
                tv_sec: d.as_secs().try_into().ok()?,
                tv_nsec: d.subsec_nanos().into(),
            })
        });
        // Changed already, interrupted, over: for all of them the caller looks at the word again.
        let _ = futex::wait(word, Flags::PRIVATE, value, timeout.as_ref());
    }

    pub(in crate::sys) fn wake(&self, word: &AtomicU32) {
        let _ = futex::wake(word, Flags::PRIVATE, 1);
    }
}
