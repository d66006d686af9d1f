//! Floor 4: running ready work.
//!
//! # The way of a callback
//! The grace-period thread collects it under a *ticket* (the number of the collection), and when its grace period is
//! over wraps the collection in a [`Batch`](batch::Batch) and hands that to the domain's [`Executor`](executor::Executor).
//! Whoever runs the batch takes each callback out before running it, under `catch_unwind`. A batch that is dropped before
//! its end goes to the [worker](worker::Worker), and never back to an executor. The ticket closes when the batch, the
//! async callbacks that it spawned, and the reports that it caused, are done; a drain waits for all tickets up to its own.
//!
//! # Locks
//! Every lock on this floor is held for a few instructions, and never around foreign code: executors, wakers, callbacks,
//! futures, drops of either. None is taken inside another.

pub(crate) mod backlog;
pub(crate) mod batch;
pub(crate) mod block;
pub(crate) mod channel;
pub(crate) mod dispatcher;
pub(crate) mod executor;
pub(crate) mod global_lock;
pub(crate) mod here;
pub(crate) mod job;
#[cfg_attr(feature = "rt", path = "runtime.rs")]
#[cfg_attr(not(feature = "rt"), path = "no_runtime.rs")]
pub(crate) mod runtime;
pub(crate) mod tickets;
pub(crate) mod watch;
pub(crate) mod worker;
