//! The guide: pages of documentation, without code of the library.
//!
//! - [`patterns`]: how to solve common tasks.
//! - [`testing`]: how to test programs that use the crate.
//! - [`internals`]: how the crate works, why it is right, and what shows it.
//! - [`evidence`]: the promises, and the tests that show them.
//! - [`live`]: the route server's page, in pictures.
//! - [`cluster`]: a grace period across processes.
//! - [`names`]: the names that QEMU, liburcu and Linux use, and the names in this crate.
//! - [`limits`]: limits, and what happens in each case of failure.
//! - [`performance`]: measurements, and the commands that repeat them.

pub mod cluster;
pub mod evidence;
pub mod internals;
pub mod limits;
pub mod live;
pub mod names;
pub mod patterns;
pub mod performance;
pub mod testing;
