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
//! | handing out ready batches | [`dispatcher`] |
//! | the grace-period thread | [`gp_thread`] |
//! | stall reports, figures | [`stall`], [`stats`], [`publish`] |
//! | the child of a fork | [`fork`] |
//!
//! # The end
//! When the last handle is dropped, the grace-period thread finishes everything that is queued.
//! Then it puts the core into the list of cores that a new domain may take once all their records
//! are free. Whether the thread or the last handle gives the core away is decided under the
//! driver's lock.

pub(crate) mod backpressure;
pub(crate) mod builder;
pub(crate) mod call;
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

use crate::callback::queue::Queue;
use crate::dispatch::job::Context;
use crate::grace_period::engine::Engine;
use crate::reader::registry::Core;
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

/// A core whose records have callback queues.
pub(crate) type DomainCore = Core<Queue<Context>>;

pub(crate) struct Domain {
    /// Never used again, unlike the core's address.
    pub(crate) id: u64,
    pub(crate) core: &'static DomainCore,
    pub(crate) engine: Engine<Queue<Context>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    settings: Settings,
    barrier: MemoryBarrier,
    pub(crate) synchronizers: Synchronizers,
    force: Force,
    stops: Stops,
    stalls: Stalls,
    /// The collector's state: collected callbacks, and what the grace-period thread remembers.
    /// Whoever holds the lock is the collector.
    driver: Mutex<GpThread>,
    thread: ThreadSlot,
    /// No handle is left.
    ended: AtomicBool,
    /// The core is given away: another domain may have it.
    recycled: AtomicBool,
    /// The waiters of the process that was forked: woken by the next turn.
    left: Mutex<WakeList>,
}

statics! {
    /// Held while a domain is made, so that no fork leaves half a domain behind.
    static STARTING: Mutex<()> = Mutex::new(());

    static NEXT_ID: AtomicU64 = AtomicU64::new(1);

    /// The cores of ended domains.
    static ENDED: Mutex<Vec<&'static DomainCore>> = Mutex::new(Vec::new());
}

/// Returns a core for a new domain: that of an ended domain if all its records are free, or a new
/// one.
fn take_core() -> &'static DomainCore {
    let mut ended = ENDED.lock();
    let reusable = ended
        .iter()
        .enumerate()
        .filter(|(_, core)| core.try_reuse());
    // The smallest: each turn looks at each record, also at the records of a past peak.
    let smallest = reusable.min_by_key(|(_, core)| core.size());
    let core = match smallest.map(|(index, _)| index) {
        Some(index) => ended.swap_remove(index),
        None => Core::leak(Seq::FIRST),
    };
    core.hub.begin();
    core
}

/// Returns, for models, how many cores new domains can take.
#[cfg(all(test, rcu_loom))]
pub(crate) fn cores_left() -> usize {
    ENDED.lock().len()
}

impl Domain {
    /// Makes a domain, and starts its thread.
    fn start(
        name: Option<String>,
        settings: Settings,
        dispatcher: impl FnOnce(&'static DomainCore, String) -> Arc<Dispatcher>,
    ) -> io::Result<Arc<Domain>> {
        thread::are_supported()?;
        let starting = STARTING.lock();
        let barrier = barrier::choose();
        let core = take_core();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let engine = Engine::new(core);
        let synchronizers = Synchronizers::new(engine.elapsed());
        let domain = Arc::new(Domain {
            id,
            core,
            engine,
            dispatcher: dispatcher(core, name.unwrap_or_else(|| id.to_string())),
            settings,
            barrier,
            synchronizers,
            force: Force::new(),
            stops: Stops::new(()),
            stalls: Stalls::new(),
            driver: Mutex::new(GpThread::default()),
            thread: ThreadSlot::new(),
            ended: AtomicBool::new(false),
            recycled: AtomicBool::new(false),
            left: Mutex::new(WakeList::default()),
        });
        let first = core.hub.sleep_state.take_over();
        debug_assert!(first, "a core that can be taken has no thread");
        fork::enlist(&domain);
        let spawned = domain.spawn();
        if spawned.is_err() {
            core.hub.sleep_state.give_back();
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

    /// Returns whether another domain may have the core.
    fn is_recycled(&self) -> bool {
        self.recycled.load(Ordering::Acquire)
    }

    /// Ends the domain: the last handle is gone.
    fn end(self: &Arc<Self>) {
        self.core.hub.release.end();
        delay::at(Window::Ending);
        // The driver's lock: a thread that is about to go either has not looked yet, and will see
        // that the domain has ended, or has gone for good.
        let driver = self.driver.lock();
        self.ended.store(true, Ordering::Release);
        let sleep_state = &self.core.hub.sleep_state;
        if !sleep_state.is_stopped() {
            drop(driver);
            self.wake_gp_thread();
        } else if self.is_drained() {
            self.recycle();
            drop(driver);
            // A waiter may have started the worker when it took turns for a thread that the system
            // refused to start.
            self.dispatcher.worker.stop();
            self.dispatcher.dismiss_executor();
        } else if sleep_state.take_over() {
            drop(driver);
            if !self.spawn_or_give_back() {
                stderr::tell(format_args!(
                    "RCU domain \"{}\": ended with callbacks queued, and the system refused to \
                     start a thread for them; they are leaked",
                    self.dispatcher.name
                ));
                // A drop would free collected callbacks under their readers.
                std::mem::forget(Arc::clone(self));
            }
        }
    }

    /// Gives the core to the next domain that is built. Nothing is done with the core after this.
    fn recycle(&self) {
        self.recycled.store(true, Ordering::Release);
        self.core.hub.end();
        ENDED.lock().push(self.core);
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        fork::delist(self);
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain")
            .field("name", &self.dispatcher.name)
            .finish_non_exhaustive()
    }
}
