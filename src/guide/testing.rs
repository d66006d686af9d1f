//! Testing programs that use it.
//!
//! # One domain for each test
//! Tests run side by side in one process: with the global domain, one test's guard holds up another's grace periods. Give what
//! you test an [`Rcu`](crate::Rcu) of its own ([`RcuCell::new_in`](crate::RcuCell::new_in)).
//!
//! # Wait for events, not for time
//! [`drain`](crate::Rcu::drain) when callbacks must have run, [`synchronize`](crate::Rcu::synchronize) when readers must have
//! left, [`Retired::wait`](crate::Retired::wait) for a value. A [cookie](crate::Rcu::start_grace_period) shows that something
//! has *not* ended:
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
//! Every future works on a `current_thread` runtime: grace periods are detected on a thread of their own. With
//! [`InlineExecutor`](crate::InlineExecutor) or the default worker, callbacks need no runtime either. tokio's paused time
//! does not stop grace periods, nor does it wait for them: with time paused, a runtime that has nothing else to do
//! jumps to its next timer while a grace period is under way. So do not put a `tokio::time::timeout` around a drain in such
//! a test; without one it works:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let rcu = async_rcu::Rcu::new();
//! rcu.call(|| ());
//! rcu.drain().await;
//! # });
//! ```
//!
//! # Deterministic callbacks
//! [`ChannelExecutor`](crate::ChannelExecutor) lets the test decide when callbacks run:
//!
//! ```
//! use async_rcu::{ChannelExecutor, Rcu};
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
//! # Ok::<(), async_rcu::BuildError>(())
//! ```
//!
//! # Fences instead of the system's barrier
//! With `ASYNC_RCU_BARRIER=fence` in the environment both sides use fences: for tools that know no process-wide barrier
//! (Miri, ThreadSanitizer, valgrind), and to see that a program does not depend on either.
//!
//! # Guards that should not be held across `.await`
//! [`ReadGuard`](crate::ReadGuard) and [`RcuRef`](crate::RcuRef) are not `Send`, so the compiler keeps them out of spawned
//! tasks. On a `LocalSet`, or in `block_on`, only clippy does. In `clippy.toml`:
//!
//! ```toml
//! await-holding-invalid-types = [
//!     { path = "async_rcu::ReadGuard", reason = "holds up grace periods while the task waits; use OwnedReadGuard" },
//!     { path = "async_rcu::RcuRef", reason = "holds up grace periods while the task waits; use OwnedRcuRef" },
//! ]
//! ```
//!
//! In debug builds, a future of the domain that has to wait while its thread has such a guard is reported at once, with the place
//! where the guard was made.
//!
//! # Leaks
//! Leak checkers see what is reachable from the domain's records, which are never freed but used again; and the callbacks that
//! were queued when the program ended: [`drain`](crate::Rcu::drain) first.
