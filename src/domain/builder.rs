//! Making a domain.

use super::Domain;
use super::dispatcher::Dispatcher;
use super::global_lock::GlobalLock;
use super::rcu::Rcu;
use super::stall::report::StallReport;
use crate::dispatch::calling::CallingThread;
use crate::dispatch::executor::{Executor, WorkerThread};
use crate::dispatch::job::BigLock;
use crate::dispatch::panics::PanicReport;
use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

const LEAST_STALL: Duration = Duration::from_millis(1);

type StallHook = Box<dyn Fn(&StallReport) + Send + Sync>;
type PanicHook = Box<dyn Fn(&PanicReport) + Send + Sync>;
type IdleHook = Box<dyn Fn() + Send + Sync>;

/// A panic hook that prints a backtrace needs some tens of kilobytes.
const LEAST_STACK: usize = 256 * 1024;

pub(super) struct Settings {
    pub(super) batch_interval: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) keep_memory: bool,
    pub(super) on_stall: Option<StallHook>,
    pub(super) on_panic: Option<PanicHook>,
    pub(super) on_idle: Option<IdleHook>,
}

impl Rcu {
    /// Makes a domain with the default settings.
    ///
    /// ```
    /// use async_rcu::{Rcu, RcuCell};
    /// let rcu = Rcu::new();
    /// let cell = RcuCell::new_in(&rcu, 1);
    /// assert_eq!(*cell.load(&rcu.read()), 1);
    /// ```
    ///
    /// # Panics
    /// If the grace-period thread cannot be started. [`Builder::build`] returns this as an error.
    pub fn new() -> Rcu {
        match Rcu::builder().build() {
            Ok(rcu) => rcu,
            Err(error) => error.panic(),
        }
    }

    /// Returns a builder for a domain with settings.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder().name("routes").build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for Rcu {
    fn default() -> Self {
        Self::new()
    }
}

/// The settings of a domain to be made, from [`Rcu::builder`].
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
    /// The executor is `CallingThread`.
    by_callers: bool,
    lock: Option<Box<dyn BigLock>>,
    max_pending: Option<usize>,
    stack_size: Option<usize>,
    settings: Settings,
}

/// The reason why a domain could not be made.
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

impl BuildError {
    #[cold]
    pub(super) fn panic(self) -> ! {
        let Self::Thread(reason) = &self;
        panic!("{self}: {reason}")
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            name: None,
            executor: Arc::new(WorkerThread),
            by_callers: false,
            lock: None,
            max_pending: None,
            stack_size: None,
            settings: Settings {
                batch_interval: Duration::from_millis(1),
                stall_timeout: Duration::from_secs(10),
                keep_memory: true,
                on_stall: None,
                on_panic: None,
                on_idle: None,
            },
        }
    }

    /// Sets the domain's name. Default: a number. Its threads are `rcu-NAME` and `rcu-NAME-cb`.
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

    /// Sets the executor that runs callbacks. Default: [`WorkerThread`].
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
        let any: &dyn Any = &executor;
        self.by_callers = any.is::<CallingThread>();
        self.executor = Arc::new(executor);
        self
    }

    /// Sets the [`GlobalLock`] under which callbacks run, on the executor. Default: no lock.
    ///
    /// A batch takes the lock for each of its time slices. Grace periods never wait for the lock.
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

    /// Sets the least time between two grace periods for callbacks. Default: one millisecond. A
    /// thread that queues some thousand callbacks within this time starts one earlier.
    ///
    /// Each grace period interrupts every processor that runs this process. The first grace period
    /// of an idle domain starts at once. Waits, force and drain do not wait for the interval, and
    /// neither does the drop of a structure when its domain has no other handles than those of
    /// structures: the domain may be about to end. While
    /// two grace periods for callbacks are held up by sections, later callbacks wait for the end of
    /// the older one.
    ///
    /// ```
    /// use std::time::Duration;
    /// // Fewer interruptions, and retired values live longer.
    /// let rcu = async_rcu::Rcu::builder().batch_interval(Duration::from_millis(20)).build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn batch_interval(mut self, interval: Duration) -> Self {
        self.settings.batch_interval = interval;
        self
    }

    /// Sets whether the memory of retired values is kept for the next ones. Default: yes.
    ///
    /// A retired value is dropped on the executor. The memory of its box goes back to the thread
    /// that retired it, which puts its next values there: neither thread goes to the allocator. A
    /// thread keeps the memory of boxes up to a kilobyte, of the four layouts that it uses most, up
    /// to a megabyte in all; a domain keeps up to 32 megabytes. To this come the boxes of the last
    /// few callbacks of each thread, up to 122.
    /// [`Stats::kept_bytes`](crate::Stats::kept_bytes) says how much. When the domain is idle, all
    /// of it is freed, before [`on_idle`](Self::on_idle) is called. What a thread keeps is freed
    /// when it ends.
    ///
    /// ```
    /// // Every box is freed where its value is dropped.
    /// let rcu = async_rcu::Rcu::builder().keep_memory(false).build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn keep_memory(mut self, keep: bool) -> Self {
        self.settings.keep_memory = keep;
        self
    }

    /// Limits unfinished callbacks and [permits](crate::backpressure::Permit). Default: no limit.
    ///
    /// Above half of the limit, grace periods no longer wait for the
    /// [interval](Self::batch_interval). At the limit, [`Rcu::try_call`] gives the closure back and
    /// [`Rcu::reserve`] waits. [`Rcu::call`] and [`Rcu::retire`] never fail: at the limit they
    /// still queue, force grace periods, and cause a warning (target `async_rcu::backpressure`).
    /// With a limit, each callback costs an atomic addition to a count that all threads share.
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

    /// Sets the time after which a section that holds up a grace period, a callback that runs, or a
    /// batch that makes no progress is reported. Default: ten seconds. The pauses between further
    /// reports double. `Duration::MAX` disables the reports. The least time is one millisecond.
    ///
    /// ```
    /// use std::time::Duration;
    /// let rcu = async_rcu::Rcu::builder().stall_timeout(Duration::from_secs(1)).build()?;
    /// # drop(rcu);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        // A zero timeout would leave no pauses between reports.
        self.settings.stall_timeout = timeout.max(LEAST_STALL);
        self
    }

    /// Sets a hook that is called with every stall report. Default: no hook. With and without a
    /// hook, each report is a warning of target `async_rcu::stall`; without a subscriber it goes to
    /// standard error.
    ///
    /// The hook runs on the grace-period thread, and must be short.
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

    /// Sets a hook that is called with every caught panic of a callback, an executor or a hook.
    /// Default: no hook. With and without a hook, each panic is an error event of target
    /// `async_rcu::panic`.
    ///
    /// The hook runs on the grace-period thread, and must be short. A [`Rcu::drain`] also waits for
    /// the hook's calls for the callbacks that were queued before the drain.
    ///
    /// ```
    /// let rcu = async_rcu::Rcu::builder()
    ///     .on_panic(|report| eprintln!("{report}"))
    ///     .build()?;
    /// rcu.call(|| panic!("a bug of ours"));
    /// rcu.blocking_drain();                          // the hook has been called
    /// assert_eq!(rcu.stats().panicked, 1);
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn on_panic(mut self, hook: impl Fn(&PanicReport) + Send + Sync + 'static) -> Self {
        self.settings.on_panic = Some(Box::new(hook));
        self
    }

    /// Sets a hook that is called when the domain has done all its work: a time to give memory back
    /// to the system. Default: no hook. The hook runs on the grace-period thread.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (send, idle) = mpsc::channel();
    /// let rcu = async_rcu::Rcu::builder().on_idle(move || drop(send.send(()))).build()?;
    /// rcu.call(|| println!("work"));
    /// idle.recv()?;                                  // no work is left
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_idle(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.settings.on_idle = Some(Box::new(hook));
        self
    }

    /// Sets the size in bytes of the stacks of the domain's threads. Default: that of
    /// [`std::thread::Builder::stack_size`], two megabytes.
    ///
    /// The drop of a retired value runs on such a stack. A value that drops its parts by recursion,
    /// such as a long list of boxes, may need more. The least is 256 kilobytes.
    ///
    /// ```
    /// struct Link(Option<Box<Link>>);
    /// let rcu = async_rcu::Rcu::builder().stack_size(256 << 20).build()?;
    /// let mut chain = Box::new(Link(None));
    /// for _ in 0..100_000 {
    ///     chain = Box::new(Link(Some(chain)));
    /// }
    /// rcu.retire(chain);
    /// rcu.blocking_drain();
    /// # Ok::<(), async_rcu::error::BuildError>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes.max(LEAST_STACK));
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
    /// [`BuildError::Thread`] if the thread cannot be started, as on targets without threads.
    pub fn build(self) -> Result<Rcu, BuildError> {
        let Builder { name, executor, by_callers, lock, max_pending, stack_size, settings } = self;
        let domain = Domain::start(name, settings, |registry, name| {
            let event = &registry.signals.event;
            Dispatcher::new(event, name, executor, lock, max_pending, by_callers, stack_size)
        });
        domain.map(Rcu::from_domain).map_err(BuildError::Thread)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("batch_interval", &self.settings.batch_interval)
            .field("keep_memory", &self.settings.keep_memory)
            .field("max_pending", &self.max_pending)
            .field("stall_timeout", &self.settings.stall_timeout)
            .finish_non_exhaustive()
    }
}
