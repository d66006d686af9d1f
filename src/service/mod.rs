//! Floor 5: the service. The one place where engine, queues and dispatch meet.
//!
//! - [`domain`]: what clones of one [`Rcu`](rcu::Rcu) share, and its life.
//! - [`driver`]: what the grace-period thread does.
//! - [`rcu`], [`builder`]: the handle and how it is made. [`futures`], [`cookie`], [`locked`], [`stats`]: what it gives out.

pub(crate) mod builder;
pub(crate) mod cookie;
pub(crate) mod domain;
pub(crate) mod driver;
pub(crate) mod fork;
pub(crate) mod futures;
pub(crate) mod latency;
pub(crate) mod locked;
pub(crate) mod rcu;
pub(crate) mod report;
pub(crate) mod reserve;
pub(crate) mod rest;
pub(crate) mod stats;
pub(crate) mod watchdog;
