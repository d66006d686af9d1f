//! The promises of the crate, and the tests that show them.
//!
//! Each row is a promise of the documentation and names the files whose tests fail if the promise
//! is broken. All tests run in both barrier modes. Other pages have the rest of the evidence:
//! - [`limits`](super::limits) lists what happens in each case of failure, with its tests;
//! - [`internals`](super::internals) lists the protocol's proof obligations, with their models;
//! - [`performance`](super::performance) has the figures, with the commands that measure them
//!   again.
//!
//! # Sections
//! | promise | shown by |
//! |---|---|
//! | sections nest, and end with the last guard, in whatever order guards are dropped | `tests/read.rs` |
//! | a guard of another domain gives no access, in release builds too | `tests/read.rs`, `tests/cell_none.rs`, `tests/collections/list.rs` |
//! | a leaked guard protects for ever, also after its thread has ended | `tests/read.rs` |
//! | domains do not wait for each other's readers, in however many domains one thread reads | `tests/read.rs`, `tests/synchronize.rs` |
//! | an owned guard may be held across `.await`, shared, sent, and dropped anywhere; each owned guard is a section of its own | `tests/owned_guards.rs` |
//! | `refresh` lets grace periods pass and goes on protecting; on a nested guard it does nothing | `tests/read.rs`, `tests/owned_guards.rs` |
//! | `is_release_requested` and `release_requested` tell a section that a grace period which it holds up is forced or stalled; they tell no other section | `tests/force.rs` |
//! | reading, owned guards and `call` work while a thread's locals are destroyed | `tests/thread_locals.rs` |
//! | records of threads that have ended are used again | `tests/reuse.rs` |
//! | a reference does not outlive its guard, and does not survive a `refresh` | `tests/compile_fail.rs` |
//! | public types are `Send`, `Sync` and `Unpin` exactly as documented | `tests/auto_traits.rs` |
//!
//! # Grace periods
//! | promise | shown by |
//! |---|---|
//! | `synchronize` waits for every section that exists at its first poll; a section that begins after the start of its grace period does not hold it up | `tests/synchronize.rs`, `tests/futures.rs` |
//! | an endless chain of overlapping sections does not hold up any grace period | `tests/call.rs` |
//! | ten thousand waiters under a reader share three grace periods | `tests/synchronize.rs` |
//! | blocking callers share grace periods | `tests/bugs.rs` |
//! | a cookie covers what was unlinked before the cookie was taken, whichever thread starts its grace period; cookies are ordered by start | `tests/cookies.rs` |
//! | `has_elapsed` and `wait_for` refuse cookies of other domains | `tests/cookies.rs` |
//! | a future may be dropped at any point; it then forgets its waker | `tests/futures.rs`, `tests/lock_futures.rs` |
//! | a future wakes the task that polled it last, and works on any executor | `tests/futures.rs`, `tests/lock_futures.rs` |
//! | blocking twins panic in an async context, inside a section, inside a callback, or on a grace-period thread, and name the caller | `tests/blocking.rs`, `tests/panic_locations.rs` |
//! | without a process-wide barrier, readers and grace periods both use fences | `tests/refused_barrier.rs` |
//!
//! # Callbacks
//! | promise | shown by |
//! |---|---|
//! | a callback runs exactly once, after every section that existed when it was queued; later sections do not hold it up | `tests/call.rs` |
//! | closures of every size and alignment arrive whole; `retire` drops every kind of box once | `tests/call.rs` |
//! | with the worker, inline, and under a global lock, callbacks of one thread run in the thread's order | `tests/call.rs` |
//! | callbacks of ended threads run; so do callbacks that are pending when the last handle is dropped | `tests/call.rs` |
//! | callbacks that are queued one after another while a section is stalled do not start a grace period each | `tests/call.rs` |
//! | unforced callbacks share grace periods within the batch interval; waits, force and drain do not wait for the interval | `tests/call.rs` |
//! | `call_async` keeps the runtime that is current at the call; its futures run side by side, under no lock, and never on the grace-period thread | `tests/call_async.rs` |
//! | callbacks run exactly once on every executor: under load, with panics, with batches that are dropped, aborted or half run, on runtimes that end | `tests/executors.rs` |
//! | an executor that drops its batch loses no callback | `tests/executors.rs` |
//! | a panic is caught, counted and reported, and the next callback runs | `tests/panics.rs` |
//!
//! # Drain, shutdown, the end
//! | promise | shown by |
//! |---|---|
//! | `drain` waits for all callbacks that any thread queued before, async callbacks included, and for no callback queued after | `tests/drain.rs` |
//! | `drain` completes under load that never ceases | `tests/drain.rs` |
//! | the effects of callbacks are visible after the drain | `tests/drain.rs` |
//! | `blocking_drain_timeout` gives up at its time limit; the caller can try again | `tests/blocking.rs`, `tests/drain.rs` |
//! | `shutdown` drains; later work starts the domain again; a blocking shutdown leaves no thread | `tests/shutdown.rs` |
//! | the last handle may be dropped anywhere, with callbacks pending; a domain that has ended leaves no thread, no descriptor, no memory | `tests/shutdown.rs`, `tests/reuse.rs` |
//! | `on_idle` is called when work was done and no work is left | `tests/shutdown.rs` |
//! | an idle domain wakes no thread | `tests/idle.rs` |
//! | while one section holds up a grace period, sections that begin and end meanwhile wake no thread either | `tests/idle.rs` |
//! | children of forks can go on using a domain | `tests/fork.rs` |
//!
//! # The global domain and the global lock
//! | promise | shown by |
//! |---|---|
//! | the global domain is started once, by the first thread that uses it, or installed once | `tests/global_first_use.rs`, `tests/global.rs` |
//! | a static cell, or a guard that such a cell refuses, does not start the global domain | `tests/global_stays_asleep.rs` |
//! | callbacks run alone under the lock, on every executor; waiting for the lock holds up no grace period | `tests/global_lock.rs` |
//! | `GlobalLock::call` gets the value, on any `Rcu` | `tests/global_lock.rs` |
//! | lock guards unlock, wait and lock again | `tests/global_lock.rs`, `tests/lock_futures.rs` |
//!
//! # Cells
//! | promise | shown by |
//! |---|---|
//! | every way to read returns the version in place; one guard opens all cells of its domain | `tests/cell.rs` |
//! | an old version is freed once, after its readers have left | `tests/cell.rs` |
//! | concurrent updates lose no update | `tests/cell.rs` |
//! | `none()` makes cells for statics; their first version is never freed | `tests/cell_none.rs` |
//! | references and parts of them keep their section open; references under a guard outlive the cell | `tests/references.rs` |
//! | a retired version is readable, and is given out after a grace period; `reclaim_all` uses one grace period and keeps the order | `tests/retired.rs` |
//! | dropping the last share of a `RetireOnDrop` defers its drop | `tests/retired.rs` |
//! | a watcher gets the latest version, and learns of the cell's end | `tests/watch.rs` |
//!
//! # Collections
//! | promise | shown by |
//! |---|---|
//! | the collections do what std's collections do | `tests/collections/list.rs`, `tests/collections/vec.rs`, `tests/collections/ptr.rs`, `tests/collections/map_model.rs` |
//! | a reader on a removed element finishes its walk; references outlive the structure | `tests/collections/list.rs`, `tests/collections/map.rs` |
//! | the content of an array's view does not change; edits are published together or not at all | `tests/collections/vec.rs` |
//! | a reader never misses a key that is present throughout, while the map grows and shrinks | `tests/collections/map_torture.rs` |
//! | foreign code may panic, and may use the structure that calls it | `tests/collections/map_foreign.rs`, `tests/collections/list.rs` |
//! | values that are removed together are dropped in one callback, without recursion | `tests/collections/list.rs`, `tests/collections/map.rs` |
//!
//! # Operation
//! | promise | shown by |
//! |---|---|
//! | reports name stuck sections, callbacks, batches, locks and async callbacks, by thread, location and age | `tests/stalls.rs`, `tests/stalls/timing.rs` |
//! | waits that cannot end are reported at once | `tests/stalls/waits.rs` |
//! | `force` and `on_force` name the holders of sections and ask them to leave | `tests/force.rs` |
//! | `try_call` and `reserve` never exceed `max_pending`; room goes to the waiters in turn | `tests/backpressure.rs`, `tests/backpressure/reserve.rs` |
//! | the count of pending callbacks is exact, through panics, dropped batches and dying runtimes | `tests/backpressure/count.rs` |
//! | every figure of `Stats` is right | `tests/stats.rs` |
//! | the `metrics` facade publishes the same figures | `tests/metrics.rs` |
//! | hooks, wakers and subscribers may use the domain that calls them, and may panic | `tests/faults.rs` |
//! | all these promises hold at the same time | `tests/rcutorture.rs` |
