//! The contents of a stall report, and of the event that a force causes.

use crate::reader::registry::Section;
use crate::sys::thread::ThreadId;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// The most sections that a report lists. It counts them all.
pub(crate) const LISTED: usize = 32;

/// A report of something that takes longer than
/// [`Builder::stall_timeout`](crate::Builder::stall_timeout), or can never end. Given to
/// [`Builder::on_stall`](crate::Builder::on_stall). `Display` writes it as a sentence.
///
/// ```
/// use std::{sync::mpsc, time::Duration};
/// let (send, reports) = mpsc::channel();
/// let rcu = async_rcu::Rcu::builder()
///     .name("routes")
///     .stall_timeout(Duration::from_millis(10))
///     .on_stall(move |report| drop(send.send(report.to_string())))
///     .build()?;
/// let forgotten = rcu.read_owned();
/// rcu.call(|| ());
/// let report = reports.recv()?;
/// assert!(report.contains("routes") && report.contains("1 callback pending"));
/// # drop(forgotten);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StallReport {
    /// The name of the domain.
    pub domain: String,
    /// What is stuck.
    pub kind: StallKind,
    /// A lower bound for the time that it has been stuck.
    pub age: Duration,
    /// The sections that block grace periods, oldest first, at most 32. Empty for other kinds.
    pub holders: Vec<HeldSection>,
    /// How many such sections there are.
    pub holders_total: usize,
    /// The name of the thread that is stuck, if a thread is stuck.
    pub thread: Option<String>,
    /// The id of that thread.
    pub thread_id: Option<ThreadId>,
    /// Callbacks queued and not finished.
    pub pending: u64,
    /// How often this stall was reported before. The pauses between the reports double.
    pub repeated: u32,
}

/// The kind of a stall.
///
/// ```
/// use async_rcu::report::StallKind;
/// use std::{sync::mpsc, time::Duration};
/// let (send, kinds) = mpsc::channel();
/// let rcu = async_rcu::Rcu::builder()
///     .stall_timeout(Duration::from_millis(10))
///     .on_stall(move |report| drop(send.send(report.kind)))
///     .build()?;
/// let forgotten = rcu.read_owned();
/// rcu.call(|| ());
/// assert_eq!(kinds.recv()?, StallKind::Section);
/// # drop(forgotten);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallKind {
    /// Open sections block a grace period.
    Section,
    /// A callback, or the drop of a retired value, has been running too long.
    Callback,
    /// A batch was given to the executor and has not been polled since.
    Batch,
    /// A batch waits for the [`GlobalLock`](crate::GlobalLock), whose holder has not released it.
    GlobalLock,
    /// An async callback has not ended, and a drain waits for it.
    AsyncCallback,
    /// A thread inside a section of the domain polls a future of the domain (named here). If the
    /// guard belongs to the same task, the task waits for ever. Reported at once, in debug builds
    /// and with the feature `locations`.
    WaitInSection(&'static str),
    /// An async callback polls a future of its domain (named here), which waits for the callback.
    /// Reported at once.
    WaitInCallback(&'static str),
}

/// An open section that holds up grace periods.
///
/// ```
/// use std::sync::mpsc;
/// let (send, holders) = mpsc::channel();
/// let rcu = async_rcu::Rcu::new();
/// let _notifier = rcu.on_force(move |event| drop(send.send(event.holders.clone())));
/// let guard = rcu.read_owned();
/// rcu.call(|| ());
/// rcu.force();
/// let holders = holders.recv()?;
/// assert!(holders[0].owned);
/// assert_eq!(holders[0].thread_id, std::thread::current().id());
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeldSection {
    /// The name of the thread that opened the section.
    pub thread: Option<String>,
    /// The id of that thread.
    pub thread_id: ThreadId,
    /// That thread has ended: its guard was leaked, or is an owned guard that is held elsewhere.
    pub thread_ended: bool,
    /// The guard is an [`OwnedReadGuard`](crate::OwnedReadGuard): another thread may hold it now.
    pub owned: bool,
    /// Where the guard was made: in debug builds, and with the feature `locations`.
    pub location: Option<&'static Location<'static>>,
    /// The tokio task that made the guard, if any: in the same builds.
    pub task: Option<u64>,
    /// A lower bound for the age of the section: the time since the start of the first grace period
    /// that it blocks.
    pub age: Duration,
}

/// The sections that block forced grace periods. Given to [`Rcu::on_force`](crate::Rcu::on_force).
///
/// ```
/// use std::sync::mpsc;
/// let (send, events) = mpsc::channel();
/// let rcu = async_rcu::Rcu::builder().name("routes").build()?;
/// let _notifier = rcu.on_force(move |event| drop(send.send(event.to_string())));
/// let guard = rcu.read_owned();
/// rcu.call(|| ());
/// rcu.force();
/// assert!(events.recv()?.contains("1 read-side section asked to end"));
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForceEvent {
    /// The name of the domain.
    pub domain: String,
    /// The sections that are asked to end, oldest first, at most 32.
    pub holders: Vec<HeldSection>,
    /// How many such sections there are.
    pub holders_total: usize,
    /// Callbacks queued and not finished.
    pub pending: u64,
}

impl HeldSection {
    pub(crate) fn new(section: Section, age: Duration) -> Self {
        Self {
            thread: section.owner.thread.name().map(str::to_owned),
            thread_id: section.owner.thread.id(),
            thread_ended: section.owner.ended,
            owned: section.owned,
            location: section.opening.location,
            task: section.opening.task,
            age,
        }
    }
}

impl fmt::Display for HeldSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.owned {
            true => "an owned guard made by ",
            false => "a guard made by ",
        })?;
        f.write_str(match self.thread_ended {
            true => "the ended thread ",
            false => "thread ",
        })?;
        match &self.thread {
            Some(name) => write!(f, "\"{name}\" ({:?})", self.thread_id)?,
            None => write!(f, "{:?}", self.thread_id)?,
        }
        if let Some(task) = self.task {
            write!(f, " in task {task}")?;
        }
        if let Some(location) = self.location {
            write!(f, " at {location}")?;
        }
        match self.age.is_zero() {
            true => Ok(()),
            false => write!(f, ", held for {:.1?}", self.age),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, holders: &[HeldSection], total: usize) -> fmt::Result {
    for (place, holder) in holders.iter().enumerate() {
        write!(f, "{}{holder}", if place == 0 { ": " } else { "; " })?;
    }
    match total.saturating_sub(holders.len()) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

impl fmt::Display for StallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCU domain \"{}\": ", self.domain)?;
        let age = self.age;
        match self.kind {
            StallKind::Section => {
                let n = self.holders_total as u64;
                write!(f, "grace period blocked for {age:.1?} by {n} read-side section")?;
                f.write_str(plural(n))?;
                list(f, &self.holders, self.holders_total)?;
            }
            StallKind::Callback => write!(f, "a callback has been running for {age:.1?}")?,
            StallKind::Batch => write!(
                f,
                "a batch was given to the executor {age:.1?} ago and has not been polled since"
            )?,
            StallKind::GlobalLock => write!(
                f,
                "a batch has been waiting for {age:.1?} for the global lock, whose holder has not \
                 released it"
            )?,
            StallKind::AsyncCallback => write!(
                f,
                "a drain waits for an async callback that has been running for {age:.1?}"
            )?,
            StallKind::WaitInSection(what) => {
                write!(
                    f,
                    "possible deadlock: {what} is awaited inside a read-side section of the same \
                     domain; drop the guard before the wait"
                )?;
                list(f, &self.holders, self.holders_total)?;
            }
            StallKind::WaitInCallback(what) => write!(
                f,
                "deadlock: {what} is awaited inside an async callback of the same domain, and \
                 waits for that callback"
            )?,
        }
        match (&self.thread, self.thread_id) {
            (Some(name), Some(id)) => write!(f, " on thread \"{name}\" ({id:?})")?,
            (None, Some(id)) => write!(f, " on thread {id:?}")?,
            _ => {}
        }
        let n = self.pending;
        write!(f, "; {n} callback{} pending", plural(n))
    }
}

impl fmt::Display for ForceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, total) = (self.pending, self.holders_total as u64);
        write!(
            f,
            "RCU domain \"{}\": {total} read-side section{} asked to end",
            self.domain,
            plural(total)
        )?;
        list(f, &self.holders, self.holders_total)?;
        write!(f, "; {n} callback{} pending", plural(n))
    }
}
