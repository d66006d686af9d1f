//! Nothing is caught: a panic in a model is a finding of loom or of the model.

use std::any::Any;

pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    Ok(f())
}

pub(crate) fn or_abort<R>(f: impl FnOnce() -> R) -> R {
    f()
}
