//! The clock of a node's lease.

use std::time::Duration;

/// Returns the time since the machine was started. This clock cannot be set, and it goes on while
/// the machine sleeps. On Linux `std::time::Instant` stops during a sleep, so after the sleep an
/// ended lease would seem to hold. All processes of one machine read the same time, so their
/// reports can be compared.
pub fn now() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    // The clock counts from the start, so both parts are positive, and the second part is below a
    // second.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
