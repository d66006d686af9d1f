//! Floor 5: the service. The one place where engine, queues and dispatch meet.
//!
//! - [`domain`]: what clones of one [`Rcu`](rcu::Rcu) share, and its life.
//! - [`driver`]: the turns of the grace-period thread; [`rest`]: how it sleeps and goes; [`watchdog`]: what it notices and tells.
//! - [`rcu`], [`builder`], [`global`]: the handle, how it is made, and the one of the process. [`calls`], [`reserve`]: queuing callbacks, and room for them.
//! - [`futures`], [`cookie`], [`locked`], [`stats`], [`latency`], [`report`]: what it gives out.
//! - [`publish`]: the figures for whoever collects them.
//! - [`fork`]: what becomes of domains in the child of a fork.

pub(crate) mod builder;
pub(crate) mod calls;
pub(crate) mod cookie;
pub(crate) mod domain;
pub(crate) mod driver;
pub(crate) mod fork;
pub(crate) mod futures;
mod global;
pub(crate) mod latency;
pub(crate) mod locked;
mod publish;
pub(crate) mod rcu;
pub(crate) mod report;
pub(crate) mod reserve;
pub(crate) mod rest;
pub(crate) mod stats;
pub(crate) mod watchdog;

#[cfg(all(test, not(rcu_loom)))]
mod tests;
