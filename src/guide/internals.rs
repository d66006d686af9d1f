//! How the crate works, why it is right, and which models and tests show it.
//!
//! # Readers
//! Every thread that reads has a *record*, which it finds through a thread-local cache. The record
//! contains the *reader word*. The word is 0 while the thread has no section. The *sequence* is the
//! number of the newest grace period. During a section the word holds the sequence that the section
//! saw when it began. To enter a section, the thread loads the sequence and stores it in the word.
//! To leave the section, the thread stores 0 in the word.
//!
//! An owned guard has a word of its own in the same record. Any thread may set that word back to 0.
//! No reader writes a location that another reader reads.
//!
//! # Grace periods
//! To *start* grace period `g`, a thread raises the sequence to `g`, passes a *heavy* fence, and
//! raises `fenced` to `g`. To *scan*, a thread loads `fenced`, then looks at every word. All grace
//! periods up to the least of `fenced` and the words that are not 0 have elapsed. A section holds
//! up the grace periods that started after it, and no others. So grace periods overlap, and one
//! scan ends all grace periods that can end.
//!
//! The heavy fence is a system call. It makes every processor that runs this process pass a
//! barrier, so a reader needs no fence of its own. Each reader falls into one of two cases:
//! - The reader's store of the word took effect before the fence. Then the scan sees the store.
//! - The reader's load of the pointer came after the fence. Then the load sees what was published
//!   before the fence.
//!
//! # Sleeping
//! A thread that is about to sleep announces this, passes the heavy fence, and looks for work
//! again. A producer looks at the announcement, which is a flag, and wakes the thread if the flag
//! is set.
//!
//! If sections hold up the oldest grace period, the sleeper requests a wake-up from one of these
//! sections. The sleeper stores the address of the section's word in the record of that word. A
//! thread that leaves a section compares this address with the address of its own word. The grace
//! period cannot end before the chosen section ends. So the other sections, and sections that began
//! later, end without waking the sleeper. Therefore a stalled section costs the other readers
//! nothing.
//!
//! A thread that makes a request (a force, a drain or a wait) does not look at the flag. It always
//! sets the event that wakes the sleeper.
//!
//! # Callbacks
//! `call` writes the closure into a chunk of the queue in the thread's record and publishes the new
//! count. The grace-period thread begins a *collection*: it opens a *ticket* with the next number,
//! and then reads all queues. *After that* it starts the grace period that gives the batch its
//! number. When this grace period has elapsed, the batch goes to the executor with a share of the
//! ticket. The ticket closes when the whole batch is done. A drain waits for the first collection
//! that begins after the drain's request, and for all tickets up to the ticket of that collection.
//!
//! # Memory on its way back
//! A writer allocates, and another thread drops what the writer retires. If that thread freed the
//! memory too, both would meet in the allocator at each replacement. So the memory goes back: the
//! thread drops the value in place, and leaves the empty box in the chunk that carried the
//! callback. When all callbacks of a chunk have run, the chunk goes back to the writer, which puts
//! its next values into the boxes. The grace-period thread frees what is left of them when the
//! domain is idle. Linux's slab allocator calls such chunks sheaves.
//!
//! # Three walks through the sources
//! A *read* enters these files:
//! 1. `domain/rcu.rs`: [`Rcu::read`](crate::Rcu::read).
//! 2. `reader/guard.rs`: the guard, whose drop ends the section.
//! 3. `reader/local.rs`: the thread's cache, which has the record.
//! 4. `reader/record.rs`: the count of inner sections, and the check for a requested wake-up.
//! 5. `reader/word.rs`: the word, which a section opens and closes.
//! 6. `reader/sequence.rs`: the number that goes into the word.
//! 7. `sys/barrier.rs`: the light fence.
//!
//! A *callback* goes through these files:
//! 1. `domain/call.rs`: [`Rcu::call`](crate::Rcu::call).
//! 2. `callback/queue.rs` and `callback/chunk.rs`: the queue in the thread's record.
//! 3. `domain/gp_thread/mod.rs`: a turn of the grace-period thread collects the callback. A later
//!    turn finds that the callback's grace period has elapsed.
//! 4. `domain/dispatcher.rs`: the dispatcher hands the callback's batch to the executor.
//! 5. `dispatch/executor.rs`: the executor decides where the batch runs.
//! 6. `dispatch/batch.rs`: the batch, which is run or polled there, under the global lock if the
//!    domain has one.
//! 7. `dispatch/job.rs`: the job, which runs the callbacks for one time slice.
//! 8. `callback/mod.rs`: the type-erased closure.
//!
//! A *synchronize* goes through these files:
//! 1. `domain/synchronize.rs`: [`Rcu::synchronize`](crate::Rcu::synchronize), its future, its
//!    blocking twin.
//! 2. `grace_period/mod.rs`: the start and the scan.
//! 3. `sys/wait_list.rs`: the waiters, each woken when its grace period has elapsed.
//!
//! # Why it scales
//! The table counts what an operation does to memory that other threads use too. The counts do not
//! depend on the machine.
//!
//! | operation | locked instructions | lines written that another processor reads or writes |
//! |---|---|---|
//! | enter and leave a section | 0 | 0: only the thread's own record, which a scan reads once for each grace period |
//! | `read_owned` and its drop | 0 | 0; if another thread drops the guard, the guard's word |
//! | `load` under a guard | 0 | 0 |
//! | [`call`](crate::Rcu::call), [`retire`](crate::Rcu::retire) | 0 | the thread's own queue, which each collection reads once; with [`max_pending`](crate::Builder::max_pending) one count that all threads share |
//! | a new chunk of the queue, every 62 to 248 calls | 2 or 3 | the chunks that came back, the count of the memory kept |
//! | [`boxed`](crate::Rcu::boxed), from memory kept | 0 | 0 |
//! | [`store`](crate::RcuCell::store) | 1 | the cell, and the lines that `call` writes |
//! | [`swap`](crate::RcuCell::swap) and a drop of the old version | 1, 1 for the number of the grace period, and 2 for the handle of the domain | the cell, the line of that number, which only writers and starts use, the count of handles, and the lines that `call` writes |
//! | start of a grace period | 3, and a barrier on every processor that runs the process | the sequence, once |
//! | scan | 1 | none; the scan reads one line for each thread, and eight bytes for each held owned guard |
//!
//! # The hot path
//! This is [`RcuCell::with`](crate::RcuCell::with) on a cell of a domain that the program made
//! (x86-64, release). The listing shows the instructions that do the work, with names for their
//! registers. A call executes 38 instructions in all. This number includes the call itself, the
//! thread-local's address and the measuring loop. To see all of them, run `cargo rustc --release --
//! --emit asm` in a crate that calls `with`.
//!
//! ```text
//! mov   (cell), registry       the cell's domain; null stands for the global domain
//! test  registry, registry
//! cmp   registry, CACHE        the thread's cache: the domain used last
//! mov   CACHE+8, record        the thread's record in that domain
//! cmp   $0, (record)           the reader word: is a section open already?
//! mov   (registry), sequence   the sequence
//! mov   sequence, (record)     into the word: the section is open
//! cmp   $1, MODE               is there a process-wide barrier? Then no fence follows
//! mov   48(cell), pointer      the current version
//! mov   (pointer), value
//! cmp   $0, 8(record)          the count of inner sections
//! mov   $0, (record)           the word: the section is over
//! cmp   $1, MODE
//! cmp   record, 16(record)     does the grace-period thread sleep on this word?
//! ```
//!
//! # Stalls
//! A *progress* record exists for every batch and every async callback that was handed out. The
//! record says whether the work is idle, waits for the global lock, or runs. It also names the
//! thread and the time since when. A timer wakes the grace-period thread to check these records and
//! the sections that hold up the oldest grace period. The timer runs only while a section holds up
//! a grace period or handed-out work is not done. A force or a stall raises a *mark*: a section
//! whose word is below the mark is asked to leave.
//!
//! # Proof obligations
//! The table lists what must hold for the algorithms above to be right, and what shows it. Three
//! models check the protocol:
//! - *loom* is `src/loom_models`: the crate's own code in every interleaving, with fences on both
//!   sides. `ci/faults/loom` has more than a hundred faults that loom must find.
//! - *explorer* is `tests/explorer.rs`: the protocol as small programs, in every order that x86 and
//!   an AArch64-like processor allow, in both barrier modes. Its tables have 126 faults that it
//!   must find.
//! - *spin* is `ci/spin.sh`: the sleep and the stop in Promela, over store buffers. It has 25
//!   faults that it must find.
//!
//! | obligation | model | test |
//! |---|---|---|
//! | a scan with a limit of `g` or more sees every word that was stored before the heavy fence of `g` took effect on that processor | explorer `section`, `two_starters`; loom `section` | `examples/rcutorture/late_stores.rs` |
//! | a reader whose word is `g` or more sees what was unlinked before `g` was taken: the sequence is a chain of read-modify-writes | explorer `section`, `cookie`; loom `section` | `tests/cookies.rs` |
//! | the limit is `fenced`, read before the registry's head and the words | explorer `two_starters`, `registration`, `late_section`; loom `section` | |
//! | a reader's last access comes before the free: Release of the reader's 0, or of a later word, to the scan's Acquire | loom `section`; explorer `section` | `tests/plain_memory.rs` under ThreadSanitizer |
//! | sections nest, in any order of drops; only the outermost section opens and closes the word | loom `section`; explorer `nested` | `tests/read.rs` |
//! | one guard owns an owned word; a skipped block of words holds no guard; the word is not 0 at any time during a refresh | loom `owned`; explorer `parked`, `owned_refresh` | `tests/owned_guards.rs` |
//! | a record, and the registry it belongs to, is used again only when nothing refers to it | loom `section`, `queue`; explorer `record_stays`, `orphan`, `core`, `counts` | `tests/reuse.rs`, `tests/thread_locals.rs` |
//! | no thread sleeps on a section that has ended, or on a section that will end without waking the thread | loom `holdout`; explorer `holdout`, `one_asked`, `bystander`, `asked_anew`, `refresh_wakes`; spin | `tests/synchronize.rs` |
//! | no request and no callback is left while the thread that must serve it sleeps | loom `queue`, `domain`; explorer `call`, `nap`, `nap_wait`, `event`; spin | `examples/rcutorture/pair.rs` |
//! | after any stop and restart there is one consumer, or none and no work | loom `restart`, `domain`; explorer `stop`, `stop_request`, `shutdown`; spin | `tests/shutdown.rs`, `examples/rcutorture/restart.rs` |
//! | no waiter misses its grace period; wakers are called and dropped outside locks; the last waker that a waiter gave is called | loom `waiters`; explorer `wanted` | `tests/futures.rs`, `tests/faults.rs` |
//! | a callback is published whole, taken once, and its chunk freed once; a thread's end loses no callback | loom `queue` | `tests/call.rs` |
//! | a batch's grace period starts after its collection; a drain gets the number of a collection that has not begun | explorer `drain`; loom `tickets`, `domain` | `tests/drain.rs` |
//! | a ticket closes when all of its batch is done, whichever thread runs the batch, in whatever order | loom `tickets`, `batches` | `tests/executors.rs`, `tests/panics.rs` |
//! | a dropped batch goes to the worker, once; under a global lock batches take turns | loom `batches`, `lock` | `tests/executors.rs`, `tests/global_lock.rs` |
//! | the room of a finished callback is given back once, and goes to the waiters in turn | loom `backlog`, `domain` | `tests/backpressure/reserve.rs` |
//! | a section is asked to leave if it holds up a grace period, and hears of it | loom `release` | `tests/force.rs` |
//! | a watcher's slot never names a version that was retired when the watcher looked, and no version is missed | loom `watch`; explorer `subscribe`, `slot`, `closed` | `tests/watch.rs` |
//! | a guard of another domain gives no access | explorer `domains` | `tests/read.rs` |
//! | a version is freed once, after its readers have left; concurrent updates lose no update | loom `cell` | `tests/cell.rs`, `tests/retired.rs` |
//! | a list's nodes, an array's slots, a map's buckets and entries are whole when a reader finds them, and stay as long as the section | loom `list`, `vec`, `map` | `tests/collections/list.rs`, `tests/collections/vec.rs`, `tests/collections/map_torture.rs` |
//! | all obligations hold together, in children of forks too | | `tests/rcutorture.rs`, `tests/fork.rs`, `tests/fork/batches.rs` |
//! | every sequence of operations agrees with a sequential oracle | | `fuzz/src/operations`, `fuzz/src/collections`, `tests/fuzz_corpus.rs` |
//! | imports run downwards; system calls and atomics stay on their floor | | `tests/layering.rs` |
//!
//! Tests reach 99% of the library's lines and 94% of its branches (`ci/coverage.sh`):
//!
//! | folder | lines, % | branches, % |
//! |---|---|---|
//! | `sys` | 95 | 81 |
//! | `callback` | 97 | 100 |
//! | `reader` | 100 | 98 |
//! | `grace_period` | 100 | 100 |
//! | `dispatch` | 99 | 92 |
//! | `domain` | 99 | 95 |
//! | `cell` | 99 | 97 |
//! | `collections` | 99 | 96 |
//!
//! `ci/uncovered.txt` lists the rest, with the reason for each line: races that loom's models run,
//! failures of the system, and process aborts that only a bug would cause.
//!
//! # Believed, and not proved
//! - **The barrier.** The system keeps the contract of its barrier: when `membarrier` or
//!   `FlushProcessWriteBuffers` returns, every thread of the process has passed a full fence. loom
//!   has no such call, and the explorer assumes the contract. On a system that breaks the contract,
//!   memory is freed while readers use it. (wine 8 breaks the contract: its call does nothing.)
//! - **The explorer's programs.** The explorer's programs are written by hand, separately from the
//!   code. A test checks that the functions they name exist. Only a person who reads both can check
//!   that each step does what its program says.
//! - **Language rules.** Two properties rest on the rules of the language alone: cookies after a
//!   SeqCst fence, and the order in which a block is unparked and handed out. On the explorer's
//!   processors they hold even if the code is wrong. So the explorer's tables list faults in these
//!   two as seen `NOWHERE`: no program of the explorer finds them. Processors that are not
//!   multi-copy atomic were not modelled.
//! - **Other code.** tokio's mutex is fair, and its channels lose nothing. futex, `WaitOnAddress`
//!   and condition variables wake the sleeping thread.
//! - **Bounds.** loom's models have at most five threads and three preemptions. The explorer's
//!   programs have a few steps and rounds.
//! - **The compiler fence.** A compiler fence keeps the compiler from moving what the barrier's
//!   other side relies on. The language's `compiler_fence` promises this for a thread and a signal
//!   handler on that thread, and every user of membarrier assumes it.
//!
//! # Sources
//! The reader word and the process-wide barrier come from userspace RCU (Desnoyers, McKenney,
//! Stern, Dagenais, Walpole, *User-Level Implementations of Read-Copy Update*, 2012). Callbacks
//! under a global lock, `force` and `drain` come from QEMU's RCU. Cookies and `rcu_barrier` come
//! from Linux. One barrier for each grace period instead of two, and overlapping grace periods, are
//! possible because the word holds a number that never wraps.
