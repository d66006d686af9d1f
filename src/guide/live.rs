//! Pictures of the route server's live page.
//!
//! To see the page, run
//!
//! ```text
//! cargo run --release --features locations --example route_server
//! ```
//!
//! and open `http://127.0.0.1:8080/`. In the pictures a reader holds version 7. The server answers
//! requests from version 8. The old table and 120,000 callbacks wait. The stall report names the
//! line that made the guard. When the reader drops the guard, all waiting callbacks run.
//!
//! A server of your own can copy three things:
//! - One task reads [`Rcu::stats`](crate::Rcu::stats), and only while the page is open. So an idle
//!   server stays idle.
//! - The hook [`on_stall`](crate::Builder::on_stall) sends its report to a channel and returns.
//! - Each thread counts requests in its own line of memory. A single counter would be written by
//!   all threads.
//!
//! The page shows latencies since the start of the domain. `examples/route_server/README.md`
//! explains each figure. The pictures come from a busy machine and are not a measurement. The table
//! is npm's `@ip-location-db/asn` (CC BY 4.0: Route Views, NRO, IP Geolocation by DB-IP).
//!
#![doc = include_str!("img/live.md")]
