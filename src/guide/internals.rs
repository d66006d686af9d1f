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
//! # Why it scales
//! By count, which does not depend on the machine: what an operation does to memory that other threads use too.
//!
//! | operation | locked instructions | lines written that another processor reads or writes |
//! |---|---|---|
//! | enter and leave a section | 0 | 0: the thread's own record, which a scan reads once a grace period |
//! | `read_owned` and its drop | 0 | 0; where another thread drops it, the word it was given |
//! | `load` under a guard | 0 | 0 |
//! | [`call`](crate::Rcu::call), [`retire`](crate::Rcu::retire) | 0 | the thread's own queue, read once a collection; with [`max_pending`](crate::Builder::max_pending) one count that all share |
//! | a new chunk of the queue, every 62 calls | 2 | the queue's stack of empty chunks |
//! | [`store`](crate::RcuCell::store) | 1, and 1 for the cookie | the cell, the sequence |
//! | start of a grace period | 2, and a barrier on every processor that runs the process | the sequence, once |
//! | scan | 1 | none; reads one line for each thread, and eight bytes for each held owned guard |
//!
//! # The hot path
//! [`RcuCell::with`](crate::RcuCell::with) on a cell of a domain of one's own, x86-64, release: the instructions that are executed, with their registers named (`cargo
//! rustc --release -- --emit asm` in a crate that calls it shows all; 38 of them with the call, the thread-local's address and the loop):
//!
//! ```text
//! mov   (cell), hub            the cell's domain; null would be the global one
//! test  hub, hub
//! cmp   hub, CACHE             the thread's cache: the domain used last
//! mov   CACHE+8, record        the thread's record there
//! cmp   $0, (record)           the reader word: is a section open already?
//! mov   (hub), sequence        the sequence
//! mov   sequence, (record)     into the word: the section is open
//! cmp   $1, MODE               is there a process-wide barrier? Then there is no more to it
//! mov   48(cell), pointer      what readers are to see
//! mov   (pointer), value
//! cmp   $0, 8(record)          the count of inner sections
//! mov   $0, (record)           the word: the section is over
//! cmp   $1, MODE
//! cmp   $0, 16(record)         does the grace-period thread sleep on us?
//! ```
//!
//! # What is stuck
//! A *watch* has an entry for every batch and every async callback that was handed out: whether it is idle, waits for the global
//! lock, or runs, on which thread and since when. The grace-period thread looks at it, and at the sections that hold up the oldest
//! grace period, under a timer that runs only as long as something is held up or handed out. A force or a stall raises a
//! *mark*: a section whose word is below it is asked to leave.
//!
//! # What shows it
//! | claim | shown by |
//! |---|---|
//! | no version is freed under a reader: enter, leave, start, scan, two starters, registration during a scan, nesting, records used again | loom, `src/loom_models/section.rs` |
//! | owned words: claimed here and released there, growth, parking, refresh | loom, `src/loom_models/owned.rs` |
//! | a list's reader on removed elements, an array's length and slots, a map's buckets under change | loom, `src/loom_models/{list,vec,map}.rs` |
//! | nobody sleeps on a section that has ended | loom, `src/loom_models/holdout.rs` |
//! | no callback is lost, half seen, or slept on; chunks are used again safely | loom, `src/loom_models/queue.rs` |
//! | no waiter misses the end of its grace period | loom, `src/loom_models/waiters.rs` |
//! | there is one consumer after any stop and restart | loom, `src/loom_models/restart.rs` |
//! | exactly once, on every executor and through every fault | `tests/executors.rs`, `tests/panics.rs`, `tests/shutdown.rs` |
//! | all of it together, on values that poison themselves when dropped | `tests/rcutorture.rs`, `examples/rcutorture.rs` |
//! | every sequence of operations agrees with a sequential oracle | `fuzz/src/operations`, `tests/fuzz_corpus.rs` |
//! | collections agree with std's under held walks and views | `fuzz/src/collections`, `tests/fuzz_corpus.rs` |
//! | children of forks go on | `tests/fork.rs`, a thousand forks in the middle of everything |
//! | collections do what std's do, and never show a freed element | `tests/collections_*.rs`, by proptest and under load |
//! | imports run downwards | `tests/layering.rs` |
//! | readers without fences are seen by the system's barrier: a build without it is caught within half a second | `examples/rcutorture/late_stores.rs`, in release |
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
