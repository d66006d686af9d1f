//! Sleeping until a 32-bit word has changed.
//!
//! `Park::wait(word, value, timeout)` returns when the word no longer holds `value`, when the time
//! is over, or for no reason. If the word changed before a `wake`, and that `wake` comes before or
//! during the wait, then the wait returns. `Park::wake(word)` wakes the one sleeper. Neither orders
//! memory: the operations on the word do.

pub(super) use platform::Park;

/// Linux: a private futex.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(rcu_loom, rcu_portable))))]
mod platform {
    use crate::sys::prim::AtomicU32;
    use rustix::thread::futex::{self, Flags, Timespec};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(in crate::sys) struct Park;

    impl Park {
        pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
            // A timeout too long for a `Timespec` means for ever.
            let timeout = timeout.and_then(|d| {
                Some(Timespec {
                    tv_sec: d.as_secs().try_into().ok()?,
                    tv_nsec: d.subsec_nanos().into(),
                })
            });
            // Whatever the result, the caller looks at the word again.
            let _ = futex::wait(word, Flags::PRIVATE, value, timeout.as_ref());
        }

        pub(in crate::sys) fn wake(&self, word: &AtomicU32) {
            let _ = futex::wake(word, Flags::PRIVATE, 1);
        }
    }
}

/// Windows: `WaitOnAddress`.
#[cfg(all(windows, not(any(rcu_loom, rcu_portable))))]
mod platform {
    use crate::sys::prim::AtomicU32;
    use std::time::Duration;
    use windows_sys::Win32::System::Threading::{INFINITE, WaitOnAddress, WakeByAddressSingle};

    #[derive(Debug, Default)]
    pub(in crate::sys) struct Park;

    impl Park {
        pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
            // Milliseconds, rounded up, so that a short time does not become a busy loop.
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
}

/// Elsewhere, and under loom: a lock and a condition variable. (loom ignores the timeout.)
#[cfg(any(rcu_loom, rcu_portable, not(any(target_os = "linux", target_os = "android", windows))))]
mod platform {
    use crate::sys::prim::{AtomicU32, Condvar, LongMutex, Ordering};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(in crate::sys) struct Park {
        lock: LongMutex<()>,
        changed: Condvar,
    }

    impl Park {
        pub(in crate::sys) fn wait(&self, word: &AtomicU32, value: u32, timeout: Option<Duration>) {
            let guard = self.lock.lock();
            if word.load(Ordering::Relaxed) != value {
                return;
            }
            match timeout {
                None => drop(self.changed.wait(guard)),
                Some(timeout) => drop(self.changed.wait_timeout(guard, timeout)),
            }
        }

        pub(in crate::sys) fn wake(&self, _word: &AtomicU32) {
            // The lock closes the gap between the sleeper's look at the word and its sleep.
            drop(self.lock.lock());
            self.changed.notify_one();
        }
    }
}
