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
//! The table of 2026-06-17 (515,158 rows), random addresses, a quarter of them IPv6; `wrk` with 16 connections on the same two
//! cores; three runs of ten seconds each, taken only while nothing else ran; the range of the three.
//!
//! | | requests/s | p50 | p99 | p99.9 | max |
//! |---|---|---|---|---|---|
//! | no reload | 99,000 to 131,000 | 88 to 108 us | 1.2 to 1.5 ms | 3.3 to 4.0 ms | 7.4 to 8.3 ms |
//! | reloaded as fast as it can, 4 to 5 times a second | 78,000 to 86,000 | 126 to 138 us | 3.6 to 3.8 ms | 6.3 to 7.1 ms | 9.5 to 12.8 ms |
//! | *another* process does the same reloads | 75,000 to 88,000 | 124 to 145 us | 3.3 to 3.8 ms | 5.2 to 6.8 ms | 8.4 to 10.0 ms |
//!
//! So what a reload costs the requests is the processor time of parsing the files, wherever that happens; not the exchange.
//! No request failed. Reading half a million rows takes 0.2 s there, so a reload every 100 ms cannot be had. Freeing the old
//! table takes 2 to 3 ms, on the domain's callback thread. Memory: 26 MB at start, 56 to 81 MB during and after 200 reloads.
//!
//! ```text
//! cargo run --release --example route_server -- --table asn-ipv4.csv --table asn-ipv6.csv
//! wrk --threads 1 --connections 16 --duration 10s --latency --script examples/route_server/wrk.lua http://127.0.0.1:8080
//! while curl -s -o /dev/null -X POST http://127.0.0.1:8080/reload; do :; done
//! ```
//!
//! # Idle
//! Ten seconds of `strace -f -c` on the idle server show no system call of any thread; `tests/idle.rs` counts the
//! context switches of the domain's threads, and there are none.
