//! A grace period across processes: *no process still uses revision N*.
//!
//! One updater changes a table in a store. Several processes, the nodes, hold the table in memory
//! and answer from it. After a change, the updater learns when no node uses the older version any
//! more. Then it may do what must wait for that: here it deletes the old version's file. Inside a
//! node a grace period of `async-rcu` answers the question; between nodes, each node publishes its
//! answer in the store, under its lease.
//!
//! - [`model`]: table, versions, deltas. [`lease`], [`clock`]: how long a node may answer.
//! - [`store`]: the store's contract; etcd, Postgres, and a store in the process.
//! - [`node`]: lists, follows, publishes. [`http`]: its answers. [`updater`]: changes, waits,
//!   deletes. [`files`]: the files that it deletes.
//! - [`report`]: the events. [`demo`]: all parts in one process. [`bench`]: the benchmark.
//!
//! The README of this package says what the example promises and what not.

pub mod bench;
pub mod clock;
pub mod demo;
pub mod files;
pub mod http;
pub mod lease;
pub mod model;
pub mod node;
pub mod report;
pub mod store;
pub mod updater;
