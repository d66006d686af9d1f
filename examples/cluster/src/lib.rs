//! A grace period across processes: *no process still uses revision N*.
//!
//! One updater changes a table that lies in a store; several processes, the nodes, hold it in memory and answer from it. When
//! a change was made, the updater learns when no node uses the version before it any more, and may then do what must wait for
//! that: here it deletes that version's file. Inside of a node the question is answered by a grace period of `async-rcu`,
//! between them by what each node publishes in the store, under its lease.
//!
//! - [`model`]: table, versions, deltas. [`lease`], [`clock`]: until when a node may answer.
//! - [`store`]: what is asked of a store; etcd, Postgres, and one within the process.
//! - [`node`]: lists, follows, publishes. [`http`]: its answers. [`updater`]: changes, waits, deletes. [`files`]: what it deletes.
//! - [`report`]: what happens, told. [`demo`], [`bench`]: all of it in one process; measured.
//!
//! What it promises and what not is in the README beside this package.

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
