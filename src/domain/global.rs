//! The global domain. It is set once, under a lock that a fork waits for, and never removed.

use super::builder::{BuildError, Builder};
use super::rcu::Rcu;
use crate::sys::prim::{Mutex, statics};
use std::sync::OnceLock;
use thiserror::Error;

static GLOBAL: OnceLock<Rcu> = OnceLock::new();

statics! {
    /// Held while the global domain is set, so that no fork leaves it half set.
    static INSTALLING: Mutex<()> = Mutex::new(());
}

impl Rcu {
    /// Returns the domain of the process. The first use starts it, and it never ends. Callbacks
    /// that have not run when `main` returns never run: call [`drain`](Self::drain) first.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// Rcu::global().call(|| println!("after a grace period"));
    /// Rcu::global().blocking_drain();
    /// ```
    ///
    /// # Panics
    /// If the grace-period thread cannot be started. [`Builder::install_global`] returns this as an
    /// error.
    pub fn global() -> &'static Rcu {
        match GLOBAL.get() {
            Some(rcu) => rcu,
            None => Self::start_global(),
        }
    }

    #[cold]
    fn start_global() -> &'static Rcu {
        let installing = INSTALLING.lock();
        let built = match GLOBAL.get() {
            Some(_) => Ok(()),
            None => Rcu::builder().name("global").build().map(|rcu| {
                let _ = GLOBAL.set(rcu);
            }),
        };
        drop(installing);
        match (built, GLOBAL.get()) {
            (Ok(()), Some(rcu)) => rcu,
            (Err(error), _) => error.panic(),
            (Ok(()), None) => unreachable!("set above"),
        }
    }

    pub(crate) fn global_if_started() -> Option<&'static Rcu> {
        GLOBAL.get()
    }
}

impl Builder {
    /// Makes the domain, and makes it the one that [`Rcu::global`] returns.
    ///
    /// ```
    /// use async_rcu::{Rcu, executor::InlineExecutor};
    /// fn main() -> Result<(), async_rcu::error::InstallError> {
    ///     // First of all, before anything uses the global domain.
    ///     Rcu::builder().executor(InlineExecutor).install_global()?;
    ///     Rcu::global().call(|| println!("on the grace-period thread"));
    ///     Rcu::global().blocking_drain();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InstallError::AlreadyStarted`] if the global domain was started before, or the error of
    /// [`build`](Self::build).
    pub fn install_global(self) -> Result<&'static Rcu, InstallError> {
        if GLOBAL.get().is_some() {
            return Err(InstallError::AlreadyStarted);
        }
        let rcu = self.build()?;
        let installing = INSTALLING.lock();
        let refused = GLOBAL.set(rcu);
        drop(installing);
        // If another thread was first, `refused` has the domain. It is dropped outside the lock.
        match refused {
            Ok(()) => GLOBAL.get().ok_or(InstallError::AlreadyStarted),
            Err(_) => Err(InstallError::AlreadyStarted),
        }
    }
}

/// The reason why a domain could not be made the global one.
///
/// ```
/// use async_rcu::{Rcu, error::InstallError};
/// Rcu::global();
/// let late = Rcu::builder().install_global().unwrap_err();
/// assert!(matches!(late, InstallError::AlreadyStarted));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The global domain was started before, and cannot be replaced.
    #[error("the global domain was started before")]
    AlreadyStarted,
    /// The domain could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}
