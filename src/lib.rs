//! Read-copy-update as a service for async Rust.
//!
//! Readers never wait and never write to shared memory. Writers publish a new version, and the old one is reclaimed after a
//! *grace period*: when every reader that could still see it has left. Detecting that is the job of one dedicated thread;
//! running what was deferred is the job of an [executor](Executor) of your choice, or of one task that holds your
//! [global lock](GlobalLock). Waiting is a future, with a blocking twin.
//!
//! ```
//! use async_rcu::RcuCell;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let routes = RcuCell::new(vec![("/", "index")]);
//! assert_eq!(routes.with(|r| r[0].1), "index");     // read: no lock, no count
//! let old = routes.swap(vec![("/", "home")]);       // replace: seen at once
//! let old = old.wait().await;                       // seen by nobody else
//! assert_eq!(old[0].1, "index");
//! # });
//! ```
//!
//! # Words
//! | word | meaning |
//! |---|---|
//! | section | a read-side critical section: from a guard's creation to its drop |
//! | grace period | a span in which every section that existed at its start has ended |
//! | callback | what runs after a grace period; a [`Batch`] is the callbacks of one grace period |
//! | force | ask that the grace periods under way end now |
//! | drain | wait until every callback queued before has *finished* |
//! | domain | what clones of one [`Rcu`] share; domains do not wait for each other's readers |
//!
//! # Where to begin
//! - [`RcuCell`]: a value that is read all the time and replaced now and then.
//! - [`RcuList`], [`RcuVec`]: many values that come and go one by one; [`RcuPtr`]: to build other structures from.
//! - [`RcuMap`]: a hash map whose readers take no lock.
//! - [`Rcu`]: sections, grace periods and callbacks, to build one's own structures on.
//! - [`guide`]: how it works, the old names of QEMU, liburcu and Linux, limits, figures.
//!
//! # What is promised
//! - No safe code reaches a freed value: not by leaking guards, not by dropping them on other threads or in
//!   thread-local destructors, not by guards of another domain.
//! - A callback runs exactly once, after every section that existed when it was queued, whatever becomes of its
//!   executor; and it is not held up by sections that began after its grace period.
//! - A panic in a callback, a hook, an executor, a waker or a `Drop` stays where it is.
//! - An idle process sees no wake-up at all.
//!
//! # What is not
//! - A section that never ends keeps its grace periods from ending, and memory from being freed.
//! - Nothing runs after `main` has returned: [`drain`](Rcu::drain) first.
//! - Nothing here may be used in a signal handler.
//!
//! # Features
//! `rt` (default): [`Executor`] for `tokio::runtime::Handle`, and [`Rcu::call_async`] on the current runtime. Without it
//! only tokio's `sync` is used, and no runtime is needed.
//!
//! `locations`: guards remember where they were made, and by which task, in release builds too, so that stall reports name
//! it; it makes reading slower. In debug builds they always do.
//!
//! `metrics`: the figures of [`Rcu::stats`] are published through the [`metrics`](https://docs.rs/metrics) facade, labelled with
//! the domain's name, at most once a second while something goes on: counters `async_rcu_grace_periods_total`,
//! `.._forced_total`, `.._queued_total`, `.._finished_total`, `.._panicked_total`, `.._cancelled_total`, `.._batches_total`,
//! `.._stalls_total`; gauges `async_rcu_pending`, `.._threads`, `.._owned_guards`, `.._oldest_section_seconds`,
//! `.._longest_callback_seconds`, `.._grace_period_p50_seconds`, `.._p99_seconds`, `.._max_seconds`.

#![cfg_attr(rcu_loom, allow(dead_code, unreachable_pub, unused_imports))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "async-rcu needs 64-bit atomics, which this target does not have: the number of a grace period must never wrap"
);

mod callback;
mod cell;
mod collections;
mod dispatch;
mod domain;
mod grace_period;
#[cfg(not(rcu_loom))]
pub mod guide;
#[cfg(all(test, rcu_loom))]
mod loom_models;
mod reader;
mod sys;

/// What the crate shows.
mod facade {
    pub use crate::cell::{
        Changed, Deferred, OwnedRcuRef, RcuCell, RcuRef, Reclaim, ReclaimAll, Retired, Watcher,
    };
    pub use crate::collections::{CompareExchangeError, RcuPtr};
    pub use crate::dispatch::batch::Batch;
    pub use crate::dispatch::channel::{Batches, ChannelExecutor};
    pub use crate::dispatch::dispatcher::{PanicReport, PanicSource};
    pub use crate::dispatch::executor::{Executor, InlineExecutor, SpawnExecutor, WorkerThread};
    pub use crate::dispatch::global_lock::{GlobalLock, GlobalLockGuard, LockGlobal};
    pub use crate::domain::builder::{BuildError, Builder, InstallError};
    pub use crate::domain::cookie::GracePeriod;
    pub use crate::domain::futures::{Drain, Shutdown, Synchronize};
    pub use crate::domain::latency::Latency;
    pub use crate::domain::locked::{DrainUnlocked, SynchronizeUnlocked};
    pub use crate::domain::rcu::{Rcu, Timeout};
    pub use crate::domain::reserve::{Full, Permit, Reserve};
    pub use crate::domain::stall::ForceNotifier;
    pub use crate::domain::stall::report::{ForceEvent, HeldSection, StallKind, StallReport};
    pub use crate::domain::stats::Stats;
    pub use crate::reader::guard::{Guard, OwnedReadGuard, ReadGuard, Registration};
    pub use crate::reader::release::ReleaseRequested;
    pub use crate::sys::barrier::MemoryBarrier;
}
pub use facade::*;

/// loom's models have the parts of collections that have orderings of their own.
#[cfg(not(rcu_loom))]
mod collected {
    pub use crate::collections::map::{MapIter, MapKeys, MapValues, RcuMap};
    pub use crate::collections::{ListIter, ListWriter, RcuList};
    pub use crate::collections::{RcuVec, VecIter, VecView, VecWriter};
}
#[cfg(not(rcu_loom))]
pub use collected::*;

/// The README's code blocks, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
