//! Which domain a structure is in.

use crate::{Guard, Rcu};

/// The domain of a structure, and the check that a guard is of it.
#[derive(Clone)]
pub(crate) struct DomainRef(
    /// `None`: the global domain, which a static does not start by itself.
    Option<Rcu>,
);

impl DomainRef {
    pub(crate) const GLOBAL: Self = Self(None);

    pub(crate) fn of(rcu: &Rcu) -> Self {
        Self(Some(rcu.clone()))
    }

    #[inline]
    pub(crate) fn rcu(&self) -> &Rcu {
        match &self.0 {
            Some(rcu) => rcu,
            None => Rcu::global(),
        }
    }

    /// Whether the guard is of it.
    #[inline(always)]
    pub(crate) fn covers(&self, guard: &impl Guard) -> bool {
        match &self.0 {
            Some(rcu) => rcu.covers(guard),
            // A guard of the global domain is a proof that it is started.
            None => Rcu::global_if_started().is_some_and(|rcu| rcu.covers(guard)),
        }
    }

    /// Panics where the guard is of another domain, which would protect nothing in `what`.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn assert_covers(&self, guard: &impl Guard, what: &'static str) {
        if !self.covers(guard) {
            Self::refuse(what);
        }
    }

    /// That panic.
    #[cold]
    #[track_caller]
    pub(crate) fn refuse(what: &str) -> ! {
        panic!("the guard is of another Rcu than the {what}, and does not protect what is in it");
    }
}
