//! They do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code. `Err`: it panicked, with this.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs the body of a thread of this crate. A panic in it is a bug, and ends the process.
pub(crate) fn or_abort<R>(f: impl FnOnce() -> R) -> R {
    match catch(f) {
        Ok(done) => done,
        Err(_) => std::process::abort(),
    }
}
