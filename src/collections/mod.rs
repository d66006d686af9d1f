//! Collections under RCU: a hash map, a list, an array, and a pointer to build others from.
//!
//! Readers take no lock and write nothing. Writers of a list or an array take turns; writers of a
//! map lock one bucket. No element is moved or copied while readers may see it: each element is
//! behind a pointer, and is dropped after a grace period.

// `chain` is under the list, `spine` under the array. Both have orderings of their own, and loom
// models. `writers` is the writers' lock; `drop_all` drops many values.

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
#[cfg(not(rcu_loom))]
pub use map::{MapIter, MapKeys, MapValues, RcuMap};
pub use ptr::{CompareExchangeError, RcuPtr};
#[cfg(not(rcu_loom))]
pub use vec::{RcuVec, VecIter, VecView, VecWriter};
