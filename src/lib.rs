//! Read-copy-update (RCU) as a service for async Rust.
//!
//! Readers never wait and never write to shared memory. A writer publishes a new version. The old
//! version is reclaimed after a *grace period*, when every reader that could still see it has left.
//! One dedicated thread detects the end of grace periods. An [executor] of your choice runs the
//! deferred work, under a [global lock](global_lock) if you set one. Waiting is a future, with a
//! blocking twin.
//!
//! ```
//! use async_rcu::RcuCell;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let routes = RcuCell::new(vec![("/", "index")]);
//! assert_eq!(routes.with(|r| r[0].1), "index");     // read: no lock, no reference count
//! let old = routes.swap(vec![("/", "home")]);       // replace: new readers see the new version
//! let old = old.wait().await;                       // wait until no reader sees the old version
//! assert_eq!(old[0].1, "index");
//! # });
//! ```
//!
//! # Words
//! | word | meaning |
//! |---|---|
//! | section | a read-side critical section: from a guard's creation to its drop |
//! | grace period | a span of time in which every section that existed at its start has ended |
//! | callback | work that runs after a grace period; a [`Batch`] holds the callbacks of one grace period |
//! | force | to start grace periods at once, and ask the sections that hold them up to end |
//! | drain | to wait until every callback queued before has *finished* |
//! | domain | the state that the clones of one [`Rcu`] share; domains do not wait for each other's readers |
//!
//! # Where to begin
//! - [`RcuCell`]: a value that is read often and replaced seldom.
//! - [`RcuMap`]: a hash map whose readers take no lock.
//! - [`RcuList`], [`RcuVec`]: many values that are added and removed one by one.
//! - [`RcuPtr`]: a pointer to build other structures from.
//! - [`Rcu`]: sections, grace periods and callbacks, for structures of your own.
//! - [`guide`]: how the crate works, the names that QEMU, liburcu and Linux use, limits, figures.
//!
//! # What is promised
//! - Safe code never reaches a freed value. Leaked guards, guards dropped on other threads or in
//!   thread-local destructors, and guards of another domain do not change this.
//! - A callback runs exactly once, after every section that existed when the callback was queued,
//!   even if its executor drops the batch or is shut down. Sections that begin after the start of
//!   the callback's grace period do not delay it.
//! - A panic in a callback, a hook, an executor, a waker or a `Drop` is contained: it does not
//!   spread to other work.
//! - The crate wakes no thread of an idle process.
//!
//! # What is not promised
//! - A section that never ends holds up grace periods for ever, and keeps memory from being freed.
//! - No callback runs after `main` has returned: call [`drain`](Rcu::drain) first.
//! - Signal handlers must not use this crate.
//!
//! # Features
//! - `rt` (default): [`Executor`] for `tokio::runtime::Handle`, and [`Rcu::call_async`] on the
//!   current runtime. Without this feature the crate uses only tokio's `sync` and needs no runtime.
//! - `locations`: stall reports name the place and the task where a guard was made, in release
//!   builds as in debug builds. Reads are slower with this feature.
//! - `metrics`: the crate publishes the figures of [`Rcu::stats`] through the
//!   [`metrics`](https://docs.rs/metrics) facade, labelled with the domain's name, at most once a
//!   second, and not while the domain is idle. The counters are `async_rcu_grace_periods_total`,
//!   `.._forced_total`, `.._queued_total`, `.._finished_total`, `.._panicked_total`,
//!   `.._cancelled_total`, `.._batches_total`, `.._stalls_total`. The gauges are
//!   `async_rcu_pending`, `.._threads`, `.._owned_guards`, `.._oldest_section_seconds`,
//!   `.._longest_callback_seconds`, `.._grace_period_p50_seconds`, `.._grace_period_p99_seconds`,
//!   `.._grace_period_max_seconds`.

#![cfg_attr(rcu_loom, allow(dead_code, unreachable_pub, unused_imports))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "async-rcu needs 64-bit atomics, since the number of a grace period must never wrap; \
     this target has none"
);

mod callback;
pub mod cell;
pub mod collections;
mod dispatch;
mod domain;
mod grace_period;
#[cfg(not(rcu_loom))]
pub mod guide;
#[cfg(all(test, rcu_loom))]
mod loom_models;
mod reader;
mod sys;

#[doc(inline)]
pub use cell::{RcuCell, RcuRef, Retired};
#[doc(inline)]
pub use collections::RcuPtr;
#[cfg(not(rcu_loom))]
#[doc(inline)]
pub use collections::{RcuList, RcuMap, RcuVec};
pub use domain::builder::Builder;
pub use domain::rcu::Rcu;
#[doc(inline)]
pub use executor::{Batch, Executor};
#[doc(inline)]
pub use global_lock::GlobalLock;
#[doc(inline)]
pub use guard::{Guard, OwnedReadGuard, ReadGuard};
#[doc(inline)]
pub use report::Stats;
#[doc(inline)]
pub use wait::GracePeriod;

/// Read-side sections: the guards of [`Rcu::read`] and [`Rcu::read_owned`].
pub mod guard {
    pub use crate::reader::guard::{Guard, OwnedReadGuard, ReadGuard, ThreadRegistration};
    pub use crate::reader::release::ReleaseRequested;
}

/// Waiting for grace periods and callbacks: cookies, and the futures that [`Rcu`] returns.
pub mod wait {
    pub use crate::domain::drain::Drain;
    pub use crate::domain::shutdown::Shutdown;
    pub use crate::domain::synchronize::{GracePeriod, Synchronize};
}

/// Where callbacks run: the trait [`Executor`] and its implementations.
pub mod executor {
    pub use crate::dispatch::batch::Batch;
    pub use crate::dispatch::calling::CallingThread;
    pub use crate::dispatch::executor::{
        Batches, ChannelExecutor, Executor, InlineExecutor, WorkerThread,
    };
}

/// Running callbacks under a lock of the program: [`GlobalLock`], its guard and its futures.
pub mod global_lock {
    pub use crate::domain::global_lock::{
        DrainUnlocked, GlobalLock, GlobalLockGuard, Lock, SynchronizeUnlocked,
    };
}

/// Building your own structures under RCU, as the [collections] of this crate are built.
///
/// A structure keeps a [`DomainRef`](structures::DomainRef) and checks guards against it. The
/// structure passes unlinked memory to [`Rcu::retire_raw`] or to a callback of
/// [`Rcu::call_unchecked`], which free the memory after a grace period. Or it returns the memory to
/// its caller as [`Retired::from_raw`] or [`Retired::from_holder`]. [`RcuPtr`] needs no `unsafe`,
/// and is enough for many structures.
pub mod structures {
    pub use crate::cell::structures::{DomainRef, Holder};
}

/// Limiting the pending callbacks: what [`Rcu::reserve`] returns.
pub mod backpressure {
    pub use crate::domain::backpressure::{Permit, Reserve};
}

/// What a domain reports: figures, stalls, forced grace periods, panics.
pub mod report {
    pub use crate::dispatch::panics::{PanicReport, PanicSource};
    pub use crate::domain::force::ForceNotifier;
    pub use crate::domain::stall::report::{ForceEvent, HeldSection, StallKind, StallReport};
    pub use crate::domain::stats::{Latency, Stats};
    pub use crate::sys::barrier::MemoryBarrier;
}

/// The errors of all modules.
pub mod error {
    pub use crate::collections::CompareExchangeError;
    pub use crate::domain::backpressure::Full;
    pub use crate::domain::builder::BuildError;
    pub use crate::domain::drain::Timeout;
    pub use crate::domain::global::InstallError;
}

/// The README's code blocks, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
