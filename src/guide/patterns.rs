//! How to solve common tasks.
//!
//! # Replace a value as a whole
//! This pattern is for configuration, routes, or a table. Put the value in a
//! [`RcuCell`](crate::RcuCell), read it with [`with`](crate::RcuCell::with), and replace it with
//! [`store`](crate::RcuCell::store).
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::collections::HashMap;
//! let routes = RcuCell::new(HashMap::from([("/", "index")]));
//! let page = routes.with(|routes| routes.get("/").copied());
//! routes.store(HashMap::from([("/", "home")]));           // every later read sees this map
//! # assert_eq!(page, Some("index"));
//! ```
//!
//! For a cell in a `static`, use [`none`](crate::RcuCell::none):
//!
//! ```
//! use async_rcu::RcuCell;
//! static CONFIG: RcuCell<Option<Vec<String>>> = RcuCell::none();
//! CONFIG.store(Some(vec!["first".into()]));
//! ```
//!
//! # Change a part: read, copy, update
//! [`update`](crate::RcuCell::update) makes a changed copy of the current version and puts it in
//! place. If another writer replaced the version meanwhile, `update` tries again. A writer that
//! calls `update` needs no lock and does not hold up readers. Keep large unchanged parts in `Arc`s,
//! so that the copy is small.
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::sync::Arc;
//! let tables = RcuCell::new([Arc::new(vec![1]), Arc::new(vec![2])]);
//! tables.update(|[first, second]| [Arc::clone(first), Arc::new([&second[..], &[3]].concat())]);
//! assert_eq!(tables.with(|t| t[1].len()), 2);
//! ```
//!
//! # I/O between the read and the replacement
//! The closure of `update` cannot await. Let the writers take turns under a lock of their own.
//! Readers never take this lock:
//!
//! ```
//! use async_rcu::RcuCell;
//! # async fn fetch(version: u64) -> u64 { version + 1 }
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let table = RcuCell::new(1);
//! let updaters = tokio::sync::Mutex::new(());
//! let one_at_a_time = updaters.lock().await;
//! let old = table.with(|t| *t);             // the section ends before the await
//! let new = fetch(old).await;
//! table.store(new);
//! drop(one_at_a_time);
//! # assert_eq!(table.with(|t| *t), 2);
//! # });
//! ```
//!
//! # Several cells in one section
//! With one guard for several cells, a reader enters only one section. The cells are still
//! separate: a writer may store between two loads. Put values that readers must see together into
//! one cell.
//!
//! ```
//! use async_rcu::{Rcu, RcuCell};
//! let rcu = Rcu::new();
//! let (users, groups) = (RcuCell::new_in(&rcu, 3), RcuCell::new_in(&rcu, 4));
//! let guard = rcu.read();
//! let sum = users.load(&guard) + groups.load(&guard);
//! # assert_eq!(sum, 7);
//! ```
//!
//! # Hold a version across `.await`
//! Use [`read_owned`](crate::RcuCell::read_owned). A task that holds a version for a long time
//! checks whether the domain requests the release of the version. If so, the task loads the current
//! version. Memory then stays flat, however long the task lives (`examples/streaming.rs` measures
//! the memory).
//!
//! ```
//! use async_rcu::{RcuCell, cell::OwnedRcuRef};
//! # async fn send(_: &str) {}
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let page = RcuCell::new("text".to_owned());
//! let mut snapshot = page.read_owned();
//! for _ in 0..100 {
//!     send(&snapshot).await;
//!     if OwnedRcuRef::guard(&snapshot).is_release_requested() {
//!         OwnedRcuRef::reload(&mut snapshot, &page);
//!     }
//! }
//! # });
//! ```
//!
//! In a long loop of a thread, [`ReadGuard::refresh`](crate::ReadGuard::refresh) does the same.
//!
//! # Keep a value for a long time, without a section
//! Use reference counts besides RCU. A [`RcuCell<Arc<T>>`](crate::RcuCell::load_full) is enough in
//! most cases. If readers can also find the object without a count, the last owner must not free
//! the object while readers use it: then use
//! `Arc<`[`RetireOnDrop`](crate::cell::RetireOnDrop)`<T>>`.
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::sync::Arc;
//! let current = RcuCell::new(Arc::new("session".to_owned()));
//! let mine: Arc<String> = current.load_full();
//! current.store(Arc::new("next".to_owned()));
//! assert_eq!(*mine, "session");                       // no section, so no grace period is held up
//! ```
//!
//! # Close something after its last user
//! Take the object out of the cell where readers find it. Then wait for its readers, and close the
//! object. The close may be async and slow.
//!
//! ```
//! use async_rcu::RcuCell;
//! # struct Backend; impl Backend { async fn close(self) {} }
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let backend = RcuCell::new(Some(Backend));
//! let old = backend.swap(None);
//! let rcu = backend.rcu().clone();
//! tokio::spawn(async move {
//!     if let Some(backend) = *old.wait().await {      // no request sees it any more
//!         backend.close().await;
//!     }
//! });
//! rcu.drain().await;
//! # });
//! ```
//!
//! # Be told of new versions
//! [`subscribe`](crate::RcuCell::subscribe) returns a stream of the latest version. Use it in a
//! task that must act when the value changes. A slow task skips versions, but never the last one.
//!
//! # Bound the memory
//! Readers and executors may be slower than writers. Then callbacks and old versions fill the
//! memory. To limit them, set [`max_pending`](crate::Builder::max_pending). A writer that can wait
//! calls [`reserve`](crate::Rcu::reserve) before `call`. A writer that cannot wait calls
//! [`try_call`](crate::Rcu::try_call), which returns the closure at the limit.
//! (`examples/backpressure.rs` measures the memory.)
//!
//! # Run callbacks where the state is
//! - Under the program's big lock: [`GlobalLock`](crate::GlobalLock).
//! - In a loop of your own, a `LocalSet` or a GUI:
//!   [`ChannelExecutor`](crate::executor::ChannelExecutor).
//! - On a tokio runtime: `Rcu::builder().executor(handle)`.
//!
//! # End the program in order
//! No callback runs after `main` has returned. Call [`drain`](crate::Rcu::drain) or
//! [`shutdown`](crate::Rcu::shutdown) before the end, with a time limit if you want one:
//!
//! ```
//! # use std::time::Duration;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let rcu = async_rcu::Rcu::new();
//! let over = tokio::time::timeout(Duration::from_secs(5), rcu.shutdown()).await;
//! assert!(over.is_ok(), "some section or callback does not end");
//! # });
//! ```
