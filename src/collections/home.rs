//! Which domain a structure is in.

use crate::{Guard, Rcu};

/// The domain of a structure, and the check that a guard is of it.
#[derive(Clone)]
pub(super) struct Home(
    /// `None`: the global domain, which a static does not start by itself.
    Option<Rcu>,
);

impl Home {
    pub(super) const GLOBAL: Self = Self(None);

    pub(super) fn of(rcu: &Rcu) -> Self {
        Self(Some(rcu.clone()))
    }

    #[inline]
    pub(super) fn rcu(&self) -> &Rcu {
        match &self.0 {
            Some(rcu) => rcu,
            None => Rcu::global(),
        }
    }

    /// Panics where the guard is of another domain, which would protect nothing in `what`.
    #[inline(always)]
    #[track_caller]
    pub(super) fn assert_covers(&self, guard: &impl Guard, what: &'static str) {
        let covered = match &self.0 {
            Some(rcu) => rcu.covers(guard),
            // A guard of the global domain is a proof that it is started.
            None => Rcu::global_if_started().is_some_and(|rcu| rcu.covers(guard)),
        };
        if !covered {
            wrong_domain(what);
        }
    }
}

#[cold]
#[track_caller]
fn wrong_domain(what: &str) -> ! {
    panic!("the guard is of another Rcu than the {what}, and does not protect what is in it");
}
