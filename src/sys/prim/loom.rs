//! loom's atomics and locks, in the same shape as `native.rs`.

mod seq_cst;

pub(crate) use crate::sys::gate::Pass;
pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{Condvar, MutexGuard};
pub(crate) use seq_cst::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(test)]
pub(crate) use seq_cst::{Fences, choose_fences, switch_at_fences};

/// Statics of a thread, which each has anew.
macro_rules! own_statics {
    ($($(#[$attribute:meta])* static $name:ident: $kind:ty = const { $value:expr };)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $kind = $value;)* }
    };
}
pub(crate) use own_statics as thread_local;

/// Statics that each run of a model has anew.
macro_rules! statics {
    ($($(#[$attribute:meta])* static $name:ident: $kind:ty = $value:expr;)*) => {
        loom::lazy_static! { $($(#[$attribute])* static ref $name: $kind = $value;)* }
    };
}
pub(crate) use statics;

/// Constants: the values for models.
macro_rules! model_const {
    ($($(#[$doc:meta])* $vis:vis const $name:ident: $kind:ty = $value:expr, loom $model:expr;)*) => {
        $($(#[$doc])* $vis const $name: $kind = $model;)*
    };
}
pub(crate) use model_const;

/// loom has no compiler fence and needs none: its light fence is always the real one.
pub(crate) fn compiler_fence(order: Ordering) {
    fence(order);
}

pub(crate) use Mutex as LongMutex;
pub(crate) use MutexGuard as LongMutexGuard;

/// loom's lock, without the poison.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}
