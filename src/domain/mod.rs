//! A domain: the state that the clones of one `Rcu` share, and its life.
//!
//! | part | file |
//! |---|---|
//! | the handle: sections | [`rcu`] |
//! | making a domain | [`builder`], [`global`] |
//! | `call`, `retire` | [`call`] |
//! | waiting for a grace period | [`synchronize`] |
//! | waiting for callbacks | [`drain`] |
//! | stopping the threads | [`shutdown`] |
//! | force and its hooks | [`force`] |
//! | a limit of pending callbacks | [`backpressure`] |
//! | callbacks under a lock | [`global_lock`] |
//! | callbacks on the threads that queued them | [`callers`] |
//! | handing out ready batches | [`dispatcher`] |
//! | the grace-period thread | [`gp_thread`] |
//! | stall reports, figures | [`stall`], [`stats`], [`publish`] |
//! | the child of a fork | [`fork`] |
//!
//! # The end
//! After the drop of the last handle, the grace-period thread finishes all queued work. Then it
//! gives the registry away: a new domain may take the registry when all its records are free. If
//! the thread is stopped and no work is left, the drop of the last handle does this. The collector
//! lock decides which of the two does it. A structure inside of a retired value has a handle, too:
//! [`rcu`] says how the end of nested structures waits for no timer.

pub(crate) mod backpressure;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod callers;
pub(crate) mod dispatcher;
pub(crate) mod drain;
pub(crate) mod force;
pub(crate) mod fork;
pub(crate) mod global;
pub(crate) mod global_lock;
pub(crate) mod gp_thread;
mod publish;
pub(crate) mod rcu;
pub(crate) mod shutdown;
pub(crate) mod stall;
pub(crate) mod stats;
pub(crate) mod synchronize;

#[cfg(all(test, not(rcu_loom)))]
mod tests;

use crate::grace_period::Engine;
use crate::reader::registry::Registry;
use crate::reader::sequence::Seq;
use crate::sys::barrier::{self, MemoryBarrier};
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicU64, Mutex, Ordering, statics};
use crate::sys::stderr;
use crate::sys::thread;
use crate::sys::wake::WakeList;
use builder::Settings;
use dispatcher::Dispatcher;
use force::Force;
use gp_thread::{GpThread, ThreadSlot};
use shutdown::Stops;
use stall::Stalls;
use std::fmt;
use std::io;
use std::sync::Arc;
use synchronize::Synchronizers;

pub(crate) struct Domain {
    /// Unique, unlike the registry's address.
    pub(crate) id: u64,
    pub(crate) registry: &'static Registry,
    pub(crate) engine: Engine,
    pub(crate) dispatcher: Arc<Dispatcher>,
    settings: Settings,
    barrier: MemoryBarrier,
    pub(crate) synchronizers: Synchronizers,
    force: Force,
    stops: Stops,
    stalls: Stalls,
    /// The collector's state. The thread that holds the lock is the collector.
    collector: Mutex<GpThread>,
    thread: ThreadSlot,
    /// No handle is left.
    ended: AtomicBool,
    /// The callbacks that are queued now do not wait for the batch interval.
    end_expected: AtomicBool,
    /// Another domain may have the registry.
    recycled: AtomicBool,
    /// In the child of a fork: the waiters of the forking thread, which the next turn wakes.
    left: Mutex<WakeList>,
}

statics! {
    /// Held while a domain is made, so that no fork leaves half a domain behind.
    static STARTING: Mutex<()> = Mutex::new(());

    static NEXT_ID: AtomicU64 = AtomicU64::new(1);

    static ENDED: Mutex<Vec<&'static Registry>> = Mutex::new(Vec::new());
}

/// Returns the registry of an ended domain, if all its records are free, or a new registry.
fn take_registry() -> &'static Registry {
    let mut ended = ENDED.lock();
    let reusable = ended.iter().enumerate().filter(|(_, registry)| registry.try_reuse());
    // The smallest, because each turn looks at all records, used or not.
    let smallest = reusable.min_by_key(|(_, registry)| registry.size());
    let registry = match smallest.map(|(index, _)| index) {
        Some(index) => ended.swap_remove(index),
        None => Registry::leak(Seq::FIRST),
    };
    registry.begin();
    registry
}

/// Returns how many ended domains have left their registries.
#[cfg(all(test, rcu_loom))]
pub(crate) fn registries_left() -> usize {
    ENDED.lock().len()
}

impl Domain {
    fn start(
        name: Option<String>,
        settings: Settings,
        dispatcher: impl FnOnce(&'static Registry, String) -> Arc<Dispatcher>,
    ) -> io::Result<Arc<Domain>> {
        thread::are_supported()?;
        let starting = STARTING.lock();
        let barrier = barrier::choose();
        let registry = take_registry();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let engine = Engine::new(registry);
        let synchronizers = Synchronizers::new(engine.elapsed());
        let domain = Arc::new(Domain {
            id,
            registry,
            engine,
            dispatcher: dispatcher(registry, name.unwrap_or_else(|| id.to_string())),
            settings,
            barrier,
            synchronizers,
            force: Force::new(),
            stops: Stops::new(()),
            stalls: Stalls::new(),
            collector: Mutex::new(GpThread::default()),
            thread: ThreadSlot::new(),
            ended: AtomicBool::new(false),
            end_expected: AtomicBool::new(false),
            recycled: AtomicBool::new(false),
            left: Mutex::new(WakeList::default()),
        });
        let first = registry.signals.sleep_state.take_over();
        debug_assert!(first, "a registry that can be taken has no thread");
        fork::enlist(&domain);
        let spawned = domain.spawn();
        if spawned.is_err() {
            registry.signals.sleep_state.give_back();
            domain.recycle();
        }
        drop(starting);
        spawned?;
        fork::revive();
        Ok(domain)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn is_recycled(&self) -> bool {
        self.recycled.load(Ordering::Acquire)
    }

    /// Lets the queued callbacks wait for no batch interval, since the domain may be about to end.
    fn expect_end(&self) {
        // A read-modify-write: the turn also finds the callbacks of a thread that came before.
        self.end_expected.swap(true, Ordering::AcqRel);
        self.wake_gp_thread();
    }

    /// Ends the domain, at the drop of the last handle.
    fn end(self: &Arc<Self>) {
        self.registry.signals.release.end();
        delay::at(Window::Ending);
        // A thread that stops looks at `ended` under this lock. Either it will see that the domain
        // has ended, or it has stopped.
        let collector = self.collector.lock();
        self.ended.store(true, Ordering::Release);
        let sleep_state = &self.registry.signals.sleep_state;
        if !sleep_state.is_stopped() {
            drop(collector);
            self.wake_gp_thread();
        } else if self.is_drained() {
            self.recycle();
            drop(collector);
            // A waiter may have started the worker when it took a turn itself.
            self.dispatcher.worker.stop();
            self.dispatcher.dismiss_executor();
        } else if sleep_state.take_over() {
            drop(collector);
            if !self.spawn_or_give_back() {
                stderr::tell(format_args!(
                    "RCU domain \"{}\": the domain ended with callbacks queued, and the system \
                     refused to start a thread for them; these callbacks are leaked",
                    self.dispatcher.name
                ));
                // A drop would free collected callbacks under their readers.
                std::mem::forget(Arc::clone(self));
            }
        }
    }

    /// Gives the registry away. This domain does not use it any more.
    fn recycle(&self) {
        self.recycled.store(true, Ordering::Release);
        self.registry.end();
        ENDED.lock().push(self.registry);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        fork::delist(self);
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("name", &self.dispatcher.name).finish_non_exhaustive()
    }
}
