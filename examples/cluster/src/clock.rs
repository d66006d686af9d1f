//! The clock of a node's lease.

use std::time::Duration;

/// Returns the time since the machine was started. No one can set this clock, and it goes on while
/// the machine sleeps. `std::time::Instant` does not go on on Linux: after a sleep, an ended lease
/// would look young. All processes of one machine read the same time, so their reports can be
/// compared.
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
