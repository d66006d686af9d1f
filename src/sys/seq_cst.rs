//! loom's atomics, with SeqCst accesses that order as SeqCst does.
//!
//! loom treats SeqCst loads, stores and read-modify-writes as acquire and release, so it does not
//! know what two of them order between each other. Its SeqCst *fences* do order. So each SeqCst
//! access gets a fence, before it or after it. A model that relies on SeqCst accesses runs
//! [both ways](Fences). Either way, two such accesses on one thread have a fence between them. A
//! weakened first access shows in the run with fences after, a weakened second access in the run
//! with fences before.

use super::prim::opaque_debug;
use loom::sync::atomic;
use std::cell::Cell;

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

/// Defines accesses with a fence. `$order` is the name of the argument with the access's order.
macro_rules! accesses {
    ($order:ident: $($method:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        #[track_caller]
        pub(crate) fn $method(&self, $($argument: $kind),*) -> $result {
            with_fence($order, || self.0.$method($($argument),*))
        }
    )*};
}

macro_rules! atomics {
    ($($name:ident $(<$t:ident>)? of $value:ty: $($plus:ident)*;)*) => {$(
        #[derive(Default)]
        pub(crate) struct $name $(<$t>)? (atomic::$name $(<$t>)?);

        impl $(<$t>)? $name $(<$t>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            accesses! { order:
                load(order: Ordering) -> $value;
                store(value: $value, order: Ordering) -> ();
                swap(value: $value, order: Ordering) -> $value;
                $($plus(value: $value, order: Ordering) -> $value;)*
                compare_exchange(
                    old: $value, new: $value, order: Ordering, failure: Ordering
                ) -> Result<$value, $value>;
                compare_exchange_weak(
                    old: $value, new: $value, order: Ordering, failure: Ordering
                ) -> Result<$value, $value>;
                fetch_update(
                    order: Ordering, failure: Ordering, f: impl FnMut($value) -> Option<$value>
                ) -> Result<$value, $value>;
            }
        }

        opaque_debug!($name $(<$t>)?, stringify!($name) $(, $t)?);
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
