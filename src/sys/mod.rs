//! Floor 0: what the machine offers. Knows nothing of RCU.
//!
//! - [`prim`]: atomics, cells, locks; `std`'s, or loom's under `--cfg rcu_loom`.
//! - [`clock`]: the time; [`unwind`]: panics.
//! - [`barrier`]: the asymmetric fence: free on the many side, a process-wide barrier on the one side.
//! - [`event`]: a level-triggered event for one sleeper.
//! - [`sleep_state`]: whether that sleeper has to be woken at all.
//! - [`thread`]: named threads, and the name of the current one. [`stderr`]: the last resort of a report.
//! - [`delay`]: where a thread that stops at the wrong moment is tried out.
//! - [`gate`]: no fork while another thread holds one of our locks.
//! - [`wait_list`]: wakers under keys, woken outside the lock.
//! - [`wake`]: calling foreign code that must not take a thread down.
//!
//! `std::sync::atomic`, `std::thread` and system calls are named here and nowhere else.
//!
//! `--cfg rcu_portable` takes the barrier and the sleep that systems without a better one get, on any system: for tests of them.

pub(crate) mod barrier;
pub(crate) mod clock;
pub(crate) mod delay;
pub(crate) mod event;
pub(crate) mod gate;
mod park;
#[cfg_attr(not(rcu_loom), path = "prim/native.rs")]
#[cfg_attr(rcu_loom, path = "prim/loom.rs")]
pub(crate) mod prim;
pub(crate) mod sleep_state;
pub(crate) mod stderr;
pub(crate) mod thread;
pub(crate) mod unwind;
pub(crate) mod wait_list;
pub(crate) mod wake;
