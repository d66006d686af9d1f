//! Floor 6: structures under RCU. Built on the public facade.
//!
//! Readers take no lock and write nothing; writers of one structure take turns. No element is moved or copied while readers
//! may see it: each lies behind a pointer, and goes by way of [`Retired`](crate::Retired) or of a callback.
//!
//! - [`ptr`]: a pointer that may be null. [`list`]: a list, over [`chain`]. [`vec`]: an array, over [`spine`].
//!   [`map`]: a hash map.
//! - [`writers`]: its writers' lock. [`drop_all`]: dropping many values.
//!
//! [`chain`] and [`spine`] have orderings of their own, and loom models.

pub(crate) mod chain;
mod drop_all;
#[cfg(not(rcu_loom))]
mod list;
pub(crate) mod map;
mod ptr;
pub(crate) mod spine;
#[cfg(not(rcu_loom))]
mod vec;
#[cfg(not(rcu_loom))]
mod writers;

#[cfg(not(rcu_loom))]
pub use list::{ListIter, ListWriter, RcuList};
pub use ptr::{CompareExchangeError, RcuPtr};
#[cfg(not(rcu_loom))]
pub use vec::{RcuVec, VecIter, VecView, VecWriter};
