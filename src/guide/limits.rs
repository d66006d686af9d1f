//! Limits, and what goes wrong when.
//!
//! | case | what happens |
//! |---|---|
//! | a blocking wait while this thread has a [`ReadGuard`](crate::ReadGuard) of the same domain, inside one of its callbacks, or on a grace-period thread | panic that names the deadlock, at once |
//! | the same in a thread-local destructor that runs after the crate's own, inside a section that began there | not recognised: waits for ever |
//! | a blocking wait in an async context | panic, where tokio's own blocking calls panic |
//! | an awaited wait while one's own task holds a guard of the same domain | waits for ever: it cannot be told from a slow reader |
//! | `drain` awaited while one holds the global lock, or inside an async callback of the same domain | waits for ever; for the first, use [`GlobalLockGuard::drain`](crate::GlobalLockGuard::drain) |
//! | a callback, or the drop of a retired value, panics | caught, counted, reported; the next one runs |
//! | the executor panics, drops a batch, or its runtime is shut down | the domain's worker thread runs the rest |
//! | a batch is leaked with `mem::forget` | its callbacks are lost, and drains that came after wait for ever |
//! | a `current_thread` runtime as executor that nobody drives | its batches wait; grace periods go on |
//! | a guard is leaked | its section is open for ever: what is retired after it is never freed |
//! | the last handle is dropped with work queued | the thread finishes it, then ends |
//! | the grace-period thread cannot be started | [`BuildError`](crate::BuildError); where it is a restart: work stays queued, every later call, wait or force tries again, and who waits drives the domain meanwhile |
//! | the system refuses the process-wide barrier at start | both sides use fences; [`Stats::barrier`](crate::Stats::barrier) says so |
//! | it refuses it later | the process aborts: readers already run without fences |
//! | `main` returns | nothing runs after it: [`drain`](crate::Rcu::drain) first |
//! | `fork` without `exec` | not supported: the child has no grace-period thread |
//!
//! # Memory
//! A registered thread costs one record (a kilobyte), which is used again after the thread has ended and is never
//! freed; an owned guard eight bytes at the peak; a queued callback 32 bytes, and a box where it captures more than three
//! words. Chunks of the queue are freed as they are used up.
//!
//! # Platforms
//! | target | barrier | sleep |
//! |---|---|---|
//! | Linux, Android | `membarrier` (4.14 or later), else fences | futex |
//! | Windows | `FlushProcessWriteBuffers` | `WaitOnAddress` |
//! | other Unix | fences | a condition variable |
//! | no threads (wasm) | [`BuildError`](crate::BuildError) | |
