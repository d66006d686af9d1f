//! Panics: those of foreign code are caught, and those of this crate end the process.

use std::any::Any;

/// Runs foreign code, and returns the payload of its panic. The caller must not use what a panic
/// may leave broken, and must [`discard`] the payload or resume it.
#[cfg(not(rcu_loom))]
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
}

/// A panic in a model is loom's or the model's, and must be seen. So nothing is caught.
#[cfg(rcu_loom)]
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    Ok(f())
}

/// Runs foreign code that must not end this thread. If it panics, returns the message.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch(f).map_err(|payload| {
        let message = payload
            .downcast_ref::<&'static str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        discard(payload);
        message
    })
}

/// Drops the payload of a panic. A payload is foreign too, and its drop may panic.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch(move || drop(payload)) {
        std::mem::forget(again);
    }
}

/// Runs the body of a thread of this crate. A panic in it is a bug and ends the process, since
/// other threads rely on this one.
pub(crate) fn or_abort<R>(f: impl FnOnce() -> R) -> R {
    match catch(f) {
        Ok(done) => done,
        Err(_) => std::process::abort(),
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        assert_eq!(quietly(|| 7), Ok(7));
        assert_eq!(quietly(|| panic!("a {}", 1)), Err::<(), _>("a 1".to_owned()));
        assert!(quietly(|| std::panic::panic_any(Bomb)).is_err());
    }
}
