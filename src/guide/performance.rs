//! What was measured, and how to measure it again.
//!
//! On a virtual machine with two cores of 2.5 GHz, shared with others: look at ratios, and repeat.
//!
//! # One operation
//! `cargo bench --bench basic`; medians, Linux, with the process-wide barrier.
//!
//! | operation | time |
//! |---|---|
//! | [`Rcu::read`](crate::Rcu::read), load, drop | 2.6 ns |
//! | nested [`Rcu::read`](crate::Rcu::read) and drop | 1.3 ns |
//! | [`Rcu::read_owned`](crate::Rcu::read_owned) and drop | 1.8 ns; beside 1,000 held ones 2.2 ns |
//! | [`RcuCell::with`](crate::RcuCell::with), [`read`](crate::RcuCell::read), [`read_owned`](crate::RcuCell::read_owned) | 1.7, 1.8, 2.3 ns |
//! | [`RcuCell::load`](crate::RcuCell::load) under a guard | 0.8 ns |
//! | two domains in turn, one read each | 3.8 ns |
//! | [`Rcu::call`](crate::Rcu::call), one to three captured words | 8.8 ns; with eight, in a box: 140 ns |
//! | box and [`Rcu::retire`](crate::Rcu::retire) | 156 ns: the allocator, as another thread frees |
//! | [`RcuCell::store`](crate::RcuCell::store) | 205 ns, allocation and free included |
//! | [`blocking_synchronize`](crate::Rcu::blocking_synchronize), nobody reads | 0.29 us |
//! | the same beside a thread that reads all the time | 10 us |
//! | [`synchronize`](crate::Rcu::synchronize)`.await`, idle | 54 us: two wake-ups of a sleeping processor |
//! | call, then [`blocking_drain`](crate::Rcu::blocking_drain) | 48 us: three of them |
//! | [`blocking_drain`](crate::Rcu::blocking_drain), nothing queued | 0.14 us |
//!
//! A wake-up of a processor that sleeps takes about 20 us on that machine. While its processors are kept busy by
//! other work it takes 4 us, and `synchronize().await` was then seen at 4 us.
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
