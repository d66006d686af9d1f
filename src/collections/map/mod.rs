//! [`RcuMap`]: a hash map for tables that are read all the time and changed now and then.
//!
//! - [`raw`]: buckets, tables, resizing, walking: everything that has an ordering. It knows neither
//!   keys nor domains, runs no foreign code, and is what loom's models run.
//! - `entry`: what lies in a bucket, and how it is retired, alone and many at once.
//! - `handle`, `read`, `write`: the public face.

#[cfg(not(rcu_loom))]
mod entry;
#[cfg(not(rcu_loom))]
mod handle;
pub(crate) mod raw;
#[cfg(not(rcu_loom))]
mod read;
#[cfg(all(test, not(rcu_loom)))]
mod tests;
#[cfg(not(rcu_loom))]
mod write;

#[cfg(not(rcu_loom))]
pub use handle::RcuMap;
#[cfg(not(rcu_loom))]
pub use read::{MapIter, MapKeys, MapValues};
