use std::fmt;

/// A caught panic of the program's code. Given to [`Builder::on_panic`](crate::Builder::on_panic).
///
/// ```
/// use std::sync::mpsc;
/// let (send, reports) = mpsc::channel();
/// let rcu = async_rcu::Rcu::builder()
///     .on_panic(move |report| drop(send.send(report.to_string())))
///     .build()?;
/// rcu.call(|| panic!("no such device"));
/// rcu.blocking_drain();
/// assert!(reports.recv()?.contains("no such device"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PanicReport {
    /// The code that panicked.
    pub source: PanicSource,
    /// The panic's message.
    pub message: String,
    /// The name of the thread on which the panic happened.
    pub thread: Option<String>,
    /// The name of the domain.
    pub domain: String,
}

/// The kind of code that panicked.
///
/// ```
/// use async_rcu::{Rcu, report::PanicSource};
/// use std::sync::mpsc;
/// let (send, sources) = mpsc::channel();
/// let rcu = Rcu::builder()
///     .on_panic(move |report| drop(send.send(report.source)))
///     .build()?;
/// rcu.call(|| panic!("no such device"));
/// assert_eq!(sources.recv()?, PanicSource::Callback);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicSource {
    /// A callback, or the drop of a retired value. Counted in
    /// [`Stats::panicked`](crate::Stats::panicked).
    Callback,
    /// An async callback. Counted in [`Stats::panicked`](crate::Stats::panicked).
    AsyncCallback,
    /// [`Executor::execute`](crate::Executor::execute).
    Executor,
    /// A hook set in the [`Builder`](crate::Builder).
    Hook,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.source {
            PanicSource::Callback => "a callback",
            PanicSource::AsyncCallback => "an async callback",
            PanicSource::Executor => "the executor",
            PanicSource::Hook => "a hook",
        };
        write!(f, "RCU domain \"{}\": {what} panicked", self.domain)?;
        if let Some(thread) = &self.thread {
            write!(f, " on thread \"{thread}\"")?;
        }
        write!(f, ": {}", self.message)
    }
}
