//! The clock that a node measures its lease by.

use std::time::Duration;

/// Time since the machine was started. It is never set, and goes on while the machine sleeps: `std::time::Instant` does not
/// on Linux, and a laptop's lid would make an ended lease look young. The same for all processes of one machine, so what
/// they report can be compared.
pub fn now() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    // Both parts of a clock that counts from the start are positive, and the second is below a second.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
