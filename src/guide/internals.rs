//! How it works, why it is right, and what shows it.
//!
//! # Readers
//! Every thread that reads has a *record*, found through a thread-local cache. In it is the *reader word*: 0 while the
//! thread is idle, else the *sequence* that its section saw when it began. To enter is to load the sequence and store
//! it in the word; to leave is to store 0. An owned guard has a word of its own in the same record, which any thread
//! may set back to 0. No reader writes what another reads.
//!
//! # Grace periods
//! To *start* grace period `g` is to raise the sequence to `g`, pass a *heavy* fence, and raise `fenced` to `g`. To *scan* is
//! to load `fenced`, then look at every word: all grace periods up to the least number seen have elapsed. A
//! section holds up those that started after it and no others, so grace periods overlap, and one scan ends all that
//! can end.
//!
//! The heavy fence is a system call that makes every processor which runs this process pass a barrier. So a
//! reader needs none of its own: its store of the word either took effect before the fence, and the scan sees it; or its load
//! of the pointer came after the fence, and sees what was published before.
//!
//! # Sleeping
//! Whoever may sleep announces it (a flag that producers look at, a flag in each record that readers look at when they
//! leave), passes the heavy fence, and looks again. Requests do not look at flags: they always set the event.
//!
//! # Callbacks
//! `call` writes the closure into a chunk of the thread's own queue and publishes the count. The grace-period thread
//! collects all queues, *then* starts the grace period that gives the batch its number. When that has elapsed, the batch
//! goes to the executor under a *ticket*, which closes when everything in it is done; a drain waits for all tickets
//! up to the collection that came after it was asked for.
//!
//! # What shows it
//! | claim | shown by |
//! |---|---|
//! | no version is freed under a reader: enter, leave, start, scan, two starters, registration during a scan, nesting, records used again | loom, `src/loom_models/section.rs` |
//! | owned words: claimed here and released there, growth, parking, refresh | loom, `src/loom_models/owned.rs` |
//! | nobody sleeps on a section that has ended | loom, `src/loom_models/holdout.rs` |
//! | no callback is lost, half seen, or slept on; chunks are used again safely | loom, `src/loom_models/queue.rs` |
//! | no waiter misses the end of its grace period | loom, `src/loom_models/waiters.rs` |
//! | there is one consumer after any stop and restart | loom, `src/loom_models/restart.rs` |
//! | exactly once, on every executor and through every fault | `tests/executors.rs`, `tests/panics.rs`, `tests/shutdown.rs` |
//! | all of it together, on values that poison themselves when dropped | `tests/torture.rs`, `examples/torture` |
//! | imports run downwards | `tests/layering.rs` |
//! | readers without fences are seen by the system's barrier: a build without it is caught within half a second | the last quarter of `examples/torture`, in release |
//!
//! loom knows fences and no system calls: its models show the fence mode, to which every test is also run. That the
//! asymmetric mode is as strong rests on the contract of the system call: a light fence is only ever paired with a
//! heavy one, and each pair is named where it stands.
//!
//! # Sources
//! The reader word and the process-wide barrier come from userspace RCU (Desnoyers, McKenney, Stern, Dagenais, Walpole,
//! *User-Level Implementations of Read-Copy Update*, 2012); callbacks under a global lock, `force` and `drain` from
//! QEMU's RCU; cookies and `rcu_barrier` from Linux. One barrier a grace period instead of two, and grace periods that overlap,
//! come from the word holding a number that never wraps.
