//! Floor 3: storing deferred work. Cannot run anything by itself.
//!
//! - [`erased`]: a closure of any type in four words.
//! - [`queue`]: each thread's queue of them, single producer, single collector.
//! - [`calls`]: what was collected, in order, owned.

pub(crate) mod calls;
pub(crate) mod erased;
pub(crate) mod queue;
