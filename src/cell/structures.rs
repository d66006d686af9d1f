//! What a structure under RCU is built from: its domain, and ways to retire what it unlinks.
//!
//! The collections of this crate use only the public API of the domain and the cell. So structures
//! outside of the crate can do what the collections do.

use crate::{Guard, Rcu};

/// The domain of a structure: a given [`Rcu`], or the [global domain](Rcu::global).
///
/// A structure keeps a `DomainRef`, checks each guard against it before it lends a reference, and
/// retires in this domain what it unlinks. [`GLOBAL`](Self::GLOBAL) is a constant, so that a
/// structure can be a static.
///
/// ```
/// use async_rcu::structures::DomainRef;
/// use async_rcu::{Guard, Rcu};
/// use std::ptr;
/// use std::sync::atomic::{AtomicPtr, Ordering};
///
/// /// A value that is set once or more, and read under a guard.
/// struct Setting {
///     current: AtomicPtr<String>,      // null, or from a box
///     domain: DomainRef,
/// }
///
/// impl Setting {
///     const fn new() -> Self {
///         Self { current: AtomicPtr::new(ptr::null_mut()), domain: DomainRef::GLOBAL }
///     }
///
///     /// The reference is bound to the guard, so the borrow checker keeps it inside the section.
///     fn get<'g>(&self, guard: &'g impl Guard) -> Option<&'g str> {
///         self.domain.assert_covers(guard, "Setting");
///         // SAFETY: null, or from a box that is freed only after this guard's section.
///         unsafe { self.current.load(Ordering::Acquire).as_ref() }.map(String::as_str)
///     }
///
///     fn set(&self, value: &str) {
///         let new = Box::into_raw(Box::new(value.to_owned()));
///         let old = self.current.swap(new, Ordering::AcqRel);
///         if !old.is_null() {
///             // SAFETY: from a box; the swap unlinked it, and only this call retires it.
///             unsafe { self.domain.rcu().retire_raw(old) };
///         }
///     }
/// }
///
/// static MODE: Setting = Setting::new();
/// MODE.set("fast");
/// let guard = Rcu::global().read();
/// let mode = MODE.get(&guard);
/// MODE.set("safe");
/// assert_eq!(mode, Some("fast"));
/// ```
#[derive(Debug)]
pub struct DomainRef(
    /// An internal handle, or `None`: the global domain.
    Option<Rcu>,
);

impl Clone for DomainRef {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(Rcu::to_internal))
    }
}

impl Drop for DomainRef {
    fn drop(&mut self) {
        if let Some(rcu) = &self.0 {
            rcu.structure_dropped();
        }
    }
}

impl DomainRef {
    /// The global domain, which is started when it is first used.
    ///
    /// ```
    /// use async_rcu::{Rcu, structures::DomainRef};
    /// static DOMAIN: DomainRef = DomainRef::GLOBAL;
    /// assert!(DOMAIN.rcu().same_domain(Rcu::global()));
    /// ```
    pub const GLOBAL: Self = Self(None);

    /// The domain of `rcu`.
    ///
    /// ```
    /// use async_rcu::{Rcu, structures::DomainRef};
    /// let rcu = Rcu::new();
    /// assert!(DomainRef::of(&rcu).rcu().same_domain(&rcu));
    /// ```
    pub fn of(rcu: &Rcu) -> Self {
        Self(Some(rcu.to_internal()))
    }

    /// Returns the domain. Starts the global domain at its first use.
    ///
    /// ```
    /// use async_rcu::structures::DomainRef;
    /// drop(DomainRef::GLOBAL.rcu().read());
    /// ```
    #[inline]
    pub fn rcu(&self) -> &Rcu {
        match &self.0 {
            Some(rcu) => rcu,
            None => Rcu::global(),
        }
    }

    /// Returns whether `guard` is of this domain, so that its section protects the structure.
    ///
    /// ```
    /// use async_rcu::{Rcu, structures::DomainRef};
    /// let (rcu, other) = (Rcu::new(), Rcu::new());
    /// let domain = DomainRef::of(&rcu);
    /// assert!(domain.covers(&rcu.read()));
    /// assert!(!domain.covers(&other.read_owned()));
    /// ```
    #[inline(always)]
    pub fn covers(&self, guard: &impl Guard) -> bool {
        match &self.0 {
            Some(rcu) => rcu.covers(guard),
            // A guard of the global domain proves that the domain has been started.
            None => Rcu::global_if_started().is_some_and(|rcu| rcu.covers(guard)),
        }
    }

    /// Panics if `guard` is of another domain. The message names `structure`, a type's name.
    ///
    /// ```should_panic
    /// use async_rcu::{Rcu, structures::DomainRef};
    /// let domain = DomainRef::of(&Rcu::new());
    /// domain.assert_covers(&Rcu::new().read(), "Setting");
    /// ```
    ///
    /// # Panics
    /// If the guard is of another domain: its section does not protect what the structure holds.
    #[inline(always)]
    #[track_caller]
    pub fn assert_covers(&self, guard: &impl Guard, structure: &'static str) {
        if !self.covers(guard) {
            refuse(structure);
        }
    }
}

#[cold]
#[track_caller]
fn refuse(structure: &str) -> ! {
    panic!(
        "the guard is of another Rcu than the {structure}, \
         so it does not protect what the {structure} holds"
    );
}

/// A node that holds a value, such as a list's node or a map's entry, for
/// [`Retired::from_holder`](crate::Retired::from_holder).
///
/// ```
/// use async_rcu::{Rcu, Retired, structures::Holder};
/// struct Entry {
///     key: u32,
///     value: String,
/// }
///
/// impl Holder for Entry {
///     type Value = String;
///     fn value(&self) -> &String {
///         &self.value
///     }
///     fn into_value(self) -> String {
///         self.value
///     }
/// }
///
/// let entry = Box::into_raw(Box::new(Entry { key: 7, value: "seven".to_owned() }));
/// // SAFETY: from a box, and no reader can find it.
/// let old: Retired<String> = unsafe { Retired::from_holder(Rcu::global(), entry) };
/// assert_eq!(*old, "seven");
/// ```
pub trait Holder: Send + Sized + 'static {
    /// What the node holds.
    type Value: Send + Sync + 'static;

    /// Returns the value. Other threads may read the node at the same time.
    fn value(&self) -> &Self::Value;

    /// Takes the node apart when no reader is left, and returns the value.
    fn into_value(self) -> Self::Value;
}

impl Rcu {
    /// [`call`](Self::call) for a closure that is not `Send`, such as one that frees raw pointers.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// let nodes: Vec<*mut u32> = (0..3).map(|n| Box::into_raw(Box::new(n))).collect();
    /// // SAFETY: `u32` may be dropped on any thread; from boxes, and each is freed once.
    /// unsafe {
    ///     Rcu::global().call_unchecked(move || {
    ///         nodes.into_iter().for_each(|node| drop(Box::from_raw(node)));
    ///     });
    /// }
    /// # Rcu::global().blocking_drain();
    /// ```
    ///
    /// # Safety
    /// It must be sound to run and to drop `f` on another thread. The compiler cannot check this,
    /// since raw pointers are never `Send`.
    ///
    /// If `f` frees memory that readers could reach: that memory was unlinked before this call, no
    /// later section can reach it, and only sections of this domain reached it.
    #[inline]
    pub unsafe fn call_unchecked(&self, f: impl FnOnce() + 'static) {
        let f = Sent(f);
        self.call(move || f.run());
    }

    /// Frees a box that readers may still see, after a grace period, on the domain's executor.
    ///
    /// [`retire`](Self::retire) for what was published as a raw pointer. A `Box` would claim that
    /// no reader looks at the value any more.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// use std::sync::atomic::{AtomicPtr, Ordering};
    /// let current = AtomicPtr::new(Box::into_raw(Box::new(1)));
    /// let old = current.swap(std::ptr::null_mut(), Ordering::AcqRel);
    /// // SAFETY: from a box, unlinked by the swap, and retired here only.
    /// unsafe { Rcu::global().retire_raw(old) };
    /// # Rcu::global().blocking_drain();
    /// ```
    ///
    /// # Safety
    /// - `value` came from [`Box::into_raw`], and nothing else frees it.
    /// - It was unlinked before this call: no section that begins later can reach it.
    /// - Only sections of this domain reached it.
    ///
    /// The compiler cannot see which pointers other threads can still load, so the caller answers
    /// for it.
    #[inline]
    pub unsafe fn retire_raw<T: Send + 'static>(&self, value: *mut T) {
        // SAFETY: `T` is `Send`. The caller has unlinked the value and gives it away, and the
        // callback runs after a grace period that starts later: no reader is left.
        unsafe { self.retire_value(value) };
    }
}

/// A closure that the caller of [`Rcu::call_unchecked`] declares `Send`.
struct Sent<F>(F);

// SAFETY: the caller of `call_unchecked` answers for it; nothing else makes one.
unsafe impl<F> Send for Sent<F> {}

impl<F: FnOnce()> Sent<F> {
    #[inline]
    fn run(self) {
        (self.0)();
    }
}
