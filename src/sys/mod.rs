//! Floor 0: what the machine offers. It knows nothing of RCU.
//!
//! - [`prim`]: atomics, cells, locks, statics; `seq_cst`: loom's atomics.
//! - [`clock`]: the time. [`unwind`]: panics.
//! - [`barrier`]: the asymmetric fence, free on one side and process-wide on the other.
//! - [`event`]: a level-triggered event for one sleeper, which sleeps in `park`.
//! - [`sleep_state`]: whether that sleeper has to be woken.
//! - [`thread`]: named threads. [`stderr`]: the last resort for a report.
//! - [`teller`]: a thread that makes reports, so that a slow console holds up no other thread.
//! - [`delay`]: delays between the critical steps, for tests.
//! - `pages`: large pages. [`prefetch`]: cache lines in advance.
//! - [`gate`]: no fork while another thread holds a lock of this crate.
//! - [`budget`]: when a ready future gives the thread away. [`wake`]: calling wakers.
//!   [`wait_list`]: a list of waiters.
//!
//! Only this floor names `std::sync::atomic`, `std::thread` and system calls. A file begins with a
//! contract and has one inline module `platform` for each way to keep it. `--cfg rcu_portable`
//! selects the fallback barrier and sleep on any system, so that tests reach them.

pub(crate) mod barrier;
pub(crate) mod budget;
pub(crate) mod clock;
pub(crate) mod delay;
pub(crate) mod event;
pub(crate) mod gate;
#[cfg(not(rcu_loom))]
pub(crate) mod pages;
mod park;
pub(crate) mod prefetch;
pub(crate) mod prim;
#[cfg(rcu_loom)]
mod seq_cst;
pub(crate) mod sleep_state;
pub(crate) mod stderr;
pub(crate) mod teller;
pub(crate) mod thread;
pub(crate) mod unwind;
pub(crate) mod wait_list;
pub(crate) mod wake;
