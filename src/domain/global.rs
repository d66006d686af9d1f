//! The domain of the process.
//!
//! Set once, under a lock that a fork waits for, and never taken out again: who finds it may keep the reference.

use super::builder::{Builder, InstallError};
use super::rcu::Rcu;
use crate::sys::prim::{Mutex, statics};
use std::sync::OnceLock;

static GLOBAL: OnceLock<Rcu> = OnceLock::new();

statics! {
    /// Held while that is set: no fork leaves it half set.
    static INSTALLING: Mutex<()> = Mutex::new(());
}

impl Rcu {
    /// The domain of the process, started at first use, and never ended. Callbacks that are queued when `main` returns do
    /// not run: [`drain`](Self::drain) first.
    ///
    /// ```
    /// use async_rcu::Rcu;
    /// Rcu::global().call(|| println!("after a grace period"));
    /// Rcu::global().blocking_drain();
    /// ```
    ///
    /// # Panics
    /// Where the grace-period thread cannot be started; [`Builder::install_global`] tells it as an error.
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
            (Err(error), _) => panic!("{error}: {:?}", std::error::Error::source(&error)),
            (Ok(()), None) => unreachable!("set above"),
        }
    }

    /// The domain of the process if it is in use.
    pub(crate) fn global_if_started() -> Option<&'static Rcu> {
        GLOBAL.get()
    }

    pub(super) fn install(builder: Builder) -> Result<&'static Rcu, InstallError> {
        if GLOBAL.get().is_some() {
            return Err(InstallError::AlreadyStarted);
        }
        let rcu = builder.build()?;
        let installing = INSTALLING.lock();
        let refused = GLOBAL.set(rcu);
        drop(installing);
        // With the domain that came too late, if there is one.
        if refused.is_err() {
            return Err(InstallError::AlreadyStarted);
        }
        GLOBAL.get().ok_or(InstallError::AlreadyStarted)
    }
}
