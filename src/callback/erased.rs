//! A deferred closure, its type erased: three words for what it captures, one for what to do with them.
//!
//! # Invariants
//! 1. `data` holds an `F` in place where [`fits`] says so, else the raw pointer of a `Box<F>`; `table` is that `F`'s.
//! 2. The closure is owned: it is consumed by [`run`](Callback::run) or by the drop, once.

use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};
use std::ptr;

const WORDS: usize = 3;
type Data = MaybeUninit<[usize; WORDS]>;

/// `C` is what the floor above hands to a callback that runs.
pub(crate) struct Callback<C: 'static> {
    data: Data,
    table: &'static Table<C>,
}

struct Table<C: 'static> {
    /// Consumes the closure behind the pointer.
    run: unsafe fn(*mut Data, &mut C),
    drop: unsafe fn(*mut Data),
}

// SAFETY: `new` takes only closures that are `Send`; the table is shared and constant.
unsafe impl<C> Send for Callback<C> {}

const fn fits<F>() -> bool {
    size_of::<F>() <= size_of::<Data>() && align_of::<F>() <= align_of::<Data>()
}

struct Of<F, C>(F, C);

impl<C: 'static, F: FnOnce(&mut C) + Send + 'static> Of<F, C> {
    const TABLE: &'static Table<C> = &Table {
        run: Self::run,
        drop: Self::drop,
    };

    /// # Safety
    /// `data` holds an `F` by invariant 1, which the caller gives away.
    unsafe fn take(data: *mut Data) -> F {
        if fits::<F>() {
            // SAFETY: in place, aligned, and not used again.
            unsafe { data.cast::<F>().read() }
        } else {
            // SAFETY: the pointer that `new` made from a box, not used again.
            *unsafe { Box::from_raw(data.cast::<*mut F>().read()) }
        }
    }

    unsafe fn run(data: *mut Data, context: &mut C) {
        // SAFETY: passed on.
        unsafe { Self::take(data)(context) }
    }

    unsafe fn drop(data: *mut Data) {
        if fits::<F>() {
            // SAFETY: in place, aligned, and not used again.
            unsafe { data.cast::<F>().drop_in_place() }
        } else {
            // SAFETY: the pointer that `new` made from a box, not used again.
            drop(unsafe { Box::from_raw(data.cast::<*mut F>().read()) });
        }
    }
}

impl<C: 'static> Callback<C> {
    /// Up to three words are kept in place, more in a box.
    #[inline]
    pub(crate) fn new<F: FnOnce(&mut C) + Send + 'static>(f: F) -> Self {
        let mut data = Data::uninit();
        let place: *mut Data = &mut data;
        if fits::<F>() {
            // SAFETY: large and aligned enough.
            unsafe { place.cast::<F>().write(f) }
        } else {
            // SAFETY: a pointer fits.
            unsafe { place.cast::<*mut F>().write(Box::into_raw(Box::new(f))) }
        }
        Self {
            data,
            table: Of::<F, C>::TABLE,
        }
    }

    pub(crate) fn run(self, context: &mut C) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: invariant 1; `this` is not dropped, so that the closure is consumed once (invariant 2).
        unsafe { (this.table.run)(ptr::from_mut(&mut this.data), context) }
    }
}

impl<C: 'static> Drop for Callback<C> {
    fn drop(&mut self) {
        // SAFETY: invariant 1; `run` forgets, so that the closure is still here (invariant 2).
        unsafe { (self.table.drop)(&mut self.data) }
    }
}

impl<C: 'static> fmt::Debug for Callback<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn check<const N: usize>() {
        let held = Arc::new(());
        let pad = [7usize; N];
        let make = || {
            let held = Arc::clone(&held);
            Callback::new(move |sum: &mut usize| {
                *sum += pad.iter().sum::<usize>() + Arc::strong_count(&held);
            })
        };
        let mut sum = 0;
        make().run(&mut sum);
        assert_eq!(sum, 7 * N + 2);
        drop(make());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn runs_or_drops_what_it_captured_once_whatever_the_size() {
        check::<0>();
        check::<1>();
        check::<2>();
        check::<3>();
        check::<40>();
    }

    #[test]
    fn what_is_aligned_more_than_a_word_goes_into_a_box() {
        #[repr(align(64))]
        struct Wide(u8);
        let wide = Wide(3);
        let mut address = 0;
        Callback::new(move |a: &mut usize| *a = ptr::from_ref(&wide).addr() + usize::from(wide.0))
            .run(&mut address);
        assert_eq!(address % 64, 3);
    }

    #[test]
    fn four_words() {
        assert_eq!(size_of::<Callback<()>>(), 4 * size_of::<usize>());
    }
}
