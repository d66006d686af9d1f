//! The guide: pages of documentation, no code.
//!
//! - [`patterns`]: how to do what comes up again and again.
//! - [`testing`]: testing programs that use it.
//! - [`internals`]: how it works, why it is right, and what shows it.
//! - [`evidence`]: what is promised, and the test that shows it.
//! - [`live`]: the route server's page, in pictures.
//! - [`cluster`]: a grace period across processes.
//! - [`names`]: the old names of QEMU, liburcu and Linux, and what they are called here.
//! - [`limits`]: what it does not do, and what goes wrong when.
//! - [`performance`]: what was measured, and how to measure it again.

pub mod cluster;
pub mod evidence;
pub mod internals;
pub mod limits;
pub mod live;
pub mod names;
pub mod patterns;
pub mod performance;
pub mod testing;
