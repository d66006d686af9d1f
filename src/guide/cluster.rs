//! A grace period across processes: *no process still uses version N*.
//!
//! A grace period of this crate ends at the border of its process. Some programs need more. Several
//! processes hold the same table (routes, feature flags, an index, tenants), and one of them, the
//! *updater*, changes it. Some work of the updater must wait for all processes: to delete the old
//! version's file, end a backend, drop a column, or take back an address. Besides [`synchronize`],
//! this work needs a store that all processes reach and that has leases: etcd, ZooKeeper, Consul,
//! or a database.
//!
//! `examples/cluster` in the repository does this with etcd, with Postgres, or with a store in its
//! own process, for a trial without a server. It is a package of its own. `cargo run` in that
//! folder shows a change, a slow reader, a death, a partition and a succession.
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
//!       |   being in office           |----- delta N, after 7 ---->| 4  cell.store(N)
//!  b    |<-- live nodes, used >= ? ---|                            |    old readers are still in 7
//!       |                             |                            | 5  rcu.synchronize().await
//!       |                             |<---- publish used >= N ----|
//!       |<---- used >= N, or gone ----|                            |
//!  c  no process uses anything older than N
//! ```
//! After step 4 new readers see N, and old readers are still in version 7. Step 5 returns after the
//! last old reader has left.
//!
//! A node has a cell and two loops. One loop puts versions in place. The other loop tells the store
//! which versions are no longer in use:
//!
//! ```
//! use async_rcu::{Rcu, RcuCell};
//! use tokio::sync::watch;
//!
//! struct Version { revision: u64, names: Vec<String> }
//!
//! /// For each new version: waits for the readers of all older versions, then calls `tell`.
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
//! let request = table.read_owned();                       // a slow reader of version 7
//! table.store(Version { revision: 9, names: vec!["a".into()] });
//! applied.send(9).unwrap();                               // after the store into the cell
//! assert_eq!(table.with(|t| (t.revision, t.names.len())), (9, 1));
//! assert!(heard.try_recv().is_err());                     // version 7 is in use
//! drop(request);
//! assert_eq!(heard.recv().await, Some(9));
//! # });
//! ```
//!
//! # Why it is right
//! - **The nodes that are waited for.** The updater lists the live nodes after its change was
//!   committed. The updater waits for every node in the list. A node that is not in the list
//!   registers later, so it lists the table after the commit and has N or newer. This is the rule
//!   of a grace period: a grace period does not wait for later readers. The rule needs a store
//!   whose reads are linearizable.
//! - **Deltas.** Each delta carries its revision and the revision of the delta before. A node
//!   ignores a delta that it already has. If a delta is missing, or the store has dropped it, the
//!   node lists again.
//! - **A lease that has ended.** The updater stops waiting for a node when the store says that the
//!   node's lease has ended. So the node must stop answering before that:
//!   - The node counts from the moment before it *sent* the last keep-alive that was answered, by a
//!     monotonic clock that goes on while the machine sleeps. The node stops when four fifths of
//!     the lease's time are over.
//!   - The node checks its lease at the end of each request, after all reads. So a process that was
//!     suspended in the middle of a request refuses the request when it continues.
//!   - When the store says that the lease is lost, the node drops the table, registers again and
//!     lists. Under the new lease the node does not answer with data that it read under the old
//!     lease.
//! - **Succession.** The updater commits the change and the list of its later work in one
//!   transaction. The transaction succeeds only while the updater is in office. A successor finds
//!   the list and begins at b. The former updater can commit nothing more.
//!
//! # What it promises, and what not
//! - When c is reached, no process that answers uses anything older than N, now or later.
//! - A node that is dead or cut off delays c by at most its lease's time.
//! - A node does not answer while the updater may have stopped waiting for it.
//!
//! The protocol has no consensus of its own. The store decides which changes exist, in which order,
//! which lease has ended, and which updater is in office. The protocol is only as reliable as the
//! store.
//!
//! Nodes do not change at the same instant: a node may be late for as long as its lease lasts. A
//! reader that never leaves delays c for ever, and delays nothing else. The clocks may show
//! different times. The store's clock must not run more than 5/4 as fast as a node's clock. The
//! protocol does not fence what a node does elsewhere while it serves N, such as writing to another
//! system.
//!
//! # What it costs
//! The example's README has measurements for one to eight processes. Most of the time is the
//! network's and the disk's. The grace period within a process adds microseconds. A slow reader in
//! one process delays the grace period of all processes until the reader leaves. It does not delay
//! the change.
//!
//! [`synchronize`]: crate::Rcu::synchronize
