//! What was measured, and how to measure it again.
//!
//! On a virtual machine with 2 cores of 2.3 GHz (Linux 6.18.44, x86-64), shared with others: look at ratios, and repeat. The barrier between readers
//! and grace periods was membarrier, for this crate and for liburcu.
//!
//! # Beside others
//! ```text
//! (cd benches/peers && cargo run --release)                 # all of it; --list, --filter, --rounds, --json, --svg
//! ```
//! `benches/peers` does the same work over each candidate, in turn, in one process, 5 rounds. Given are medians; a ratio is the median over the ratios within
//! one round. During this run other processes took 6% of the machine; the two rows of held guards, the tables of reloads and those of memory are of
//! other runs of the same day, not all as quiet. Versions: arc-swap 1.9.3, crossbeam-epoch 0.9.21, haphazard 0.1.8, liburcu 0.13.2, parking_lot 0.13.0, sdd 4.8.11, seize 0.5.1, tokio 1.54.1, tokio_rcu 0.6.0.
//!
//! | | async-rcu | others | goal, and what it is |
//! |---|---|---|---|
//! | read: enter, load, leave (ns) | 2.4; 1.9 (`RcuCell::with`) | liburcu bp 1.8; liburcu memb 1.9; crossbeam-epoch 8.8; seize 9.3; haphazard 7.7; sdd 8.7; arc-swap load 13; arc-swap Cache 0.45; tokio watch 17; std RwLock 14; parking_lot RwLock 15; tokio RwLock 42; plain load 0.28; tokio_rcu 2.8 | <= 1 x bp: 1.31, **missed**; <= 0.2 x crossbeam-epoch: 0.27, **missed**; <= 0.15 x arc-swap load: 0.18, **missed** |
//! | the same on 2 threads at once (ns) | 2.5; 2.3 (1 thread) | liburcu bp 1.9; liburcu memb 2.0; crossbeam-epoch 12; seize 10; haphazard 8.0; sdd 9.1; arc-swap load 15; arc-swap Cache 0.55; tokio watch 62; std RwLock 66; parking_lot RwLock 67; tokio RwLock 193; plain load 0.30; tokio_rcu 2.7 | <= 1.1 x 1 thread: 1.04 |
//! | nested enter and leave (ns) | 0.84 | liburcu bp 1.4; liburcu memb 1.6; crossbeam-epoch 1.4; seize 1.5; sdd 1.2 |  |
//! | further load under one guard (ns) | 0.49 | plain load 0.28; liburcu bp 0.28; liburcu memb 0.56; crossbeam-epoch 0.29; seize 0.28; sdd 0.28 | <= 1.3 x a plain load: 1.75, **missed** |
//! | owned read, `Send` (ns) | 1.9; 2.1 (`RcuCell::read_owned`) | Arc clone 13; arc-swap load_full 23; parking_lot RwLock, Arc clone 22; seize enter_owned 37 | <= 1.3 x `read`: 0.87; <= 0.25 x Arc clone: 0.14 |
//! | the same on 2 threads at once (ns) | 2.3 | Arc clone 57; arc-swap load_full 90; parking_lot RwLock, Arc clone 109; seize enter_owned 231 |  |
//! | an `Arc` of the version (ns) | 15 (`load_full`) | arc-swap load_full 25; std RwLock 23; parking_lot RwLock 22; Arc clone 15 |  |
//! | `call`, enqueue (ns) | 4.7 | liburcu bp 45; liburcu memb 40; crossbeam-epoch defer 21; sdd defer_execute 37 | <= 0.33 x memb: 0.11 |
//! | allocate and `retire` (ns) | 85 | liburcu bp 59; liburcu memb 61; crossbeam-epoch 56; seize 34; sdd 31; box and drop, nothing deferred 11 |  |
//! | replace a box, retire the old (ns) | 168 | liburcu bp 91; liburcu memb 94; crossbeam-epoch 80; seize 55; haphazard 162; sdd 45; arc-swap 309; tokio watch 225; std RwLock 26; parking_lot RwLock 25; exchange and free, nothing protected 18 | <= 0.75 x crossbeam-epoch: 2.10, **missed**; <= 0.75 x seize: 3.49, **missed** |
//! | the same beside a reader (ns) | 201 | liburcu bp 193; liburcu memb 172; crossbeam-epoch 166; seize 135; haphazard 289; sdd 80; arc-swap 508; tokio watch 562; std RwLock 94; parking_lot RwLock 117; exchange and free, nothing protected 42 | <= 0.75 x crossbeam-epoch: 1.24, **missed**; <= 0.75 x seize: 1.49, **missed** |
//! | the same, until freed (ns) | 204 | liburcu bp 116; liburcu memb 116; crossbeam-epoch 65; seize 37; haphazard 118; sdd 26; arc-swap 239; tokio watch 184; std RwLock 21; parking_lot RwLock 22; exchange and free, nothing protected 15 |  |
//! | a million calls, nothing to free (M/s) | 20; 21 (inline) | liburcu bp 23; liburcu memb 23 | >= 3 x memb: 0.85, **missed** |
//! | a million boxes, freed (M/s) | 5.9; 6.3 (inline) | liburcu bp 8.4; liburcu memb 8.2 | >= 1.5 x memb: 0.77, **missed** |
//! | one callback, idle, to its start (us) | 2.9 (inline); 24 (worker) | liburcu bp 10,091; liburcu memb 10,092 | <= 15: 2.9 inline; 24 worker, **missed** |
//! | blocking synchronize, idle (us) | 0.29 | liburcu bp 0.66; liburcu memb 0.42 | <= 0.6 x memb: 0.70, **missed** |
//! | the same, a looping reader (us) | 12 | liburcu bp 55; liburcu memb 24 | <= 0.6 x memb: 0.50 |
//! | `synchronize().await`, idle (us) | 2.7 (`block_on`); 2.7 (a task) | tokio_rcu 0.35 | <= 1: 2.7 `block_on`, **missed**; 2.7 a task, **missed** |
//! | drain, nothing queued (us) | 0.14 | liburcu bp 10,139; liburcu memb 10,138 |  |
//! | call and drain (us) | 12; 3.3 (inline) | liburcu bp 10,147; liburcu memb 10,097 |  |
//! | drain, from the last leave (us) | 11 (worker); 5.4 (inline) | liburcu bp 8,026; liburcu memb 8,027 | <= 15: 11 worker; 5.4 inline |
//! | the same, in mid-grace-period (us) | 9.5 (worker); 6.1 (inline) | liburcu bp 8,034; liburcu memb 8,038 | <= 15: 9.5 worker; 6.1 inline |
//! | 10,000 waiters: grace periods | 1.0 (current_thread); 2.0 (1 worker) | - | <= 3: 1.0; 2.0; at the most 9.0 |
//! | 10,000 waiters: until all are woken (us) | 6,968 (current_thread); 7,612 (1 worker) | tokio_rcu 3,120 |  |
//! | synchronize, 1,000 idle threads (us) | 12 | liburcu bp 3.2; liburcu memb 21 |  |
//! | synchronize, 10,000 idle threads (us) | 251 | liburcu bp 38; liburcu memb 547 | <= 100: 251, **missed** |
//! | end of a grace period, 1,000 held guards (us) | 20 | - |  |
//! | the same, 1,000,000 held guards (us) | 720 | - | <= 5000: 720 |
//! | idle: context switches in 10 s | 0 | liburcu memb 0; liburcu memb, real-time worker 991 | 0: 0 |
//!
//! liburcu's callback thread pauses 10 ms between rounds, which is what its latencies are. tokio_rcu's readers do nothing at
//! a read: every poll of a task pays instead, which is not in its figure. seize, sdd and crossbeam-epoch free on the thread
//! that retires, and have no way to wait for the last one: "until freed" is without their rest.
//! `benches/peers/chart.svg` in the repository shows the same.
//!
//! # Goals that are missed, and why
//! What was looked at: `perf record -e cpu-clock` over the benchmark of the same work in `benches/all`, callgrind, and the assembly.
//! - **Read: 1.3 of liburcu bp, 0.27 of crossbeam-epoch instead of 0.2, 0.18 of arc-swap instead of 0.15.** The goals rest on a trial with 2.3 ns where liburcu
//!   took 2.0. Of the 0.6 ns between, the comparison of the guard's domain with the cell's is 0.4: [`RcuCell::with`](crate::RcuCell::with), which needs none, takes
//!   1.9 ns, 1.1 of liburcu bp and 0.14 of arc-swap. The rest: four dependent loads (the thread's cache, the record, from
//!   there the domain's hub, its sequence) where liburcu has a thread-local pointer and a global, and the switch between the kinds of barrier, which is
//!   tested at each of three fences. Needed: the sequence at an address that the handle holds, and one test.
//! - **Further load: 1.7 plain loads (0.2 ns more).** That is the same comparison: the price of a safe `load`. The reference that a first
//!   `load` gave costs nothing more.
//! - **Replace: 2.1 times crossbeam-epoch and 3.5 times seize instead of 0.75** (beside a reader 1.2 and 1.5), and no two runs agree: in a quieter one it took 78 ns,
//!   1.3 and 1.9 times. Nearly half of the writer's time is glibc's `malloc`: these boxes are freed by another thread, into the arena that
//!   the writer allocates from, so neither side is served by its own cache (an exchange with `free` on the spot takes 14 to 20 ns in
//!   all). The others free on the writer's thread. Needed: batches handed back to the writer, as an executor may do; or another allocator.
//! - **A million callbacks: 0.85 of liburcu instead of 3 times as many; with boxes 0.77 instead of 1.5.** Queueing takes 5 of the 51 ms: the callbacks
//!   run at 40 ns each. Over half of that is the clock, which is read after every callback, for
//!   [`longest_callback`](crate::Stats::longest_callback) and the time slice; then the guard against panics, set up for each by itself, and a pop that checks for the
//!   chunk's end. Needed: the clock once in some callbacks, and a chunk run as a slice. With boxes it is the allocator again.
//! - **One callback on the worker: 24 us instead of 15.** Two wake-ups of a sleeping processor instead of one;
//!   [`InlineExecutor`](crate::InlineExecutor) has one, and takes 2.9 us.
//! - **Blocking synchronize: 0.7 of liburcu memb instead of 0.6**, which is 0.04 us. Of 0.29 us some 0.1 is the system call, and some 0.04 the check for
//!   an async context by a completed oneshot, which makes the panic independent of load.
//! - **`synchronize().await`: 2.7 us instead of 1**, and up to 56 where the processor sleeps deeply. Every first poll goes to the grace-period thread
//!   and back: two wake-ups. A start and a scan in the first poll, as the blocking form has them, would do it.
//! - **10,000 idle threads: 180 to 250 us instead of 100.** All but little of it is the scan, a walk along a list: a record's
//!   address stands in the one before, so the cache misses follow one another, 18 to 25 ns each (11 ns at 1,000 threads, whose records fit the
//!   cache). Needed: the words of many records side by side, or an array of addresses.
//! - **10,000 waiters: 1 or 2 grace periods at the median, as was the goal (3), and up to 9 in a round**; on a machine whose processors were all busy with other work, a round
//!   of 1,410 was seen. Waiters are polled one after another, and a grace period that nobody holds up ends before the next one is
//!   polled; the grace-period thread lets more of them come for as long as they come within 10 us of each other, which a preempted poller does not.
//!
//! Found on the way: a past peak of threads costs later scans. A domain keeps the records of threads that have ended, for new ones, and a new
//! domain may get the records of one that has ended: after 10,000 threads in an earlier domain, a drain with nothing queued took 250 us in a later one
//! instead of 0.2, and a callback with its drain 1.6 ms.
//!
//! # Reads while a table is replaced
//! ```text
//! (cd benches/peers && cargo run --release -- reload)
//! ```
//! One thread looks up random keys among 500,000 entries as fast as it can, while another puts a new table in its place every 50 ms (built before).
//! Medians of three rounds of 40 replacements, the maximum of all; "freed by": the thread that ran the drop, which took 9 to 11 ms. First each read for
//! itself, then requests that make 1,000 reads on one version:
//!
//! | a read | p50 | p99 | p99.9 | max | freed by reader, writer, other |
//! |---|---|---|---|---|---|
//! | async-rcu | 394 ns | 1.1 us | 2.3 us | 4.1 ms | 0, 0, 120 |
//! | async-rcu, no writer | 280 ns | 465 ns | 779 ns | 2.0 ms | 0, 0, 0 |
//! | async-rcu, read_owned | 397 ns | 1.1 us | 2.3 us | 4.0 ms | 0, 0, 120 |
//! | arc-swap load | 423 ns | 1.1 us | 2.4 us | 11.6 ms | 13, 107, 0 |
//! | tokio watch | 415 ns | 1.1 us | 2.3 us | 12.1 ms | 0, 120, 0 |
//! | std RwLock | 415 ns | 1.1 us | 2.4 us | 9.4 ms | 0, 120, 0 |
//! | parking_lot RwLock | 396 ns | 1.1 us | 2.2 us | 1.5 ms | 0, 120, 0 |
//!
//! | a request of 1,000 reads | p50 | p99 | p99.9 | max | freed by reader, writer, other |
//! |---|---|---|---|---|---|
//! | async-rcu | 157 us | 406 us | 774 us | 14.3 ms | 0, 0, 120 |
//! | async-rcu, no writer | 130 us | 174 us | 280 us | 680 us | 0, 0, 0 |
//! | async-rcu, read_owned | 162 us | 406 us | 788 us | 12.2 ms | 0, 0, 120 |
//! | arc-swap load | 164 us | 499 us | 8.9 ms | 88.7 ms | 118, 2, 0 |
//! | tokio watch | 152 us | 365 us | 786 us | 13.8 ms | 0, 120, 0 |
//! | std RwLock | 154 us | 360 us | 702 us | 8.3 ms | 0, 120, 0 |
//! | parking_lot RwLock | 157 us | 398 us | 793 us | 4.5 ms | 0, 120, 0 |
//!
//! A reader of arc-swap that is inside when the table is replaced drops it: with long requests 118 of 120 times, 9 ms each. Here
//! no reader ever does, and the p99.9 of requests is 0.09 of arc-swap's; the goal was 0.2. The other goal, 1.0 times what it is without a writer,
//! is **missed**: 2.8 times, and 2.9 for single reads, as for every candidate. A new table is cold, and the old one's half a million strings are freed
//! through the same cache, 10 ms of every 50; the median grows likewise. For single reads the p99.9 is arc-swap's too, as a reader is
//! rarely inside then. Where no processor is free, whoever frees takes one from a reader: that is in the maxima of all, ours too.
//!
//! # Memory
//! ```text
//! (cd benches/peers && cargo run --release -- memory)
//! ```
//! Bytes of the heap (glibc's count of what is in use, its own overhead included):
//!
//! | | async-rcu | liburcu memb |
//! |---|---|---|
//! | thread that has read | 1,351 | 277 |
//! | held owned guard (and 16 in the handle) | 11 | - |
//! | queued callback, up to 3 words | 33 | - |
//! | queued callback, 8 words, boxed | 113 | - |
//! | queued drop of a 24-byte box, box included | 65 | 32 |
//!
//! Ten million callbacks behind a reader that stays 1 s, resident set in MiB:
//!
//! | | before | peak | after the drain | after `malloc_trim`, as `on_idle` may do |
//! |---|---|---|---|---|
//! | async-rcu, call of one word | 4 | 320 | 319 | 4 |
//! | async-rcu, retire of 24-byte boxes | 4 | 626 | 626 | 4 |
//! | liburcu memb, malloc and call_rcu of 24 bytes, header included | 4 | 309 | 7 | 4 |
//!
//! liburcu's callbacks bring their own 16 bytes in what they free. A flood's memory goes back to the allocator at the drain, and to the system when the
//! allocator is told so: in [`Builder::on_idle`](crate::Builder::on_idle), which was made for it.
//!
//! # Instructions
//! `bash ci/instructions.sh`, under callgrind; the loop's own four included, rustc 1.95, x86-64:
//!
//! | | membarrier | fences |
//! |---|---|---|
//! | [`Rcu::read`](crate::Rcu::read) and drop | 31 | 33 |
//! | [`RcuCell::with`](crate::RcuCell::with) | 38 | 40 |
//! | [`Rcu::read_owned`](crate::Rcu::read_owned) and drop | 39.3 | 39.3 |
//! | [`Rcu::call`](crate::Rcu::call), one captured word | 49.3 | 49.3 |
//! | [`Rcu::retire`](crate::Rcu::retire), without the allocation | 51.4 | 51.4 |
//!
//! valgrind passes membarrier on, so both kinds of barrier can be counted (`ASYNC_RCU_BARRIER=fence` picks the other).
//!
//! # Each operation of this crate alone
//! `cargo bench --bench all` (criterion, by theme, some two minutes). What the table above has not: two domains in turn, a read of each,
//! 3.8 ns; a read beside 1,000 owned guards 2.2 ns; `call` with eight captured words, in a box, 140 ns. A wake-up of a
//! processor that sleeps takes about 20 us on that machine; while its processors are kept busy by other work it takes 4 us.
//!
//! A million callbacks on a runtime of one worker took 59 ms; another task of that runtime had 837 turns meanwhile and
//! waited 4.2 ms at the worst (0.1 ms without them).
//!
//! # The route server
//! The tables of 2025-04-02 and 2026-06-17 (480,580 and 515,158 rows) in turn, random addresses, a quarter of them IPv6;
//! `wrk` with 16 connections on the same two cores; three runs of eight seconds of each kind, interleaved; medians.
//!
//! | | requests/s | p50 | p99 | p99.9 | max |
//! |---|---|---|---|---|---|
//! | no reload | 125,000 | 91 us | 1.7 ms | 4.0 ms | 11 ms |
//! | reloads, each 0.1 s after the last was answered: 27 in 9 s | 101,000 | 113 us | 3.6 ms | 5.9 ms | 12 ms |
//! | the same reloads by *another* process | 100,000 | 114 us | 3.7 ms | 6.7 ms | 12 ms |
//!
//! So what a reload costs the requests is the processor time of parsing the files, wherever that happens; not the exchange.
//! No request failed, and every reload was answered 200. Reading half a million rows takes 0.2 s there, so a reload every
//! 100 ms cannot be had. Freeing the old table takes 2 to 3 ms, on the domain's callback thread. Memory: 27 MB at start,
//! 78 MB after 133 reloads, 85 MB at the most (two tables and a parse).
//!
//! ```text
//! cargo run --release --example route_server -- --table asn-ipv4.csv --table asn-ipv6.csv
//! wrk --threads 1 --connections 16 --duration 10s --latency --script examples/route_server/wrk.lua http://127.0.0.1:8080
//! while curl -s -o /dev/null -X POST http://127.0.0.1:8080/reload; do sleep 0.1; done
//! ```
//!
//! # Idle
//! Ten seconds of `strace -f -c` on the idle server show no system call of any thread; `tests/idle.rs` counts the
//! context switches of the domain's threads, and there are none.
