//! `std`'s atomics and locks, in the shape that loom's have, so that one text serves both.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

pub(crate) use crate::sys::gate::Pass;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Condvar;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
    fence,
};
pub(crate) use std::thread_local;

/// Statics. (loom's are not constant.)
macro_rules! statics {
    ($($(#[$attribute:meta])* static $name:ident: $kind:ty = $value:expr;)*) => {
        $($(#[$attribute])* static $name: $kind = $value;)*
    };
}
pub(crate) use statics;

/// Constants with a smaller value in loom's models, where rare cases have to be common.
macro_rules! model_const {
    ($($(#[$doc:meta])* $vis:vis const $name:ident: $kind:ty = $value:expr, loom $model:expr;)*) => {
        $($(#[$doc])* $vis const $name: $kind = $value;)*
    };
}
pub(crate) use model_const;

/// A lock whose holder never runs foreign code, so that a panic under it is a bug of ours: poison is passed over. No fork
/// happens while another thread holds it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let pass = Pass::enter();
        MutexGuard {
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            _pass: pass,
        }
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

/// A lock that users may hold, and leak: forks do not wait for it. In the child of a fork that another thread was in the
/// middle of, it stays locked.
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

/// The lock, held.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: std::sync::MutexGuard<'a, T>,
    /// Dropped after the lock is free.
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

/// `std::cell::UnsafeCell` by closures, which is what lets loom watch every access.
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
