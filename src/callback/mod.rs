//! Deferred work, stored until its grace period is over. Nothing on this floor runs it.
//!
//! [`Callback`] is a closure of any type in four words: three for what it captures, one for its
//! type. [`queue`] holds a thread's callbacks until the grace-period thread collects them.
//!
//! # Invariants
//! 1. `data` holds an `F` in place if [`fits`] says so, else the raw pointer of a `Box<F>`. `table`
//!    is the table of that `F`.
//! 2. The callback owns the closure. [`run`](Callback::run) or the drop consumes it, once.

pub(crate) mod queue;

use crate::sys::prim::opaque_debug;
use std::any::Any;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};
use std::ptr;

const WORDS: usize = 3;
type Data = MaybeUninit<[usize; WORDS]>;

/// A closure whose type is erased. The floor that runs it gives it a context of any type.
pub(crate) struct Callback {
    data: Data,
    table: &'static Table,
}

struct Table {
    /// Consumes the closure that the pointer leads to.
    run: unsafe fn(*mut Data, &mut dyn Any),
    drop: unsafe fn(*mut Data),
}

// SAFETY: `new` takes only closures that are `Send`, and the table is constant.
unsafe impl Send for Callback {}

const fn fits<F>() -> bool {
    size_of::<F>() <= size_of::<Data>() && align_of::<F>() <= align_of::<Data>()
}

struct Of<F>(F);

impl<F: FnOnce(&mut dyn Any) + Send + 'static> Of<F> {
    const TABLE: &'static Table = &Table { run: Self::run, drop: Self::drop };

    /// # Safety
    /// `data` holds an `F` (invariant 1), and the caller does not use it again.
    unsafe fn take(data: *mut Data) -> F {
        if fits::<F>() {
            // SAFETY: the `F` is in place, and is not used again.
            unsafe { data.cast::<F>().read() }
        } else {
            // SAFETY: `new` made the pointer from a box. It is not used again.
            *unsafe { Box::from_raw(data.cast::<*mut F>().read()) }
        }
    }

    unsafe fn run(data: *mut Data, context: &mut dyn Any) {
        // SAFETY: passed on.
        unsafe { Self::take(data)(context) }
    }

    unsafe fn drop(data: *mut Data) {
        if fits::<F>() {
            // SAFETY: the `F` is in place, and is not used again.
            unsafe { data.cast::<F>().drop_in_place() }
        } else {
            // SAFETY: `new` made the pointer from a box. It is not used again.
            drop(unsafe { Box::from_raw(data.cast::<*mut F>().read()) });
        }
    }
}

impl Callback {
    /// Keeps up to three captured words in place, and more in a box.
    #[inline]
    pub(crate) fn new<F: FnOnce(&mut dyn Any) + Send + 'static>(f: F) -> Self {
        let mut data = Data::uninit();
        let at: *mut Data = &mut data;
        if fits::<F>() {
            // SAFETY: `data` is large enough and aligned for an `F`.
            unsafe { at.cast::<F>().write(f) }
        } else {
            // SAFETY: a pointer fits into `data`.
            unsafe { at.cast::<*mut F>().write(Box::into_raw(Box::new(f))) }
        }
        Self { data, table: Of::<F>::TABLE }
    }

    pub(crate) fn run(self, context: &mut dyn Any) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: invariant 1. `this` is not dropped, so the closure is consumed once (2).
        unsafe { (this.table.run)(ptr::from_mut(&mut this.data), context) }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // SAFETY: invariant 1. `run` drops no callback, so the closure is consumed once (2).
        unsafe { (self.table.drop)(&mut self.data) }
    }
}

opaque_debug!(Callback, "Callback");

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn check<const N: usize>() {
        let held = Arc::new(());
        let pad = [7usize; N];
        let make = || {
            let held = Arc::clone(&held);
            Callback::new(move |sum| {
                *sum.downcast_mut::<usize>().unwrap() +=
                    pad.iter().sum::<usize>() + Arc::strong_count(&held);
            })
        };
        let mut sum = 0;
        make().run(&mut sum);
        assert_eq!(sum, 7 * N + 2);
        drop(make());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn captured_values_of_any_size_are_used_once() {
        check::<0>();
        check::<1>();
        check::<2>();
        check::<3>();
        check::<40>();
    }

    #[test]
    fn a_closure_aligned_more_than_a_word_goes_into_a_box() {
        #[repr(align(64))]
        struct Wide(u8);
        let wide = Wide(3);
        let mut address = 0usize;
        let callback = Callback::new(move |out| {
            let out: &mut usize = out.downcast_mut().unwrap();
            *out = ptr::from_ref(&wide).addr() + usize::from(wide.0);
        });
        callback.run(&mut address);
        assert_eq!(address % 64, 3);
    }

    #[test]
    fn a_callback_takes_four_words() {
        assert_eq!(size_of::<Callback>(), 4 * size_of::<usize>());
    }
}
