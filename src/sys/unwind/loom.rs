//! Nothing is caught: what panics in a model is loom, or the model, and what they found is to be seen.

use std::any::Any;

pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    Ok(f())
}

pub(crate) fn or_abort<R>(f: impl FnOnce() -> R) -> R {
    f()
}
