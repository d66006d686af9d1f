//! Atomics, cells and locks: `std`'s, or loom's under `--cfg rcu_loom`, with the same signatures.

pub(crate) use platform::*;

/// Defines constants that are smaller in loom's models, so that rare cases are common there.
macro_rules! model_const {
    ($(
        $(#[$doc:meta])*
        $vis:vis const $name:ident: $kind:ty = $value:expr, loom $model:expr;
    )*) => {$(
        $(#[$doc])*
        $vis const $name: $kind = $crate::sys::prim::choose!($value, loom $model);
    )*};
}
pub(crate) use model_const;

/// Implements a `Debug` that shows the name of the type and none of its fields. The generics of the
/// `impl` come last.
macro_rules! opaque_debug {
    ($type:ty, $name:expr $(, $($generics:tt)+)?) => {
        impl $(<$($generics)+>)? ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use opaque_debug;

#[cfg(not(rcu_loom))]
mod platform {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    pub(crate) use crate::sys::gate::Pass;
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::Condvar;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        compiler_fence, fence,
    };
    pub(crate) use std::thread_local;

    /// Defines statics. (loom's are not constant.)
    macro_rules! statics {
        ($($(#[$attribute:meta])* static $name:ident: $kind:ty = $value:expr;)*) => {
            $($(#[$attribute])* static $name: $kind = $value;)*
        };
    }
    pub(crate) use statics;

    macro_rules! choose {
        ($value:expr, loom $model:expr) => {
            $value
        };
    }
    pub(crate) use choose;

    /// A lock whose holder runs no foreign code. A panic under it is a bug of this crate, so poison
    /// is ignored. A fork waits until no other thread holds the lock.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let pass = Pass::enter();
            MutexGuard { guard: self.0.lock().unwrap_or_else(PoisonError::into_inner), _pass: pass }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let pass = Pass::enter();
            let guard = match self.0.try_lock() {
                Ok(guard) => guard,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) => return None,
            };
            Some(MutexGuard { guard, _pass: pass })
        }
    }

    /// A lock that users may hold and leak, so forks do not wait for it. If another thread holds it
    /// during a fork, it stays locked in the child.
    #[derive(Debug, Default)]
    pub(crate) struct LongMutex<T>(std::sync::Mutex<T>);

    pub(crate) use std::sync::MutexGuard as LongMutexGuard;

    impl<T> LongMutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> LongMutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        guard: std::sync::MutexGuard<'a, T>,
        /// After the guard, so that the thread counts itself out after it has unlocked.
        _pass: Pass,
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        #[inline]
        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    /// `std::cell::UnsafeCell` with access by closures, so that loom can watch every access.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(rcu_loom)]
mod platform {
    pub(crate) use crate::sys::gate::Pass;
    pub(crate) use crate::sys::seq_cst::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(test)]
    pub(crate) use crate::sys::seq_cst::{Fences, choose_fences, switch_at_fences};
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::{Condvar, MutexGuard};

    /// Defines statics of a thread. Each thread of a model has its own.
    macro_rules! own_statics {
        ($($(#[$attribute:meta])* static $name:ident: $kind:ty = const { $value:expr };)*) => {
            loom::thread_local! { $($(#[$attribute])* static $name: $kind = $value;)* }
        };
    }
    pub(crate) use own_statics as thread_local;

    /// Defines statics. Each run of a model has its own.
    macro_rules! statics {
        ($($(#[$attribute:meta])* static $name:ident: $kind:ty = $value:expr;)*) => {
            loom::lazy_static! { $($(#[$attribute])* static ref $name: $kind = $value;)* }
        };
    }
    pub(crate) use statics;

    macro_rules! choose {
        ($value:expr, loom $model:expr) => {
            $model
        };
    }
    pub(crate) use choose;

    /// loom has no compiler fence and needs none, since every light fence is a full fence there.
    pub(crate) fn compiler_fence(order: Ordering) {
        fence(order);
    }

    pub(crate) use Mutex as LongMutex;
    pub(crate) use MutexGuard as LongMutexGuard;

    /// loom's lock, without poison.
    #[derive(Debug, Default)]
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
}
