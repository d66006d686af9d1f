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
//! Whoever may sleep announces it, passes the heavy fence, and looks again. Producers look at a flag. Of the sections that hold
//! the oldest grace period up one is asked to wake the sleeper: its word is named in its record, where whoever leaves looks for
//! itself. Until that one ends, nothing can; so the others leave unheard, and those that began later as well: readers
//! cost nothing beside one that stalls, too. Requests look at none of this: they always set the event.
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
//! cmp   record, 16(record)     does the grace-period thread sleep on this word?
//! ```
//!
//! # What is stuck
//! A *watch* has an entry for every batch and every async callback that was handed out: whether it is idle, waits for the global
//! lock, or runs, on which thread and since when. The grace-period thread looks at it, and at the sections that hold up the oldest
//! grace period, under a timer that runs only as long as something is held up or handed out. A force or a stall raises a
//! *mark*: a section whose word is below it is asked to leave.
//!
//! # Proof obligations
//! What must hold for the above to be right, and what shows it. *loom* is `src/loom_models`, the crate's own code in every
//! interleaving, with fences on both sides; *explorer* is `tests/explorer.rs`, the protocol as small programs in every order that x86 and
//! an AArch64-like processor allow, in both barrier modes; *spin* is `ci/spin.sh`, the sleep and the stop in Promela over store buffers.
//! Each is held to faults that it must find: `ci/faults/loom` (a hundred), 126 in the explorer's tables, 25 in spin's.
//!
//! | obligation | model | test |
//! |---|---|---|
//! | a scan with a limit of `g` or more sees every word stored before the heavy fence of `g` took effect on that processor | explorer `section`, `two_starters`; loom `section` | `examples/rcutorture/late_stores.rs` |
//! | a reader whose word is `g` or more sees what was unlinked before `g` was taken: the sequence is a chain of read-modify-writes | explorer `section`, `cookie`; loom `section` | `tests/cookies.rs` |
//! | the limit is `fenced`, read before the registry's head and the words | explorer `two_starters`, `registration`, `late_section`; loom `section` | |
//! | a reader's last access comes before the free: Release of its 0, or of a later word, to the scan's Acquire | loom `section`; explorer `section` | `tests/plain_memory.rs` under ThreadSanitizer |
//! | sections nest, in any order of drops; only the outermost opens and closes the word | loom `section`; explorer `nested` | `tests/read.rs` |
//! | an owned word is in the hands of one guard; a parked block holds none; a refresh never passes 0 | loom `owned`; explorer `parked`, `owned_refresh` | `tests/owned_guards.rs` |
//! | a record, and the core it is of, is used again only when nothing refers to it | loom `section`, `queue`; explorer `record_stays`, `orphan`, `core`, `counts` | `tests/reuse.rs`, `tests/thread_locals.rs` |
//! | nobody sleeps on a section that has ended, or will end without waking it | loom `holdout`; explorer `holdout`, `one_asked`, `bystander`, `asked_anew`, `refresh_wakes`; spin | `tests/synchronize.rs` |
//! | nobody sleeps on a request, or on a callback, that nobody tells of | loom `queue`, `domain`; explorer `call`, `nap`, `nap_wait`, `event`; spin | `examples/rcutorture/pair.rs` |
//! | after any stop and restart there is one consumer, or none and no work | loom `restart`, `domain`; explorer `stop`, `stop_request`, `shutdown`; spin | `tests/shutdown.rs`, `examples/rcutorture/restart.rs` |
//! | no waiter misses its grace period; wakers are called and dropped outside locks, the last one that was given | loom `waiters`; explorer `wanted` | `tests/futures.rs`, `tests/faults.rs` |
//! | a callback is published whole, taken once, and its chunk freed once; a thread's end loses none | loom `queue` | `tests/call.rs` |
//! | a batch's grace period starts after its collection; a drain's number is given after its request was taken | explorer `drain`; loom `tickets`, `domain` | `tests/drain.rs` |
//! | a ticket closes when all of its batch is done, whoever runs it, in whatever order | loom `tickets`, `batches` | `tests/executors.rs`, `tests/panics.rs` |
//! | a dropped batch goes to the worker, once; under a global lock batches take turns | loom `batches`, `lock` | `tests/executors.rs`, `tests/global_lock.rs` |
//! | room is given back once, and to those who wait, in turn | loom `backlog`, `domain` | `tests/backpressure/reserve.rs` |
//! | a section is asked to leave where it holds something up, and hears of it | loom `release` | `tests/force.rs` |
//! | a watcher's slot never names a version that was retired when it was looked at, and no version is missed | loom `watch`; explorer `subscribe`, `slot`, `closed` | `tests/watch.rs` |
//! | a guard of another domain gives no access | explorer `domains` | `tests/read.rs` |
//! | a version is freed once, after its readers; an update loses none | loom `cell` | `tests/cell.rs`, `tests/retired.rs` |
//! | a list's nodes, an array's slots, a map's buckets and entries: whole when found, there as long as the section | loom `list`, `vec`, `map` | `tests/collections/list.rs`, `tests/collections/vec.rs`, `tests/collections/map_torture.rs` |
//! | all of it together, in children of forks too | | `tests/rcutorture.rs`, `tests/fork.rs`, `tests/fork/batches.rs` |
//! | every sequence of operations agrees with a sequential oracle | | `fuzz/src/operations`, `fuzz/src/collections`, `tests/fuzz_corpus.rs` |
//! | imports run downwards, system calls and atomics stay on their floor | | `tests/layering.rs` |
//!
//! Tests reach 99% of the library's lines and 94% of its branches (`ci/coverage.sh`): `sys` 95/81, `reader` 100/98, `gp` 100/100,
//! `callback` 97/100, `dispatch` 99/92, `service` 99/95, `cell` 99/97, `collections` 99/96. Why the rest is not reached stands in
//! `ci/uncovered.txt`: races that loom's models take, failures of the system, and ends of the process that a bug alone would cause.
//!
//! # Believed, and not proved
//! - That the system keeps the contract of its barrier: that when `membarrier` or `FlushProcessWriteBuffers` returns, every thread of the
//!   process has passed a full fence. loom knows no such call, and the explorer takes the contract for granted. Where it is broken
//!   (wine 8 does nothing there), memory is freed under readers.
//! - That the explorer's programs are the protocol: they are written by hand beside the code. The functions that they name must be there,
//!   by a test; that each step does what its program says is for who reads both.
//! - What is right on the processors of the explorer and rests on the rules of the language alone: cookies behind a SeqCst fence, the
//!   order in which a block is unparked and handed out. The explorer's tables list these as seen nowhere; processors
//!   that are not multi-copy atomic were not modelled.
//! - That tokio's mutex is fair and its channels lose nothing; that futex, `WaitOnAddress` and condition variables wake who sleeps.
//! - Bounds: loom's models have five threads at the most and three preemptions, the explorer's programs a few steps and rounds.
//! - That a compiler fence keeps the compiler from moving what the barrier's other side relies on, as the language's `compiler_fence`
//!   promises for a thread and a signal handler on it, and as every user of membarrier takes it.
//!
//! # Sources
//! The reader word and the process-wide barrier come from userspace RCU (Desnoyers, McKenney, Stern, Dagenais, Walpole,
//! *User-Level Implementations of Read-Copy Update*, 2012); callbacks under a global lock, `force` and `drain` from
//! QEMU's RCU; cookies and `rcu_barrier` from Linux. One barrier a grace period instead of two, and grace periods that overlap,
//! come from the word holding a number that never wraps.
