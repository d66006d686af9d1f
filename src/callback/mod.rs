//! Deferred work, stored until its grace period is over. Nothing on this floor runs it.
//!
//! [`Callback`] is a closure of any type in up to four words: one for its type, up to three for
//! what it captures. [`queue`] holds a thread's callbacks until the grace-period thread collects
//! them.
//!
//! A callback may also consume a value in a box, and leave the empty box behind, in the bytes of
//! the callback: [`boxes`] says what happens to it.
//!
//! # Invariants
//! 1. `table` says what `data` holds: an `F` in place, the raw pointer of a `Box<F>`, or the
//!    pointer of a box that is to be left empty, with its layout if the table does not have it.
//! 2. The callback owns what `data` holds. [`run`](Callback::run) or the drop consumes it, once.
//!    The bytes of `data` stay as they were.

pub(crate) mod boxes;
mod chunk;
pub(crate) mod inbox;
pub(crate) mod queue;
mod span;
mod stock;

use crate::sys::prim::opaque_debug;
use boxes::{BoxLayout, EmptyBox};
use std::alloc::Layout;
use std::any::Any;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};
use std::ptr::{self, NonNull};

const WORDS: usize = 3;
type Word = MaybeUninit<usize>;
type Data = [Word; WORDS];

/// A closure whose type is erased. The floor that runs it gives it a context of any type.
pub(crate) struct Callback {
    data: Data,
    table: &'static Table,
}

struct Table {
    /// Consumes what the pointer leads to.
    run: unsafe fn(*mut Data, &mut dyn Any),
    drop: unsafe fn(*mut Data),
    /// How many words of `data` are used.
    words: usize,
    leaves: Leaves,
}

/// What is left of a callback that has been consumed.
#[derive(Clone, Copy)]
enum Leaves {
    Nothing,
    /// An empty box of this layout. The first word of `data` is its pointer.
    Box(BoxLayout),
    /// The same, and the second word is its layout.
    BoxAndLayout,
}

// SAFETY: `new` takes only closures that are `Send`, and the table is constant.
unsafe impl Send for Callback {}

/// Returns whether a callback keeps an `F` in place.
pub(crate) const fn fits<F>() -> bool {
    size_of::<F>() <= size_of::<Data>() && align_of::<F>() <= align_of::<Data>()
}

struct Of<F>(F);

impl<F: FnOnce(&mut dyn Any) + Send + 'static> Of<F> {
    const TABLE: &'static Table = &Table {
        run: Self::run,
        drop: Self::drop,
        words: match fits::<F>() {
            true => size_of::<F>().div_ceil(size_of::<Word>()),
            false => 1,
        },
        leaves: Leaves::Nothing,
    };

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

/// The closure in a box that is left empty.
struct OfBoxed<F>(F);

impl<F: FnOnce(&mut dyn Any) + Send + 'static> OfBoxed<F> {
    const TABLE: &'static Table = &Table {
        run: Self::run,
        drop: OfValue::<F>::drop,
        words: 1,
        leaves: match BoxLayout::of(Layout::new::<F>()) {
            Some(layout) => Leaves::Box(layout),
            None => Leaves::Nothing,
        },
    };

    unsafe fn run(data: *mut Data, context: &mut dyn Any) {
        // SAFETY: the box holds the `F` (invariant 1), which is not used again.
        let f = unsafe { data.cast::<*mut F>().read().read() };
        f(context);
    }
}

/// A value in a box that is left empty.
struct OfValue<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized> OfValue<T> {
    const WITH_LAYOUT: &'static Table =
        &Table { run: Self::run, drop: Self::drop, words: 2, leaves: Leaves::BoxAndLayout };

    unsafe fn run(data: *mut Data, _: &mut dyn Any) {
        // SAFETY: passed on.
        unsafe { Self::drop(data) }
    }

    unsafe fn drop(data: *mut Data) {
        // SAFETY: the box holds the `T` (invariant 1), which is not used again.
        unsafe { data.cast::<*mut T>().read().drop_in_place() }
    }
}

impl<T> OfValue<T> {
    const TABLE: &'static Table = &Table {
        run: Self::run,
        drop: Self::drop,
        words: 1,
        leaves: match BoxLayout::of(Layout::new::<T>()) {
            Some(layout) => Leaves::Box(layout),
            None => Leaves::Nothing,
        },
    };
}

/// The most words that a callback takes.
pub(crate) const MOST_WORDS: usize = 1 + WORDS;

impl Callback {
    /// Keeps up to three captured words in place, and more in a box.
    #[inline]
    pub(crate) fn new<F: FnOnce(&mut dyn Any) + Send + 'static>(f: F) -> Self {
        let mut data = [Word::uninit(); WORDS];
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

    /// Takes a closure in a box, which is left empty if its layout is [kept](BoxLayout::of). For
    /// closures that do not [fit](fits).
    ///
    /// The caller puts the callback into a queue: only there is the box found again.
    #[inline]
    pub(crate) fn leaving_box<F: FnOnce(&mut dyn Any) + Send + 'static>(f: Box<F>) -> Self {
        Self::of_box(Box::into_raw(f), OfBoxed::<F>::TABLE)
    }

    /// Makes a callback that drops a value, and leaves its box empty. The caller puts the callback
    /// into a queue: only there is the box found again.
    ///
    /// # Safety
    /// `value` is from a box whose layout is [kept](BoxLayout::of), may be dropped on any thread,
    /// and is given away here.
    #[inline]
    pub(crate) unsafe fn emptying<T>(value: *mut T) -> Self {
        Self::of_box(value, OfValue::<T>::TABLE)
    }

    /// The same for a value of any type.
    ///
    /// # Safety
    /// As [`emptying`](Self::emptying). The box is of this layout. The pointer takes one word.
    #[inline]
    pub(crate) unsafe fn emptying_of<T: ?Sized>(value: *mut T, layout: BoxLayout) -> Self {
        assert!(size_of::<*mut T>() == size_of::<Word>());
        let mut callback = Self::of_box(value, OfValue::<T>::WITH_LAYOUT);
        callback.data[1].write(layout.raw());
        callback
    }

    #[inline]
    fn of_box<T: ?Sized>(value: *mut T, table: &'static Table) -> Self {
        let mut data = [Word::uninit(); WORDS];
        // SAFETY: three words are enough for a pointer of any kind.
        unsafe { data.as_mut_ptr().cast::<*mut T>().write(value) };
        Self { data, table }
    }

    /// Returns how many words the callback takes.
    #[inline(always)]
    pub(crate) fn words(&self) -> usize {
        1 + self.table.words
    }

    /// Calls `write` with each word of the callback and its number, the table first.
    #[inline(always)]
    pub(crate) fn into_words(self, mut write: impl FnMut(usize, Word)) {
        let this = ManuallyDrop::new(self);
        let mut table = Word::uninit();
        // SAFETY: a reference takes one word.
        unsafe { table.as_mut_ptr().cast::<&'static Table>().write(this.table) };
        write(0, table);
        for (n, word) in this.data.iter().enumerate().take(this.table.words) {
            write(1 + n, *word);
        }
    }

    /// Makes a callback of its words. The words stay as they are, and the callback owns what they
    /// hold.
    ///
    /// # Safety
    /// `read` gives the words that [`into_words`](Self::into_words) wrote, and a callback is made
    /// of them once.
    #[inline(always)]
    pub(crate) unsafe fn from_words(read: impl Fn(usize) -> Word) -> Self {
        // SAFETY: passed on.
        let table = unsafe { Self::table(read(0)) };
        let mut data = [Word::uninit(); WORDS];
        for (n, word) in data.iter_mut().enumerate().take(table.words) {
            *word = read(1 + n);
        }
        Self { data, table }
    }

    /// # Safety
    /// The first word that `into_words` wrote.
    #[inline(always)]
    unsafe fn table(word: Word) -> &'static Table {
        // SAFETY: the word is a reference to a table.
        unsafe { word.as_ptr().cast::<&'static Table>().read() }
    }

    /// Looks at the words of a callback that was consumed. Returns how many there are, and the
    /// empty box that it has left.
    ///
    /// # Safety
    /// As [`from_words`](Self::from_words). The callback was consumed, and its box is taken once.
    #[inline(always)]
    pub(crate) unsafe fn left_box(read: impl Fn(usize) -> Word) -> (usize, Option<EmptyBox>) {
        // SAFETY: the words are as they were when the callback was consumed (invariants 1, 2).
        unsafe {
            let table = Self::table(read(0));
            let layout = match table.leaves {
                Leaves::Nothing => None,
                Leaves::Box(layout) => Some(layout),
                Leaves::BoxAndLayout => Some(BoxLayout::from_raw(read(2).assume_init())),
            };
            let at = |layout| {
                let word = read(1);
                let at = word.as_ptr().cast::<*mut u8>().read();
                EmptyBox { at: NonNull::new_unchecked(at), layout }
            };
            (1 + table.words, layout.map(at))
        }
    }

    /// Returns how many bytes the box has that the callback will leave, or 0.
    #[inline(always)]
    pub(crate) fn box_bytes(&self) -> usize {
        match self.table.leaves {
            Leaves::Nothing => 0,
            Leaves::Box(layout) => layout.bytes(),
            Leaves::BoxAndLayout => {
                // SAFETY: the second word is a layout (invariant 1).
                let layout = unsafe { self.data[1].assume_init() };
                BoxLayout::from_raw(layout).bytes()
            }
        }
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
    fn a_callback_takes_a_word_and_those_of_its_captures() {
        let (one, three, four) = ([0usize; 1], [0usize; 3], [0usize; 4]);
        assert_eq!(Callback::new(|_| ()).words(), 1);
        assert_eq!(Callback::new(move |_| _ = one.len() + one[0]).words(), 2);
        assert_eq!(Callback::new(move |_| _ = three.len() + three[0]).words(), 4);
        assert_eq!(Callback::new(move |_| _ = four.len() + four[0]).words(), 2);
    }
}
