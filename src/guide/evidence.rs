//! What is promised, and the test that shows it.
//!
//! Each row is a promise made in the documentation, and the file whose tests fail where it is broken. All of them run in both
//! barrier modes. What goes wrong, and what then happens, has its tests named in [`limits`](super::limits); the protocol's
//! proof obligations, and their models, are in [`internals`](super::internals); figures are in
//! [`performance`](super::performance), with the command that measures them again.
//!
//! # Sections
//! | promise | shown by |
//! |---|---|
//! | sections nest, and end with the last guard, in whatever order guards are dropped | `tests/read.rs` |
//! | a guard of another domain gives no access, in release builds too | `tests/read.rs`, `tests/cell_none.rs`, `tests/collections/list.rs` |
//! | a leaked guard protects for ever, also when its thread has ended | `tests/read.rs` |
//! | domains do not wait for each other's readers, however many one thread reads in | `tests/read.rs`, `tests/synchronize.rs` |
//! | an owned guard may be held across `.await`, shared, sent, and dropped anywhere; each is a section of its own | `tests/owned_guards.rs` |
//! | `refresh` lets grace periods pass and goes on protecting; of a nested guard it does nothing | `tests/read.rs`, `tests/owned_guards.rs` |
//! | `is_release_requested`, `release_requested`: told when what a section holds up is forced or stalled, and no other section | `tests/force.rs` |
//! | reading, owned guards and `call` work while a thread's locals are destroyed | `tests/thread_locals.rs` |
//! | places of threads that have ended are used again | `tests/reuse.rs` |
//! | a reference does not outlive its guard, nor survive a `refresh` | `tests/compile_fail.rs` |
//! | what is `Send`, `Sync`, `Unpin`, and what is not | `tests/auto_traits.rs` |
//!
//! # Grace periods
//! | promise | shown by |
//! |---|---|
//! | `synchronize` waits for every section that exists at its first poll; one that begins after the start of its grace period does not hold it up | `tests/synchronize.rs`, `tests/futures.rs` |
//! | an endless chain of overlapping sections holds nothing up | `tests/call.rs` |
//! | ten thousand waiters under a reader share three grace periods | `tests/synchronize.rs` |
//! | blocking callers share grace periods | `tests/bugs.rs` |
//! | a cookie covers what was unlinked before it was taken, whoever starts its grace period; cookies are ordered by start | `tests/cookies.rs` |
//! | `has_elapsed` and `wait_for` refuse cookies of other domains | `tests/cookies.rs` |
//! | futures may be dropped at any point, forget their wakers, wake the task that polled last, and work on any executor | `tests/futures.rs`, `tests/lock_futures.rs` |
//! | blocking twins panic in an async context, inside a section, a callback, or on a grace-period thread, and name the caller | `tests/blocking.rs`, `tests/panic_locations.rs` |
//! | without a process-wide barrier both sides use fences | `tests/refused_barrier.rs` |
//!
//! # Callbacks
//! | promise | shown by |
//! |---|---|
//! | a callback runs exactly once, after every section that existed when it was queued, and is not held up by later ones | `tests/call.rs` |
//! | closures of every size and alignment arrive whole; `retire` drops every kind of box once | `tests/call.rs` |
//! | in the order of each thread with the worker, inline, and under a global lock | `tests/call.rs` |
//! | what ended threads queued runs; so does what is pending when the last handle goes | `tests/call.rs` |
//! | unforced ones share grace periods within the batch interval; waits, force and drain do not wait for it | `tests/call.rs` |
//! | `call_async` keeps the runtime that is current, runs its futures side by side, under no lock, never on the grace-period thread | `tests/call_async.rs` |
//! | exactly once on every executor: under load, with panics, batches dropped, aborted, half run, on runtimes that end | `tests/executors.rs` |
//! | an executor that drops its batch loses nothing | `tests/executors.rs` |
//! | a panic is caught, counted and reported, and the next callback runs | `tests/panics.rs` |
//!
//! # Drain, shutdown, the end
//! | promise | shown by |
//! |---|---|
//! | `drain` has waited for all that any thread queued before, async callbacks included, and for nothing queued after it | `tests/drain.rs` |
//! | it completes under load that never ceases | `tests/drain.rs` |
//! | what callbacks did is seen after it | `tests/drain.rs` |
//! | `blocking_drain_timeout` gives up and can be tried again | `tests/blocking.rs`, `tests/drain.rs` |
//! | `shutdown` drains; later work starts the domain again; a blocking one leaves no thread | `tests/shutdown.rs` |
//! | the last handle may go anywhere, with work pending; domains that are gone leave no thread, no descriptor, no memory | `tests/shutdown.rs`, `tests/reuse.rs` |
//! | `on_idle` is called when work was done and nothing is left | `tests/shutdown.rs` |
//! | idle is idle: no thread wakes up | `tests/idle.rs` |
//! | while one section holds things up, those that come and go beside it wake no thread either | `tests/idle.rs` |
//! | children of forks go on | `tests/fork.rs` |
//!
//! # The global domain and the global lock
//! | promise | shown by |
//! |---|---|
//! | the global domain is started once, by whoever uses it first, or installed once | `tests/global_first_use.rs`, `tests/global.rs` |
//! | a static, or a guard that it refuses, does not start it | `tests/global_stays_asleep.rs` |
//! | callbacks run alone under the lock, on every executor; waiting for the lock holds up no grace period | `tests/global_lock.rs` |
//! | `GlobalLock::call` gets the value, on any `Rcu` | `tests/global_lock.rs` |
//! | guards unlock, wait and lock again | `tests/global_lock.rs`, `tests/lock_futures.rs` |
//!
//! # Cells
//! | promise | shown by |
//! |---|---|
//! | every way to read sees the version in place; one guard opens all cells of its domain | `tests/cell.rs` |
//! | an old version is freed when its readers have left, and once | `tests/cell.rs` |
//! | concurrent updates lose none | `tests/cell.rs` |
//! | `none()`: statics, whose first version is never freed | `tests/cell_none.rs` |
//! | references and parts of them keep their section; references under a guard outlive the cell | `tests/references.rs` |
//! | a retired version is readable, and given out after a grace period; `reclaim_all` uses one and keeps the order | `tests/retired.rs` |
//! | dropping the last share of a `Deferred` defers its drop | `tests/retired.rs` |
//! | a watcher is told of the latest version, and of the cell's end | `tests/watch.rs` |
//!
//! # Collections
//! | promise | shown by |
//! |---|---|
//! | they do what std's do | `tests/collections/list.rs`, `tests/collections/vec.rs`, `tests/collections/ptr.rs`, `tests/collections/map_model.rs` |
//! | a reader on a removed element finishes its walk; references outlive the structure | `tests/collections/list.rs`, `tests/collections/map.rs` |
//! | what a view of an array shows does not change; edits are published together or not at all | `tests/collections/vec.rs` |
//! | a key that is there throughout is never missed while a map grows and shrinks | `tests/collections/map_torture.rs` |
//! | foreign code may panic, and may use the structure that calls it | `tests/collections/map_foreign.rs`, `tests/collections/list.rs` |
//! | what goes together goes in one callback, without recursion | `tests/collections/list.rs`, `tests/collections/map.rs` |
//!
//! # Operation
//! | promise | shown by |
//! |---|---|
//! | what is stuck is named: sections, callbacks, batches, locks, async callbacks, by thread, place and age | `tests/stalls.rs`, `tests/stalls/timing.rs` |
//! | waits that cannot end are reported at once | `tests/stalls/waits.rs` |
//! | `force` and `on_force`: who holds is told, and asked to leave | `tests/force.rs` |
//! | `max_pending` is never exceeded by `try_call` and `reserve`; room goes to those who wait, in turn | `tests/backpressure.rs`, `tests/backpressure/reserve.rs` |
//! | what is pending is counted exactly, through panics, dropped batches and dying runtimes | `tests/backpressure/count.rs` |
//! | every figure of `Stats` | `tests/stats.rs` |
//! | the figures through the `metrics` facade are the same | `tests/metrics.rs` |
//! | hooks, wakers and subscribers may use the domain that calls them, and panic | `tests/faults.rs` |
//! | all of it at once | `tests/rcutorture.rs` |
