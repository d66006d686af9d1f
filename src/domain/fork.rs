//! Domains in the child of a fork.
//!
//! The child has one thread: the thread that forked. No other thread held a lock of this crate (see
//! [`gate`](crate::sys::gate)), so all state under locks is consistent. Work that other threads
//! were in the middle of is gone.
//!
//! | what | in the child |
//! |---|---|
//! | reader words | kept: the child may have references from those sections |
//! | records of vanished threads | never used again: a thread may have been inside `call` |
//! | callbacks queued, collected, ready, or in a batch of the domain's threads | run in both processes |
//! | a batch that the forking thread is in the middle of | goes on |
//! | a batch of another thread or a foreign executor | counts as gone: its ticket closes |
//! | the domain's threads | stopped, and started again at the next use |
//!
//! No foreign code runs before `fork` has returned: a waker could wait for ever for a lock that a
//! vanished thread holds. The domain's next turn wakes the waiters of the forking thread. Other
//! waiters are gone. If a callback forks, its thread goes on in the child.

use super::Domain;
use super::rcu::Rcu;
use crate::dispatch::blocking;
use crate::reader::local;
use crate::sys::barrier;
use crate::sys::gate;
use crate::sys::prim::{Mutex, statics};
use crate::sys::wake::WakeList;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

statics! {
    static DOMAINS: Mutex<BTreeMap<u64, Weak<Domain>>> = Mutex::new(BTreeMap::new());

    /// Domains without a handle whose thread vanished. The next start of a thread starts theirs.
    static ABANDONED: Mutex<Vec<Arc<Domain>>> = Mutex::new(Vec::new());
}

pub(super) fn enlist(domain: &Arc<Domain>) {
    gate::on_fork(in_child);
    let old = DOMAINS.lock().insert(domain.id, Arc::downgrade(domain));
    drop(old);
}

pub(super) fn delist(domain: &Domain) {
    let gone = DOMAINS.lock().remove(&domain.id);
    drop(gone);
}

/// Returns the domains that still have their registry.
fn all() -> Vec<Arc<Domain>> {
    let domains = DOMAINS.lock();
    let mut all: Vec<_> = domains.values().filter_map(Weak::upgrade).collect();
    drop(domains);
    all.retain(|domain| !domain.is_recycled());
    all
}

fn in_child() {
    barrier::after_fork();
    for domain in all() {
        domain.after_fork();
        if domain.has_ended() && domain.registry.signals.sleep_state.is_stopped() {
            ABANDONED.lock().push(domain);
        }
    }
}

pub(super) fn revive() {
    let abandoned = std::mem::take(&mut *ABANDONED.lock());
    for domain in abandoned {
        if !domain.kick() {
            // A drop would free collected callbacks under their readers.
            ABANDONED.lock().push(domain);
        }
    }
}

impl Rcu {
    /// In the child of a fork, ends the sections that other threads had open, in all domains, so
    /// that these sections no longer hold up grace periods in the child.
    ///
    /// Domains work in a forked child (see the [guide](crate::guide::limits)). But sections that
    /// other threads had open stay open, because the child may still have references from them.
    /// Stall reports name them as sections of ended threads. This call does not change the parent,
    /// and does not end owned guards that the forking thread made, wherever they were held.
    ///
    /// ```
    /// # use async_rcu::Rcu;
    /// # fn fork() -> i32 { 0 }
    /// if fork() == 0 {
    ///     // SAFETY: this thread has nothing that another thread read under RCU.
    ///     unsafe { Rcu::after_fork_in_child() };
    ///     Rcu::global().blocking_synchronize();
    /// }
    /// ```
    ///
    /// # Safety
    /// Call it in the child of a fork before the child starts threads, or at any time in a process
    /// that is not a forked child. After the call, the child must not use anything that came from a
    /// section of another thread than the forking one: no reference, no guard (owned guards
    /// included), no `RcuRef` or `OwnedRcuRef`. It may drop such a guard.
    pub unsafe fn after_fork_in_child() {
        if !gate::is_child() {
            return;
        }
        for domain in all() {
            // SAFETY: the caller's promise.
            unsafe { domain.registry.clear_vanished() };
            if domain.left.lock().is_empty() {
                domain.wake_gp_thread();
            } else {
                domain.kick();
            }
        }
    }
}

impl Domain {
    fn after_fork(self: &Arc<Self>) {
        self.registry.lose_all_but(local::known(self.registry));
        if blocking::gp_thread_of() != self.dispatcher.id() {
            self.registry.signals.sleep_state.give_back();
            self.force.after_fork();
        }
        self.forget_thread();
        let collected = self.collector.lock().lengths_and_tickets();
        let queued: u64 = self
            .registry
            .records()
            // SAFETY: no thread is the collector now. The grace-period thread is gone, or it is the
            // current thread, inside foreign code.
            .map(|record| unsafe { record.queue.uncollected() })
            .sum();
        let mut wakers = WakeList::default();
        self.synchronizers.waiters.take_all(&mut wakers);
        self.dispatcher.after_fork(queued, collected, &mut wakers);
        self.stops.take_all(&mut wakers);
        self.left.lock().append(wakers);
        // If this is the grace-period thread, it takes one more turn.
        self.wake_gp_thread();
    }

    pub(super) fn wake_left(&self) {
        let mut left = std::mem::take(&mut *self.left.lock());
        left.wake_all();
    }
}
