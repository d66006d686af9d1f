//! Dropping many values, where a panicking drop must not skip the others.

use crate::sys::unwind::{catch, discard};
use std::any::Any;
use std::panic::resume_unwind;
use std::ptr::NonNull;

/// Runs drops one by one. The first panic continues when all have run.
#[derive(Debug, Default)]
pub(crate) struct DropAll {
    first: Option<Box<dyn Any + Send>>,
}

impl DropAll {
    pub(crate) fn run(&mut self, drops: impl FnOnce()) {
        // What a panic leaves broken is dropped, and not used.
        let Err(payload) = catch(drops) else {
            return;
        };
        match self.first {
            None => self.first = Some(payload),
            Some(_) => discard(payload),
        }
    }

    /// Continues the first panic, if there was one.
    pub(crate) fn end(self) {
        if let Some(payload) = self.first {
            resume_unwind(payload);
        }
    }

    /// Discards the first panic, for a caller that is unwinding already.
    pub(crate) fn end_quietly(self) {
        if let Some(payload) = self.first {
            discard(payload);
        }
    }
}

/// Frees boxes. A panicking drop does not skip the others.
///
/// # Safety
/// Each pointer came from a box, and is the caller's alone when the iterator returns it.
pub(super) unsafe fn drop_boxes<T>(boxes: impl IntoIterator<Item = NonNull<T>>) -> DropAll {
    let mut drop_all = DropAll::default();
    for at in boxes {
        // SAFETY: by the caller's word.
        drop_all.run(|| drop(unsafe { Box::from_raw(at.as_ptr()) }));
    }
    drop_all
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

    /// Panics when it is dropped, with another bomb while there are any.
    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            match self.0 {
                0 => panic!("the last bomb"),
                left => panic_any(Bomb(left - 1)),
            }
        }
    }

    #[test]
    fn all_run_and_the_first_panic_goes_on() {
        let mut ran = 0;
        let mut drop_all = DropAll::default();
        for i in 0..5 {
            drop_all.run(|| {
                ran += 1;
                assert!(i % 2 == 0, "number {i}");
            });
        }
        assert_eq!(ran, 5);
        let payload = catch_unwind(AssertUnwindSafe(|| drop_all.end())).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().unwrap(), "number 1");
    }

    #[test]
    fn payloads_that_panic_are_kept_away() {
        let mut drop_all = DropAll::default();
        for _ in 0..3 {
            drop_all.run(|| drop(Bomb(3)));
        }
        drop_all.end_quietly();
        DropAll::default().end();
    }
}
