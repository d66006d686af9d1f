//! Limits, and what goes wrong when.
//!
//! # Faults
//! | case | what happens | shown by |
//! |---|---|---|
//! | a blocking wait while this thread has a [`ReadGuard`](crate::ReadGuard) of the same domain, inside one of its callbacks, or on a grace-period thread | panic that names the deadlock, at once | `tests/blocking.rs` |
//! | the same in a thread-local destructor that runs after the crate's own, inside a section that began there | not recognised: waits for ever, and is reported as a stall | |
//! | a blocking wait in an async context | panic, where tokio's own blocking calls panic | `tests/blocking.rs` |
//! | a future of the domain has to wait while its thread has a [`ReadGuard`](crate::ReadGuard) of the domain | debug builds, and the feature `locations`: reported at once, with the place of the guard. It goes on waiting, and so does the grace period | `tests/stalls.rs` |
//! | an awaited wait while one's own task holds an owned guard of the same domain | cannot be told from a slow reader: waits, and is reported as a stall that names the guard | `tests/stalls.rs` |
//! | `drain` awaited while one holds the global lock | waits, and is reported as a stall of the lock; use [`GlobalLockGuard::drain`](crate::GlobalLockGuard::drain) | `tests/stalls.rs` |
//! | `drain` or `shutdown`, or `reserve` at the limit, awaited inside an async callback of the same domain | reported at once; waits for ever | `tests/stalls.rs` |
//! | `shutdown` under load | ready after its drain and one attempt to stop | `tests/shutdown.rs` |
//! | a section, callback, batch or lock takes longer than [`stall_timeout`](crate::Builder::stall_timeout) | reported, with doubling pauses: who, how long, where made, how much waits | `tests/stalls.rs` |
//! | a guard is leaked, its thread ended or not | its section is open for ever: what is retired after it is never freed. Reported | `tests/read.rs`, `tests/stalls.rs` |
//! | a callback, or the drop of a retired value, panics | caught, counted, reported; the next one runs | `tests/panics.rs` |
//! | a panic payload that panics when it is dropped | caught too | `tests/panics.rs` |
//! | a hook, an executor, a waker or a subscriber panics | caught, reported | `tests/panics.rs`, `tests/faults.rs` |
//! | a subscriber, waker or hook uses the domain that calls it | works: no lock is held around foreign code | `tests/faults.rs` |
//! | the executor drops a batch, its runtime is shut down, the task is aborted | the domain's worker thread runs the rest | `tests/executors.rs` |
//! | a batch is leaked with `mem::forget` | its callbacks are lost, and drains that come after wait for ever | |
//! | a `current_thread` runtime as executor that nobody drives | its batches wait, grace periods go on; reported as a stall | `tests/stalls.rs` |
//! | [`max_pending`](crate::Builder::max_pending) is reached | `try_call` gives the closure back, `reserve` waits, `call` and `retire` are taken; holders are asked to leave, and it is reported | `tests/backpressure.rs` |
//! | the last handle is dropped with work queued | the thread finishes it, then ends | `tests/shutdown.rs`, `tests/reuse.rs` |
//! | the grace-period thread cannot be started | [`BuildError`](crate::BuildError) | unit tests of `service` |
//! | it cannot be started *again* | work stays queued, it is reported, every later call, wait or force tries again, and who waits drives the domain meanwhile | unit tests of `service` |
//! | the worker thread cannot be started | callbacks run on the grace-period thread; async ones wait, and it is tried again | unit tests of `service` |
//! | the system refuses the process-wide barrier at start | both sides use fences; [`Stats::barrier`](crate::Stats::barrier) says so | `tests/refused_barrier.rs` |
//! | it refuses it later | the process aborts and says why: readers already run without fences | `tests/refused_barrier.rs` |
//! | the wall clock is set | nothing: all times are of the monotonic clock | |
//! | `fork` without `exec` | the child goes on, see below | `tests/fork.rs` |
//! | `main` returns | nothing runs after it: [`drain`](crate::Rcu::drain) first | |
//!
//! # Events
//! Emitted by the grace-period thread alone (a failed restart: by who tried).
//!
//! | target | level | when | fields |
//! |---|---|---|---|
//! | `async_rcu::gp` | debug | a grace period was started | `domain`, `gp`, `elapsed` |
//! | `async_rcu::gp` | error | the grace-period thread could not be started again | `domain`, `error` |
//! | `async_rcu::batch` | debug | a batch is handed to the executor | `domain`, `gp`, `len` |
//! | `async_rcu::stall` | warn | something is stuck: a [`StallReport`](crate::StallReport). Without a subscriber, on standard error | `domain`, `kind`, `pending` |
//! | `async_rcu::backpressure` | warn | the limit of pending callbacks was met; again when half of it has been free | `domain`, `pending`, `limit` |
//! | `async_rcu::panic` | error | a panic was caught: a [`PanicReport`](crate::PanicReport) | `domain`, `thread` |
//!
//! # Forks
//! The child of a `fork` has one thread, the one that forked. In it, every domain counts as stopped, and its threads start again
//! at the next use. What was queued, or waited in a batch for the domain's own threads, runs in the child as in the parent; the
//! batch that another thread was just running, and batches that were with another executor, count as done
//! in the child. Sections that other threads had open stay open, as the child may have references from them; they
//! are reported as stalls of ended threads, until
//! [`Rcu::after_fork_in_child`](crate::Rcu::after_fork_in_child) clears them. Executors of the user's, tokio runtimes among
//! them, do not survive a fork by themselves; a [`GlobalLock`](crate::GlobalLock) that another
//! thread held, or waited for, may stay locked.
//! A future of a domain that was being awaited on the forking thread goes on when the domain is next used in the child, or with
//! [`Rcu::after_fork_in_child`](crate::Rcu::after_fork_in_child); the wakers of other threads are neither called nor
//! dropped there, and no foreign code runs before `fork` has returned, so that a child that only calls `exec` is not held up.
//! [`Stats::finished`](crate::Stats::finished) does not count what was lost with other threads. Elsewhere than on Linux
//! this is not tested. A fork in the microseconds in which another thread makes the process's very first domain leaves a child
//! that cannot make one. A writer's handle of a list or an array that another thread held keeps that structure from being
//! written in the child.
//!
//! # Memory
//! A registered thread costs one record (a kilobyte; they are made in groups, half as many as there are), which is used again
//! after the thread has ended and is never freed; an owned guard eight bytes at the peak; a queued callback 32 bytes, and a
//! box where it captures more than three words. Of the queue's chunks, two kilobytes each, a thread's record keeps up to sixteen
//! empty ones; the others are freed as they are used up.
//!
//! # Not for
//! - signal handlers: nothing here may be used in one.
//! - memory that is mapped by several processes: a domain is of one process.
//! - hard real-time updaters: a grace period takes as long as its longest section.
//!
//! # Platforms
//! | target | barrier | sleep | checked how |
//! |---|---|---|---|
//! | x86_64 Linux | `membarrier` (4.14 or later), else fences | futex | all tests with both; AddressSanitizer, LeakSanitizer, ThreadSanitizer; memcheck |
//! | aarch64 Linux | the same | futex | tests under qemu (`ci/targets.sh aarch64`) |
//! | i686 Linux | the same | futex | tests under qemu (`ci/targets.sh i686`) |
//! | Android | the same | futex | `cargo check` |
//! | x86_64 Windows | `FlushProcessWriteBuffers` | `WaitOnAddress` | tests under wine (`ci/targets.sh windows`); `cargo check` for MSVC |
//! | macOS, FreeBSD | fences | a condition variable | `cargo check`; tests on Linux with that barrier and that sleep (`ci/targets.sh portable`) |
//! | other Unix | fences | a condition variable | the same code as on macOS |
//! | WebAssembly without threads | [`BuildError`](crate::BuildError) | | run under node (`ci/targets.sh check`) |
//! | no 64-bit atomics (ARMv5, 32-bit MIPS and PowerPC) | does not compile, and says why | | `cargo check` |
//!
//! Under qemu the tests of forks are left out: in the child of one, qemu itself fails when a thread starts. On an x86 processor it
//! keeps that processor's memory order: what other orders of Arm do to the protocol is shown by models, not by tests on such a
//! machine. wine 8 does nothing in `FlushProcessWriteBuffers`; for the tests, `ci/wine_barrier.c` puts membarrier in its place. On
//! macOS, FreeBSD and other Unix nothing but the C library's `pthread_atfork` and the threads of std is used. Sequence
//! numbers have 64 bits, so that they never wrap: on processors that have no such atomics, each section would need a lock.
//!
//! On Windows, destructors of thread-locals run under a lock that every thread passes when it starts. There a destructor that waits
//! (for a grace period, a drain) may wait for a thread that cannot start, for ever.
