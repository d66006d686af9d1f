//! Limits of the crate, and what happens in each case of failure.
//!
//! # Faults
//! | case | what happens | shown by |
//! |---|---|---|
//! | a thread makes a blocking wait while it has a [`ReadGuard`](crate::ReadGuard) of the same domain, inside a callback of the domain, or on a grace-period thread | the call panics at once and names the deadlock | `tests/blocking.rs` |
//! | a blocking wait in a thread-local destructor that runs after the crate's own, inside a section that began in that destructor | the crate does not recognise the deadlock: the call waits for ever, and the crate reports the section as a stall | |
//! | a blocking wait in an async context | the call panics, as tokio's own blocking calls do | `tests/blocking.rs` |
//! | a future of the domain has to wait while its thread has a [`ReadGuard`](crate::ReadGuard) of the domain | debug builds, and builds with the feature `locations`, report the wait at once, with the location of the guard. The future goes on waiting, and so does the grace period | `tests/stalls.rs` |
//! | a task awaits a grace period while the task itself holds an owned guard of the same domain | the crate cannot distinguish the task from a slow reader: the future waits, and a stall report names the guard | `tests/stalls.rs` |
//! | a task awaits `drain` while it holds the global lock | the future waits, and the lock is reported as stalled; use [`GlobalLockGuard::drain`](crate::global_lock::GlobalLockGuard::drain) | `tests/stalls.rs` |
//! | an async callback awaits `drain` or `shutdown` of its own domain, or `reserve` at the limit | the crate reports the wait at once; the callback waits for ever | `tests/stalls.rs` |
//! | `shutdown` under load | the future is ready after its drain and one attempt to stop | `tests/shutdown.rs` |
//! | a section, callback, batch or lock takes longer than [`stall_timeout`](crate::Builder::stall_timeout) | the crate reports it, again after pauses that double: what is stuck, for how long, where it was made, how many callbacks wait | `tests/stalls.rs` |
//! | a guard is leaked, whether or not its thread has ended | its section stays open for ever: memory that is retired after the section's start is never freed. The crate reports the section | `tests/read.rs`, `tests/stalls.rs` |
//! | a callback, or the drop of a retired value, panics | the panic is caught, counted and reported; the next callback runs | `tests/panics.rs` |
//! | the drop of a retired value recurses deeply, like the drop of a long list of boxes | the drop overflows the stack of the thread that runs callbacks, and the process aborts. The stack has two megabytes unless [`Builder::stack_size`](crate::Builder::stack_size) sets its size | |
//! | standard error, or the output of a subscriber, blocks | reports wait or are counted; callbacks and grace periods go on | `tests/stalls.rs` |
//! | a panic payload panics when it is dropped | the second panic is caught too | `tests/panics.rs` |
//! | a hook, an executor, a waker or a subscriber panics | the panic is caught and reported | `tests/panics.rs`, `tests/faults.rs` |
//! | a subscriber, waker or hook uses the domain that calls it | the use works: the crate holds no lock while it calls foreign code | `tests/faults.rs` |
//! | the executor drops a batch, its runtime is shut down, or the task is aborted | the domain's worker thread runs the remaining callbacks | `tests/executors.rs` |
//! | a batch is leaked with `mem::forget` | its callbacks are lost, and later drains wait for ever | |
//! | the executor is a `current_thread` runtime that no thread drives | its batches wait, and are reported as stalled; grace periods go on | `tests/stalls.rs` |
//! | [`max_pending`](crate::Builder::max_pending) is reached | `try_call` returns the closure, `reserve` waits, `call` and `retire` accept the callback; the domain asks holders of sections to leave, and reports the limit | `tests/backpressure.rs` |
//! | the last handle is dropped while callbacks are queued | the grace-period thread finishes them, then ends | `tests/shutdown.rs`, `tests/reuse.rs` |
//! | the grace-period thread cannot be started | [`BuildError`](crate::error::BuildError) | `src/domain/tests.rs` |
//! | the grace-period thread cannot be started *again* | callbacks stay queued, and the failure is reported. Every later call, wait or force tries the start again. Meanwhile each waiter does the work of the thread | `src/domain/tests.rs` |
//! | the worker thread cannot be started | callbacks run on the grace-period thread; async callbacks wait; the domain tries the start again | `src/domain/tests.rs` |
//! | the system refuses the process-wide barrier at the start | readers and grace periods both use fences; [`Stats::barrier`](crate::Stats::barrier) says so | `tests/refused_barrier.rs` |
//! | the system refuses the process-wide barrier later | the process aborts and says why: readers already run without fences | `tests/refused_barrier.rs` |
//! | the wall clock is set | nothing happens: the crate uses the monotonic clock only | |
//! | `fork` without `exec` | the child can use the domain, see below | `tests/fork.rs` |
//! | `main` returns | nothing runs after `main`: call [`drain`](crate::Rcu::drain) first | |
//!
//! # Events
//! The crate emits the `tracing` events of the table. A thread of the crate, `rcu-tell`, emits the
//! warnings and errors. So a subscriber or a console that blocks does not stop the domain. This
//! thread exists only while reports are to be emitted. A thread that makes a report waits for
//! `rcu-tell` for at most half a second. After such a wait, no thread waits for `rcu-tell` before
//! `rcu-tell` has emitted all reports that it has. Of the reports that come meanwhile, the first
//! 256 are kept, and the others are counted.
//!
//! Two kinds of events do not come from `rcu-tell`. The grace-period thread emits the debug events,
//! so a subscriber that takes them must not block. The thread that tried to restart the
//! grace-period thread reports that the restart failed.
//!
//! | target | level | when | fields |
//! |---|---|---|---|
//! | `async_rcu::gp` | debug | a grace period was started | `domain`, `gp`, `elapsed` |
//! | `async_rcu::gp` | error | the grace-period thread could not be started again | `domain`, `error` |
//! | `async_rcu::batch` | debug | a batch is handed to the executor | `domain`, `gp`, `len` |
//! | `async_rcu::stall` | warn | work is stuck: a [`StallReport`](crate::report::StallReport). Without a subscriber the report goes to standard error | `domain`, `kind`, `pending` |
//! | `async_rcu::backpressure` | warn | the limit of pending callbacks was reached; the next event of this kind comes only after half of the limit was free in between | `domain`, `pending`, `limit` |
//! | `async_rcu::panic` | error | a panic was caught: a [`PanicReport`](crate::report::PanicReport) | `domain`, `thread` |
//!
//! # Forks
//! The child of a `fork` has one thread: the thread that forked. In the child every domain counts
//! as stopped. The threads of a domain start again at the next use of the domain.
//!
//! - **Callbacks.** Callbacks that were queued, or that waited in a batch for the domain's own
//!   threads, run in the child as in the parent. A batch that another thread was running at the
//!   fork counts as done in the child. So does a batch that another executor had.
//!   [`Stats::finished`](crate::Stats::finished) does not count callbacks that were lost with other
//!   threads.
//! - **Sections.** Sections that other threads had open stay open, because the child may have
//!   references that were read in these sections. The child reports these sections as stalls of
//!   ended threads, until [`Rcu::after_fork_in_child`](crate::Rcu::after_fork_in_child) clears
//!   them.
//! - **Executors and locks.** An executor of the program, for example a tokio runtime, does not
//!   survive a fork by itself. A [`GlobalLock`](crate::GlobalLock) that another thread held, or
//!   waited for, may stay locked.
//! - **Futures.** A future that the forking thread was awaiting goes on when the child next uses
//!   the future's domain or calls [`Rcu::after_fork_in_child`](crate::Rcu::after_fork_in_child).
//!   The child neither calls nor drops the wakers of other threads. No foreign code runs before
//!   `fork` has returned, so a child that only calls `exec` is not held up.
//! - **Limits.** Forks are tested on Linux only. If a thread forks in the microseconds in which
//!   another thread makes the process's very first domain, the child cannot make a domain. If
//!   another thread held a writer's handle of a list or an array at the fork, the child cannot
//!   write that structure.
//!
//! # Memory
//! - A registered thread costs one record of a kilobyte. A record is used again after its thread
//!   has ended, and is never freed. Records are made in groups; a new group has half as many
//!   records as already exist. Groups that no thread uses add nothing to the cost of a grace
//!   period.
//! - Owned guards cost eight bytes for each guard of the peak. After a peak, scans soon skip the
//!   memory that no guard uses any more.
//! - A queued callback costs a word, the words that it captures, and a box if these are more than
//!   three. A retired box costs two or three words.
//! - The callback queue has chunks of two kilobytes each. A thread keeps up to 256 empty chunks
//!   while the domain is busy, and sixteen when it is idle. After a peak of threads, the chunks of
//!   records that no thread uses any more are freed.
//! - The memory of retired boxes is kept for the next values: of boxes up to a kilobyte, up to a
//!   megabyte for a thread, and 32 megabytes for a domain. When the domain is idle, it is freed:
//!   see [`Builder::keep_memory`](crate::Builder::keep_memory).
//!
//! # Not for
//! - Signal handlers: they must not use this crate.
//! - Memory that several processes map: a domain belongs to one process.
//! - Hard real-time updaters: a grace period takes as long as its longest section.
//!
//! # Platforms
//! | target | barrier | sleep | how it is checked |
//! |---|---|---|---|
//! | x86_64 Linux | `membarrier` (4.14 or later), else fences | futex | all tests with both; AddressSanitizer, LeakSanitizer, ThreadSanitizer; memcheck |
//! | aarch64 Linux | the same | futex | tests under qemu (`ci/targets.sh aarch64`) |
//! | i686 Linux | the same | futex | tests under qemu (`ci/targets.sh i686`) |
//! | Android | the same | futex | `cargo check` |
//! | x86_64 Windows | `FlushProcessWriteBuffers` | `WaitOnAddress` | tests under wine (`ci/targets.sh windows`); `cargo check` for MSVC |
//! | macOS, FreeBSD | fences | a condition variable | `cargo check`; tests on Linux with that barrier and that sleep (`ci/targets.sh portable`) |
//! | other Unix | fences | a condition variable | the same code as on macOS |
//! | WebAssembly without threads | [`BuildError`](crate::error::BuildError) | | run under node (`ci/targets.sh check`) |
//! | no 64-bit atomics (ARMv5, 32-bit MIPS and PowerPC) | does not compile, and says why | | `cargo check` |
//!
//! The checks on other machines have these gaps:
//! - The qemu runs leave out the tests of forks: in the child of a fork, qemu itself fails when a
//!   thread starts.
//! - qemu on an x86 processor keeps that processor's memory order. Only models show the protocol
//!   under the memory order of Arm; no test runs on an Arm machine.
//! - `FlushProcessWriteBuffers` of wine 8 does nothing. For the tests, `ci/wine_barrier.c` replaces
//!   it with membarrier.
//!
//! On macOS, FreeBSD and other Unix the crate uses only the C library's `pthread_atfork` and std's
//! threads. Sequence numbers have 64 bits, so they never wrap. On processors without 64-bit
//! atomics, each section would need a lock.
//!
//! On Windows, destructors of thread-locals run under a lock that every thread takes when it
//! starts. If such a destructor waits for a grace period or a drain, the wait may never end,
//! because a thread that the wait needs cannot start.
