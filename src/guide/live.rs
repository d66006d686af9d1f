//! Seen live: the route server's page.
//!
//! `cargo run --release --features locations --example route_server`, then open `http://127.0.0.1:8080/`. A reader holds version 7:
//! requests go on with version 8, the old table and 120,000 callbacks wait, and the stall report names the line that made the guard.
//! When it goes, all that waited is done.
//!
//! What to take from it for a server of one's own: [`Rcu::stats`](crate::Rcu::stats) is read by one task, and only while somebody
//! watches, so that idle stays idle; [`on_stall`](crate::Builder::on_stall) hands its report to a channel and returns;
//! requests are counted in a line of memory for each thread, not in one counter that all write. Latencies are since the start of
//! the domain. `examples/route_server/README.md` says what each figure is; the pictures are of a busy machine, no measurement.
//! The table is npm's `@ip-location-db/asn` (CC BY 4.0: Route Views, NRO, IP Geolocation by DB-IP).
//!
#![doc = include_str!("img/live.md")]
