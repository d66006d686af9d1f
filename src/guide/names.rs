//! The old names.
//!
//! | QEMU, liburcu, Linux | here |
//! |---|---|
//! | `rcu_init` | [`Rcu::new`](crate::Rcu::new), [`Rcu::global`](crate::Rcu::global) |
//! | `rcu_register_thread`, `rcu_unregister_thread` | by itself; [`Rcu::register_thread`](crate::Rcu::register_thread) pays in advance |
//! | `rcu_read_lock` ... `rcu_read_unlock` | [`Rcu::read`](crate::Rcu::read), and the drop of its guard |
//! | `RCU_READ_LOCK_GUARD` | the same |
//! | a section of a coroutine | [`Rcu::read_owned`](crate::Rcu::read_owned), held across `.await` |
//! | `rcu_quiescent_state`, `rcu_thread_offline` | not needed: only sections are waited for |
//! | `rcu_dereference`, `atomic_rcu_read` | [`RcuCell::load`](crate::RcuCell::load), [`with`](crate::RcuCell::with), [`read`](crate::RcuCell::read) |
//! | `rcu_assign_pointer`, `atomic_rcu_set` | [`RcuCell::store`](crate::RcuCell::store), [`swap`](crate::RcuCell::swap) |
//! | `rcu_xchg_pointer`, `rcu_cmpxchg_pointer` | [`RcuCell::swap`](crate::RcuCell::swap), [`update`](crate::RcuCell::update) |
//! | `synchronize_rcu` | [`Rcu::synchronize`](crate::Rcu::synchronize), [`blocking_synchronize`](crate::Rcu::blocking_synchronize) |
//! | `synchronize_rcu_expedited`, `force_rcu` | [`Rcu::force`](crate::Rcu::force) |
//! | `call_rcu`, `call_rcu1` | [`Rcu::call`](crate::Rcu::call): a closure, no `rcu_head` in the object |
//! | `call_rcu` under the big lock | [`GlobalLock::call`](crate::GlobalLock::call) |
//! | `kfree_rcu`, `g_free_rcu` | [`Rcu::retire`](crate::Rcu::retire); dropping a [`Retired`](crate::Retired) |
//! | `rcu_barrier`, `drain_call_rcu` | [`Rcu::drain`](crate::Rcu::drain); under the lock: [`GlobalLockGuard::drain`](crate::GlobalLockGuard::drain) |
//! | `get_state_synchronize_rcu` | [`Rcu::grace_period`](crate::Rcu::grace_period) |
//! | `start_poll_synchronize_rcu` | [`Rcu::start_grace_period`](crate::Rcu::start_grace_period) |
//! | `poll_state_synchronize_rcu` | [`Rcu::has_elapsed`](crate::Rcu::has_elapsed) |
//! | `cond_synchronize_rcu` | [`Rcu::wait_for`](crate::Rcu::wait_for) |
//! | a reference count dropped through `call_rcu` | `Arc<`[`Deferred`](crate::Deferred)`<T>>` |
//! | `malloc_trim` when idle | [`Builder::on_idle`](crate::Builder::on_idle) |
