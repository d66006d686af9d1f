//! loom's atomics, with SeqCst accesses that order as SeqCst does.
//!
//! loom treats SeqCst loads, stores and read-modify-writes as acquire and release, so it does not
//! know what two of them order between each other. Its SeqCst *fences* do order. So each SeqCst
//! access gets a fence, before it or after it. A model that relies on SeqCst accesses runs
//! [both ways](Fences). Either way, two such accesses on one thread have a fence between them. A
//! weakened first access shows in the run with fences after, a weakened second access in the run
//! with fences before.

use loom::sync::atomic;
use std::cell::Cell;
use std::fmt;

pub(crate) use atomic::Ordering;

/// The side of a SeqCst access on which its fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fences {
    Before,
    After,
}

std::thread_local! {
    // All threads of a model run on one thread of the system.
    static FENCES: Cell<Fences> = const { Cell::new(Fences::Before) };
    static SWITCH: Cell<bool> = const { Cell::new(false) };
}

loom::lazy_static! {
    /// Every fence accesses this, so that loom tries both orders of two fences.
    static ref STEP: atomic::AtomicUsize = atomic::AtomicUsize::new(0);
}

/// Makes the later models of this thread switch threads at fences too. loom itself switches only at
/// accesses, and does a fence at once with the access before it. The switch adds no order.
pub(crate) fn switch_at_fences() {
    SWITCH.set(true);
}

pub(crate) fn fence(order: Ordering) {
    if SWITCH.get() {
        STEP.fetch_add(0, Ordering::Relaxed);
    }
    atomic::fence(order);
}

/// Chooses the side for the later models of this thread.
pub(crate) fn choose_fences(fences: Fences) {
    FENCES.set(fences);
}

fn with_fence<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let here = |fences| order == Ordering::SeqCst && FENCES.get() == fences;
    if here(Fences::Before) {
        fence(Ordering::SeqCst);
    }
    let done = access();
    if here(Fences::After) {
        fence(Ordering::SeqCst);
    }
    done
}

macro_rules! atomics {
    ($($name:ident $(<$t:ident>)? of $value:ty: $($plus:ident)*;)*) => {$(
        pub(crate) struct $name $(<$t>)? (atomic::$name $(<$t>)?);

        impl $(<$t>)? $name $(<$t>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                with_fence(order, || self.0.load(order))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                with_fence(order, || self.0.store(value, order));
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                with_fence(order, || self.0.compare_exchange(old, new, order, failure))
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                old: $value,
                new: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                with_fence(order, || self.0.compare_exchange_weak(old, new, order, failure))
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                order: Ordering,
                failure: Ordering,
                f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                with_fence(order, || self.0.fetch_update(order, failure, f))
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                with_fence(order, || self.0.swap(value, order))
            }

            $(
                #[track_caller]
                pub(crate) fn $plus(&self, value: $value, order: Ordering) -> $value {
                    with_fence(order, || self.0.$plus(value, order))
                }
            )*
        }

        impl $(<$t>)? fmt::Debug for $name $(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

atomics! {
    AtomicBool of bool: ;
    AtomicPtr<T> of *mut T: ;
    AtomicU8 of u8: ;
    AtomicU32 of u32: fetch_add fetch_max;
    AtomicU64 of u64: fetch_add fetch_max fetch_or fetch_sub;
    AtomicUsize of usize: fetch_add fetch_sub;
}

impl Default for AtomicU64 {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Default for AtomicUsize {
    fn default() -> Self {
        Self::new(0)
    }
}
