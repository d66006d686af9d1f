//! How a domain is made.

use super::rcu::Rcu;
use super::stall::report::StallReport;
use super::{Domain, Settings};
use crate::dispatch::dispatcher::{Dispatcher, PanicReport};
use crate::dispatch::executor::{Executor, WorkerThread};
use crate::dispatch::global_lock::{BigLock, GlobalLock};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The least [`Builder::stall_timeout`].
const LEAST_STALL: Duration = Duration::from_millis(1);

/// Sets up a domain; from [`Rcu::builder`].
///
/// ```
/// use async_rcu::{Rcu, executor::InlineExecutor};
/// use std::time::Duration;
/// let rcu = Rcu::builder()
///     .name("routes")
///     .executor(InlineExecutor)
///     .batch_interval(Duration::from_millis(5))
///     .build()?;
/// # Ok::<(), async_rcu::error::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    name: Option<String>,
    executor: Arc<dyn Executor>,
    lock: Option<Box<dyn BigLock>>,
    max_pending: Option<usize>,
    settings: Settings,
}

/// Why a domain could not be made.
///
/// ```
/// use async_rcu::{Rcu, error::BuildError};
/// match Rcu::builder().build() {
///     Ok(rcu) => drop(rcu),
///     Err(BuildError::Thread(error)) => eprintln!("too many threads? {error}"),
///     Err(other) => eprintln!("{other}"),
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The system did not start the grace-period thread.
    #[error("the grace-period thread could not be started")]
    Thread(#[source] io::Error),
}

/// Why a domain could not be made the global one.
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
    /// The global domain is in use already; it cannot be replaced.
    #[error("the global domain was started already")]
    AlreadyStarted,
    /// The domain could not be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            name: None,
            executor: Arc::new(WorkerThread),
            lock: None,
            max_pending: None,
            settings: Settings {
                batch_interval: Duration::from_millis(1),
                stall_timeout: Duration::from_secs(10),
                on_stall: None,
                on_panic: None,
                on_idle: None,
            },
        }
    }

    /// The domain's name: its threads are called `rcu-NAME` and `rcu-NAME-cb`. Default: a number.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().name("routes").build()?;
    /// assert_eq!(format!("{rcu:?}"), r#"Rcu { name: "routes", .. }"#);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Who runs callbacks. Default: [`WorkerThread`].
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use async_rcu::Rcu;
    /// let rcu = Rcu::builder().executor(tokio::runtime::Handle::current()).build()?;
    /// rcu.call(|| println!("in a task"));
    /// rcu.drain().await;
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// # });
    /// ```
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executor = Arc::new(executor);
        self
    }

    /// Callbacks run under this lock, a time slice after another, on the executor. Default: under none.
    ///
    /// See [`GlobalLock`]. Waiting for the lock never holds up grace periods.
    ///
    /// ```
    /// use async_rcu::{GlobalLock, Rcu};
    /// let state = GlobalLock::new(0);
    /// let rcu = Rcu::builder().global_lock(&state).build()?;
    /// state.call(&rcu, |state| *state += 1);
    /// rcu.blocking_drain();
    /// assert_eq!(*state.blocking_lock(), 1);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn global_lock<T: Send + 'static>(mut self, lock: &GlobalLock<T>) -> Self {
        self.lock = Some(lock.erase());
        self
    }

    /// The least time between two grace periods that only callbacks want. Default: one millisecond.
    ///
    /// Each grace period interrupts every processor that runs this process. The first one after idleness starts at
    /// once; waits, force and drain do not wait for the interval.
    ///
    /// ```
    /// use std::time::Duration;
    /// // Fewer interruptions, and what is retired waits longer.
    /// let rcu = async_rcu::Rcu::builder().batch_interval(Duration::from_millis(20)).build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn batch_interval(mut self, interval: Duration) -> Self {
        self.settings.batch_interval = interval;
        self
    }

    /// How many callbacks may be pending: queued and not finished, running ones and [permits](crate::backpressure::Permit) included. Default:
    /// without limit, and then nothing is counted.
    ///
    /// Past half of it, grace periods no longer wait for the [interval](Self::batch_interval). At it,
    /// [`Rcu::try_call`] gives the closure back and [`Rcu::reserve`] waits; [`Rcu::call`] and
    /// [`Rcu::retire`], which never fail, are taken all the same, have grace periods forced, and are reported (target
    /// `async_rcu::backpressure`). With a limit, each callback costs an atomic addition to a count that all threads share.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().max_pending(1).build()?;
    /// let held = rcu.read_owned();
    /// rcu.call(|| ());
    /// assert!(rcu.try_call(|| ()).is_err());
    /// # drop(held);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn max_pending(mut self, n: usize) -> Self {
        self.max_pending = Some(n);
        self
    }

    /// How long a section may hold up a grace period, a callback run, or a batch get nowhere, before that is reported; after
    /// that with doubling pauses. Default: ten seconds. `Duration::MAX` is never, and less than a millisecond is one.
    ///
    /// ```
    /// use std::time::Duration;
    /// let rcu = async_rcu::Rcu::builder().stall_timeout(Duration::from_secs(1)).build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        // Nothing doubled is nothing: the reports would have no pauses.
        self.settings.stall_timeout = timeout.max(LEAST_STALL);
        self
    }

    /// Called with every stall. Default: none; a warning of target `async_rcu::stall` is emitted in any case, and where no
    /// subscriber takes it, written to standard error.
    ///
    /// Runs on the grace-period thread, and must be short.
    ///
    /// ```
    /// use std::time::Duration;
    /// let rcu = async_rcu::Rcu::builder()
    ///     .stall_timeout(Duration::from_secs(1))
    ///     .on_stall(|report| eprintln!("{report}"))
    ///     .build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn on_stall(mut self, hook: impl Fn(&StallReport) + Send + Sync + 'static) -> Self {
        self.settings.on_stall = Some(Box::new(hook));
        self
    }

    /// Called with every panic that was caught: of callbacks, of executors, of hooks. Default: none; an error event of
    /// target `async_rcu::panic` is emitted in any case.
    ///
    /// Runs on the grace-period thread, and must be short. For what was queued before a [`Rcu::drain`], it has been
    /// called when that is ready.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder()
    ///     .on_panic(|report| eprintln!("{report}"))
    ///     .build()?;
    /// rcu.call(|| panic!("a bug of ours"));
    /// rcu.blocking_drain();                          // reported by now
    /// assert_eq!(rcu.stats().panicked, 1);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn on_panic(mut self, hook: impl Fn(&PanicReport) + Send + Sync + 'static) -> Self {
        self.settings.on_panic = Some(Box::new(hook));
        self
    }

    /// Called when work was done and there is nothing left to do: a time to give memory back to the system. Default: none.
    ///
    /// Runs on the grace-period thread.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (send, idle) = mpsc::channel();
    /// let rcu = async_rcu::Rcu::builder().on_idle(move || drop(send.send(()))).build()?;
    /// rcu.call(|| println!("work"));
    /// idle.recv()?;                                  // done, and nothing left to do
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_idle(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.settings.on_idle = Some(Box::new(hook));
        self
    }

    /// Makes the domain, and starts its grace-period thread.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().build()?;
    /// rcu.blocking_synchronize();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`BuildError::Thread`] where the system does not start the thread (on targets without threads it never does).
    pub fn build(self) -> Result<Rcu, BuildError> {
        let Builder {
            name,
            executor,
            lock,
            max_pending,
            settings,
        } = self;
        let domain = Domain::start(name, settings, |core, name| {
            Dispatcher::new(core.hub, name, executor, lock, max_pending)
        });
        domain.map(Rcu::from_domain).map_err(BuildError::Thread)
    }

    /// Makes the domain, and makes it what [`Rcu::global`] gives out.
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
    /// [`InstallError::AlreadyStarted`] where the global domain is in use; or what [`build`](Self::build) says.
    pub fn install_global(self) -> Result<&'static Rcu, InstallError> {
        Rcu::install(self)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("batch_interval", &self.settings.batch_interval)
            .field("max_pending", &self.max_pending)
            .field("stall_timeout", &self.settings.stall_timeout)
            .finish_non_exhaustive()
    }
}
