//! How to test programs that use the crate.
//!
//! # One domain for each test
//! Tests run at the same time in one process. With the global domain, one test's guard holds up
//! another test's grace periods. Give the code under test an [`Rcu`](crate::Rcu) of its own
//! ([`RcuCell::new_in`](crate::RcuCell::new_in)).
//!
//! # Wait for events, not for time
//! - If callbacks must have run, wait for [`drain`](crate::Rcu::drain).
//! - If readers must have left, wait for [`synchronize`](crate::Rcu::synchronize).
//! - If a value must be unused, wait for [`Retired::wait`](crate::Retired::wait).
//!
//! A [cookie](crate::Rcu::start_grace_period) shows that a grace period has *not* ended:
//!
//! ```
//! let rcu = async_rcu::Rcu::new();
//! let reader = rcu.read_owned();
//! let cookie = rcu.start_grace_period();
//! assert!(!rcu.has_elapsed(cookie));
//! drop(reader);
//! rcu.blocking_synchronize();
//! assert!(rcu.has_elapsed(cookie));
//! ```
//!
//! # `current_thread` and paused time
//! Every future of the crate works on a `current_thread` runtime, because a thread of the domain
//! detects the end of grace periods. With [`InlineExecutor`](crate::executor::InlineExecutor) or
//! the default worker, callbacks need no runtime either.
//!
//! tokio's paused time does not stop grace periods, and does not wait for them. While time is
//! paused, a runtime that has nothing else to do jumps to its next timer, even if a grace period is
//! under way. So do not put a `tokio::time::timeout` around a drain in such a test. A drain without
//! a timeout works:
//!
//! ```
//! # let mut builder = tokio::runtime::Builder::new_current_thread();
//! # builder.enable_time().start_paused(true).build().unwrap().block_on(async {
//! let rcu = async_rcu::Rcu::new();
//! rcu.call(|| ());
//! rcu.drain().await;
//! # });
//! ```
//!
//! # Deterministic callbacks
//! With [`ChannelExecutor`](crate::executor::ChannelExecutor) the test decides when callbacks run:
//!
//! ```
//! use async_rcu::{Rcu, executor::ChannelExecutor};
//! use futures::StreamExt;
//! let (executor, mut batches) = ChannelExecutor::new();
//! let rcu = Rcu::builder().executor(executor).build()?;
//! rcu.call(|| println!("now"));
//! rcu.force();
//! futures::executor::block_on(async {
//!     let batch = batches.next().await.expect("the domain is alive");
//!     assert_eq!(batch.len(), 1);
//!     batch.run();
//! });
//! # Ok::<(), async_rcu::error::BuildError>(())
//! ```
//!
//! # Fences instead of the system's barrier
//! With `ASYNC_RCU_BARRIER=fence` in the environment, readers and grace periods both use fences.
//! Use this variable with tools that do not support the process-wide barrier (Miri,
//! ThreadSanitizer). Use it also to check that a program works with both kinds of barrier.
//!
//! # Guards that must not be held across `.await`
//! [`ReadGuard`](crate::ReadGuard) and [`RcuRef`](crate::RcuRef) are not `Send`, so the compiler
//! keeps them out of spawned tasks. On a `LocalSet`, or in `block_on`, only clippy finds them. Put
//! this in `clippy.toml`:
//!
//! ```toml
//! [[await-holding-invalid-types]]
//! path = "async_rcu::ReadGuard"
//! reason = "holds up grace periods while the task waits; use OwnedReadGuard"
//!
//! [[await-holding-invalid-types]]
//! path = "async_rcu::RcuRef"
//! reason = "holds up grace periods while the task waits; use OwnedRcuRef"
//! ```
//!
//! In debug builds, if a future of the domain has to wait while its thread has such a guard, the
//! domain reports the wait at once. The report names the line that made the guard.
//!
//! # Leaks
//! Leak checkers may show two kinds of memory:
//! - memory that is reachable from the domain's records, because records are used again and never
//!   freed;
//! - callbacks that are still queued when the program ends. Call [`drain`](crate::Rcu::drain)
//!   before the end to avoid these.
