//! How to do what comes up again and again.
//!
//! # Replace a value as a whole
//! Configuration, routes, a table: put it in a [`RcuCell`](crate::RcuCell), read it with
//! [`with`](crate::RcuCell::with), replace it with [`store`](crate::RcuCell::store).
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::collections::HashMap;
//! let routes = RcuCell::new(HashMap::from([("/", "index")]));
//! let page = routes.with(|routes| routes.get("/").copied());
//! routes.store(HashMap::from([("/", "home")]));           // seen at once by who reads from now on
//! # assert_eq!(page, Some("index"));
//! ```
//!
//! In a `static`, with [`none`](crate::RcuCell::none):
//!
//! ```
//! use async_rcu::RcuCell;
//! static CONFIG: RcuCell<Option<Vec<String>>> = RcuCell::none();
//! CONFIG.store(Some(vec!["first".into()]));
//! ```
//!
//! # Change a part: read, copy, update
//! [`update`](crate::RcuCell::update) is tried again until nobody came between; a reader becomes an updater without a lock,
//! and without holding up other readers. Keep what is large and unchanged behind `Arc`s, so that the copy is small.
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::sync::Arc;
//! let tables = RcuCell::new([Arc::new(vec![1]), Arc::new(vec![2])]);
//! tables.update(|[first, second]| [Arc::clone(first), Arc::new([&second[..], &[3]].concat())]);
//! assert_eq!(tables.with(|t| t[1].len()), 2);
//! ```
//!
//! # I/O between the reading and the publishing
//! `update` cannot wait. Serialise the updaters with a lock of their own, which readers never see:
//!
//! ```
//! use async_rcu::RcuCell;
//! # async fn fetch(version: u64) -> u64 { version + 1 }
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let table = RcuCell::new(1);
//! let updaters = tokio::sync::Mutex::new(());
//! let one_at_a_time = updaters.lock().await;
//! let old = table.with(|t| *t);             // no section is held while we wait
//! let new = fetch(old).await;
//! table.store(new);
//! drop(one_at_a_time);
//! # assert_eq!(table.with(|t| *t), 2);
//! # });
//! ```
//!
//! # Several cells in one section
//! One guard for all of them costs one entry. It does not make them one: a writer may store in between. What must be
//! seen together goes into one cell.
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
//! [`read_owned`](crate::RcuCell::read_owned). For long: look whether somebody asks for it, and move on. Memory then stays flat
//! however long the task lives (`examples/streaming.rs` measures it).
//!
//! ```
//! use async_rcu::{OwnedRcuRef, RcuCell};
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
//! # Keep a value for long, without a section
//! Count references beside RCU: [`RcuCell<Arc<T>>`](crate::RcuCell::load_full), or, where the last owner must not free under
//! readers that found the object by other ways, `Arc<`[`Deferred`](crate::Deferred)`<T>>`.
//!
//! ```
//! use async_rcu::RcuCell;
//! use std::sync::Arc;
//! let current = RcuCell::new(Arc::new("session".to_owned()));
//! let mine: Arc<String> = current.load_full();
//! current.store(Arc::new("next".to_owned()));
//! assert_eq!(*mine, "session");                       // holds up nothing
//! ```
//!
//! # Close something after its last user
//! Take it out of where readers find it, then let a callback close it. Async ones may take their time.
//!
//! ```
//! use async_rcu::{Rcu, RcuCell};
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
//! [`subscribe`](crate::RcuCell::subscribe): a stream of the latest version, for what must act on a change and not only read.
//!
//! # Bound the memory
//! Readers and executors may be slower than writers. With [`max_pending`](crate::Builder::max_pending), writers that can wait
//! [`reserve`](crate::Rcu::reserve) first, and those that can do without [`try_call`](crate::Rcu::try_call).
//! (`examples/backpressure.rs` measures it.)
//!
//! # Run callbacks where the state is
//! Under the program's big lock: [`GlobalLock`](crate::GlobalLock). On a loop of one's own, a `LocalSet` or a GUI:
//! [`ChannelExecutor`](crate::ChannelExecutor). On the runtime: `Rcu::builder().executor(handle)`.
//!
//! # Leave in order
//! Nothing runs after `main`: [`drain`](crate::Rcu::drain) or [`shutdown`](crate::Rcu::shutdown) before, with a time limit where
//! that is wanted:
//!
//! ```
//! # use std::time::Duration;
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let rcu = async_rcu::Rcu::new();
//! let over = tokio::time::timeout(Duration::from_secs(5), rcu.shutdown()).await;
//! assert!(over.is_ok(), "some section or callback does not end");
//! # });
//! ```
