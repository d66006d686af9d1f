//! The names that QEMU, liburcu and Linux use, and the names in this crate.
//!
//! # Readers
//! | there | here |
//! |---|---|
//! | `rcu_init` | [`Rcu::new`](crate::Rcu::new), [`Rcu::global`](crate::Rcu::global) |
//! | `rcu_register_thread`, `rcu_unregister_thread` | automatic, at a thread's first read and when the thread ends; [`Rcu::register_thread`](crate::Rcu::register_thread) registers in advance |
//! | `rcu_read_lock` ... `rcu_read_unlock` | [`Rcu::read`](crate::Rcu::read), and the drop of its guard |
//! | `RCU_READ_LOCK_GUARD`, `WITH_RCU_READ_LOCK_GUARD` | [`Rcu::read`](crate::Rcu::read), [`RcuCell::with`](crate::RcuCell::with) |
//! | `rcu_read_ongoing` | not needed: the borrow checker admits no load without a guard |
//! | a section of a coroutine | [`Rcu::read_owned`](crate::Rcu::read_owned), held across `.await` |
//! | `rcu_quiescent_state`, `rcu_thread_offline`, `rcu_thread_online` | not needed: a grace period waits for sections only. For long sections, [`ReadGuard::refresh`](crate::ReadGuard::refresh) |
//! | `rcu_dereference`, `atomic_rcu_read` | [`RcuCell::load`](crate::RcuCell::load), [`with`](crate::RcuCell::with), [`read`](crate::RcuCell::read) |
//! | several pointers in one section | [`RcuCell::load`](crate::RcuCell::load) of each, with one guard |
//!
//! # Updaters
//! | there | here |
//! |---|---|
//! | `rcu_assign_pointer`, `atomic_rcu_set` | [`RcuCell::store`](crate::RcuCell::store), [`swap`](crate::RcuCell::swap) |
//! | `rcu_xchg_pointer`, `rcu_cmpxchg_pointer` | [`RcuCell::swap`](crate::RcuCell::swap), [`update`](crate::RcuCell::update) |
//! | assignment and exchange of a pointer that may be null | [`RcuPtr`](crate::RcuPtr) |
//! | `QLIST_FOREACH_RCU`, `cds_list_for_each_rcu` | [`RcuList::iter`](crate::RcuList::iter) |
//! | `QLIST_INSERT_AFTER_RCU`, `cds_list_del_rcu`, `cds_list_replace_rcu` | [`RcuList::write`](crate::RcuList::write) |
//! | a resizable array, with size and data in one object | [`RcuVec`](crate::RcuVec) |
//! | `synchronize_rcu` | [`Rcu::synchronize`](crate::Rcu::synchronize), [`blocking_synchronize`](crate::Rcu::blocking_synchronize) |
//! | `synchronize_rcu_expedited` | [`Rcu::synchronize`](crate::Rcu::synchronize) and [`Rcu::force`](crate::Rcu::force) |
//! | `call_rcu1(head, function)` | [`Rcu::call`](crate::Rcu::call) with a closure; the object needs no `rcu_head` |
//! | `call_rcu(object, function, field)` | [`Rcu::call`](crate::Rcu::call) with the object moved into the closure |
//! | callbacks under the big lock | [`Builder::global_lock`](crate::Builder::global_lock), [`GlobalLock::call`](crate::GlobalLock::call) |
//! | `g_free_rcu`, `kfree_rcu` | [`Rcu::retire`](crate::Rcu::retire); dropping a [`Retired`](crate::Retired) |
//! | a reference count dropped through `call_rcu` (`foo_unref`, `foo_destroy`) | `Arc<`[`RetireOnDrop`](crate::cell::RetireOnDrop)`<T>>` |
//! | `call_rcu_data`, per-CPU call_rcu threads | an [`Executor`](crate::Executor) |
//! | `rcu_barrier`, `drain_call_rcu` | [`Rcu::drain`](crate::Rcu::drain) |
//! | `drain_call_rcu` in a thread that holds the big lock | [`GlobalLockGuard::drain`](crate::global_lock::GlobalLockGuard::drain) |
//! | `force_rcu` | [`Rcu::force`](crate::Rcu::force) |
//! | force notifiers (`rcu_add_force_rcu_notifier`) | [`Rcu::on_force`](crate::Rcu::on_force); for one section, [`OwnedReadGuard::release_requested`](crate::OwnedReadGuard::release_requested) |
//! | `malloc_trim` when idle | [`Builder::on_idle`](crate::Builder::on_idle) |
//!
//! # Cookies
//! | there | here |
//! |---|---|
//! | `get_state_synchronize_rcu` | [`Rcu::grace_period`](crate::Rcu::grace_period) |
//! | `start_poll_synchronize_rcu` | [`Rcu::start_grace_period`](crate::Rcu::start_grace_period) |
//! | `poll_state_synchronize_rcu` | [`Rcu::has_elapsed`](crate::Rcu::has_elapsed) |
//! | `cond_synchronize_rcu` | [`Rcu::wait_for`](crate::Rcu::wait_for) |
//!
//! # Trouble
//! | there | here |
//! |---|---|
//! | RCU CPU stall warnings | [`Builder::on_stall`](crate::Builder::on_stall), target `async_rcu::stall` |
//! | `qhimark`, callback flood control | [`Builder::max_pending`](crate::Builder::max_pending) |
//! | `rcu_after_fork_child`, `urcu_after_fork_child` | automatic; [`Rcu::after_fork_in_child`](crate::Rcu::after_fork_in_child) for sections of the other threads |
//! | rcutorture | `examples/rcutorture.rs` |
//!
//! # Differences
//! - **Order of callbacks.** Callbacks of one thread keep their order within a batch. Batches keep
//!   their order only on executors that keep it: [`WorkerThread`](crate::executor::WorkerThread),
//!   [`InlineExecutor`](crate::executor::InlineExecutor), a [`GlobalLock`](crate::GlobalLock).
//! - **Overlap.** Grace periods overlap. A callback waits for sections that began before its grace
//!   period, and not for later sections.
//! - **Domains.** Domains are independent of each other. QEMU and Linux have one domain for the
//!   whole program, except for Linux's SRCU.
//! - **Threads.** One thread may enter a section and another thread may leave it, with an owned
//!   guard.
