//! What becomes of domains in the child of a fork.
//!
//! The child has one thread: the one that forked. No lock of ours was held by another ([`gate`](crate::sys::gate)), so every
//! structure behind a lock is whole. What the other threads had in their hands is gone.
//!
//! | what | in the child |
//! |---|---|
//! | reader words | kept: references may have been passed to the forking thread; who opened them counts as ended |
//! | records of vanished threads | never used again: their threads may have been in the middle of a `call` |
//! | callbacks queued, collected, ready, or in a batch that waits for our threads | run, here as in the parent |
//! | a batch that the forking thread is in the middle of | goes on |
//! | a batch that another thread was polling, or that a foreign executor has | gone, as far as we know: its ticket closes |
//! | the domain's threads | stopped, and started again at the next use |
//!
//! Nothing foreign runs before `fork` has returned: most children go on to `exec`, and a waker might wait there for a lock of its
//! own that a vanished thread holds. Who waited for something on the forking thread is woken by the domain's next turn,
//! whoever it may be that asks for that; who waited elsewhere is gone.
//!
//! A thread of ours that forks (a callback did) is still there, and goes on.

use super::Domain;
use crate::dispatch::here;
use crate::reader::local;
use crate::sys::barrier;
use crate::sys::gate;
use crate::sys::prim::{Mutex, statics};
use crate::sys::wake::WakeList;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

statics! {
    /// Every domain that there is.
    static DOMAINS: Mutex<BTreeMap<u64, Weak<Domain>>> = Mutex::new(BTreeMap::new());

    /// Domains without a handle whose thread vanished before it was done. The next thread that is started starts theirs.
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

/// Those that still have their core. (Of the others somebody has not yet let go; their core may be in here with another.)
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
        if domain.has_ended() && domain.core.hub.sleep_state.is_stopped() {
            ABANDONED.lock().push(domain);
        }
    }
}

/// Starts the threads of domains that have nobody else to do it.
pub(super) fn revive() {
    let abandoned = std::mem::take(&mut *ABANDONED.lock());
    for domain in abandoned {
        if !domain.kick() {
            // Dropped, what is collected would be freed under its readers.
            ABANDONED.lock().push(domain);
        }
    }
}

/// In the child of a fork: clears the words of all threads but this one, of all domains.
///
/// # Safety
/// Nothing that was read in sections which other threads had opened is used any more.
pub(super) unsafe fn clear_vanished() {
    if !gate::is_child() {
        return;
    }
    for domain in all() {
        // SAFETY: passed on.
        unsafe { domain.core.clear_vanished() };
        if domain.left.lock().is_empty() {
            domain.core.hub.event.set();
        } else {
            domain.kick();
        }
    }
}

impl Domain {
    fn after_fork(self: &Arc<Self>) {
        self.core.lose_all_but(local::known(self.core));
        if here::gp_thread_of() != self.dispatcher.id() {
            self.core.hub.sleep_state.give_back();
        }
        // To join it would be to wait for ever.
        std::mem::forget(self.take_thread());
        let collected = self.driver.lock().lengths_and_tickets();
        let queued: u64 = self
            .core
            .records()
            // SAFETY: nobody collects: the driver's thread is gone, or it is this one, which is in the middle of foreign code.
            .map(|record| unsafe { record.local.uncollected() })
            .sum();
        let mut wakers = WakeList::default();
        self.waiters.take_all(&mut wakers);
        self.dispatcher.after_fork(queued, collected, &mut wakers);
        self.take_stops(&mut wakers);
        self.left.lock().append(wakers);
        // Where this is the thread that makes turns, it makes one more.
        self.core.hub.event.set();
    }

    /// Wakes who waited when this process was forked.
    pub(super) fn wake_left(&self) {
        let mut left = std::mem::take(&mut *self.left.lock());
        left.wake_all();
    }
}
