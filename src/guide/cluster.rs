//! A grace period across processes: *no process still uses version N*.
//!
//! A grace period of this crate ends at the border of its process. Where several processes hold the same table (routes, feature
//! flags, an index, tenants) and one changes it, the one who changes it may have something to do that must wait for all of them: delete
//! the old version's file, end a backend, drop a column, take back an address. What is needed beside [`synchronize`] is a
//! store that they all reach and that has leases: etcd, ZooKeeper, Consul, or a database.
//!
//! `examples/cluster` in the repository does it, with etcd, with Postgres and, to be tried without a server, within one
//! process. It is a package of its own; `cargo run` in that folder shows a change, a slow reader, a death, a partition and a
//! succession.
//!
//! # The protocol
//! ```text
//!    updater                        store                        node
//!       |                             |<--------- register --------| 1  under a lease; used >= 0
//!       |                             |---- snapshot, revision 7 ->| 2  list
//!       |                             |<-------- watch > 7 --------| 3  follow
//!       |                             |<---- publish used >= 7 ----|
//!       |                             |<........ keep-alive .......|    all the time
//!  a    |-- change, conditional on -->|                            |
//!       |   being in office           |----- delta N, after 7 ---->| 4  cell.store(next): new readers get N
//!  b    |<-- live nodes, used >= ? ---|                            |    old readers are still in 7
//!       |                             |                            | 5  rcu.synchronize().await: the last has left
//!       |                             |<---- publish used >= N ----|
//!       |<---- used >= N, or gone ----|                            |
//!  c  no process uses anything older than N
//! ```
//! The node's part is a cell and two loops. One puts versions in place; the other says what is not in use any more:
//!
//! ```
//! use async_rcu::{Rcu, RcuCell};
//! use tokio::sync::watch;
//!
//! struct Version { revision: u64, names: Vec<String> }
//!
//! /// For each version that was put in place: waits for the readers of all older ones, and tells.
//! async fn publish(rcu: Rcu, mut newest: watch::Receiver<u64>, tell: impl Fn(u64)) {
//!     while newest.changed().await.is_ok() {
//!         let revision = *newest.borrow_and_update();
//!         rcu.synchronize().await;
//!         tell(revision);          // in the store, under the lease: "used >= revision"
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let rcu = Rcu::builder().name("table").build().unwrap();
//! let table = RcuCell::new_in(&rcu, Version { revision: 7, names: vec![] });
//! let (applied, newest) = watch::channel(7);
//! let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
//! tokio::spawn(publish(rcu, newest, move |revision| told.send(revision).unwrap()));
//!
//! let request = table.read_owned();                       // a slow one, in version 7
//! table.store(Version { revision: 9, names: vec!["a".into()] });
//! applied.send(9).unwrap();                               // after the cell
//! assert_eq!(table.with(|t| (t.revision, t.names.len())), (9, 1));
//! assert!(heard.try_recv().is_err());                     // 7 is in use
//! drop(request);
//! assert_eq!(heard.recv().await, Some(9));
//! # });
//! ```
//!
//! # Why it is right
//! - **Who is waited for.** The updater lists the live nodes after its change was committed. A node that is in the list is
//!   waited for. One that is not registered later, so it listed the table after the commit and has N or newer. As in a
//!   grace period: who comes later need not be waited for. It needs a store whose reads are linearizable.
//! - **Deltas.** Each carries its revision and that of the one before. One that the node has is ignored; where one is missing,
//!   or the store has dropped it, the node lists again.
//! - **A lease that has ended.** The updater stops waiting when the store says that a node's lease has ended. So the node must have
//!   stopped before: it counts from before it *sent* the last keep-alive that was answered, by a monotonic clock that goes on while
//!   the machine sleeps, and stops well before the lease's time. It looks at the end of each request, after all was read, so that a
//!   process which was stopped in the middle refuses when it goes on. When the store says that the lease is lost, it drops
//!   the table, registers anew and lists; what was read under the old lease is not answered under the new one.
//! - **Succession.** What the updater has to do later is written with the change itself, in one transaction, which is
//!   conditional on the office. A successor finds it and begins at b; the former one can commit nothing more.
//!
//! # What it promises, and what not
//! When c is reached, no process that answers uses anything older than N, and none will. A node that is dead or cut off delays
//! that by its lease's time at most. A node that may have been given up does not answer.
//!
//! There is no consensus in it: which changes there are, in which order, whose lease has ended and who is in office is the
//! store's word, and as good as the store. Nodes do not change at the same instant: one may be behind for as long as its
//! lease lasts. A reader that never leaves delays c for ever, and nothing else. Clocks need not agree on the time, but on its pace, within
//! the margin. What a node does elsewhere while it serves N, such as writing to another system, is not fenced by any of this.
//!
//! # What it costs
//! See the README of the example, where it is measured for one to eight processes: the network's and the disk's time, mostly. The grace
//! period within a process adds microseconds; a slow reader in one process adds what is left of its own time, to the grace
//! period of all, and nothing to the change.
//!
//! [`synchronize`]: crate::Rcu::synchronize
