//! A domain: what clones of one `Rcu` share, and its life.
//!
//! # States of the grace-period thread
//! They are those of the hub's `SleepState`: awake, asleep, stopped. Stopped is a kind of asleep: whoever has work for it starts
//! it again. `STOPPED -> AWAKE` is a compare-exchange, so that one starter wins, or the old thread that finds work.
//!
//! # Two ways to be heard
//! - A *call* publishes in its queue, passes a light fence, and looks at the sleep_state: awake means that the queue will be
//!   read again.
//! - A *request* (a wait, force, drain, stop, the end) changes what it asks with a read-modify-write or under a lock, passes
//!   a light fence, starts the thread if it is stopped, and sets the event: always, whatever the sleep_state says. A
//!   thread that naps by the clock is awake for the sleep_state, and must still hear requests.
//!
//! # The end
//! When the last handle goes, the thread finishes everything that is queued, then puts the core among those that a new
//! domain may take once all its records are free.

pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod cookie;
pub(crate) mod fork;
pub(crate) mod futures;
mod global;
pub(crate) mod gp_thread;
pub(crate) mod latency;
pub(crate) mod locked;
mod publish;
pub(crate) mod rcu;
pub(crate) mod reserve;
pub(crate) mod stall;
pub(crate) mod stats;

#[cfg(all(test, not(rcu_loom)))]
mod tests;

use crate::callback::queue::Queue;
use crate::dispatch::dispatcher::{Dispatcher, PanicReport};
use crate::dispatch::here;
use crate::dispatch::job::Context;
use crate::grace_period::engine::Engine;
use crate::reader::registry::Core;
use crate::reader::sequence::{Mark, Seq};
use crate::reader::waiters::Waiters;
use crate::sys::barrier::{self, MemoryBarrier};
use crate::sys::delay::{self, Window};
use crate::sys::prim::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, statics};
use crate::sys::sleep_state::Rouse;
use crate::sys::stderr;
use crate::sys::thread::{self, JoinHandle};
use crate::sys::wake::{Parked, WakeList, quietly};
use gp_thread::GpThread;
use stall::Notifiers;
use stall::report::StallReport;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// A core whose records have callback queues.
pub(crate) type DomainCore = Core<Queue<Context>>;

pub(crate) type StallHook = Box<dyn Fn(&StallReport) + Send + Sync>;
pub(crate) type PanicHook = Box<dyn Fn(&PanicReport) + Send + Sync>;
pub(crate) type IdleHook = Box<dyn Fn() + Send + Sync>;

/// What the builder sets.
pub(crate) struct Settings {
    pub(crate) batch_interval: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) on_stall: Option<StallHook>,
    pub(crate) on_panic: Option<PanicHook>,
    pub(crate) on_idle: Option<IdleHook>,
}

pub(crate) struct Domain {
    /// Never used again, unlike the core's address.
    pub(crate) id: u64,
    pub(crate) core: &'static DomainCore,
    pub(crate) engine: Engine<Queue<Context>>,
    pub(crate) waiters: Waiters,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) settings: Settings,
    pub(crate) barrier: MemoryBarrier,
    /// The highest grace period that somebody asked for.
    pub(in crate::domain) wanted: Mark,
    pub(in crate::domain) force: AtomicBool,
    /// `Synchronize` futures that exist.
    pub(in crate::domain) synchronizing: AtomicUsize,
    /// Grace periods that were started at once because of a force or a drain.
    pub(in crate::domain) forced: AtomicU64,
    /// No handle is left.
    pub(in crate::domain) ended: AtomicBool,
    /// The core is given away: another domain may have it.
    recycled: AtomicBool,
    /// The collector's role, and all that is collected and not yet handed out.
    pub(in crate::domain) driver: Mutex<GpThread>,
    /// Reports for the grace-period thread to make.
    pub(in crate::domain) notes: Mutex<Vec<StallReport>>,
    pub(in crate::domain) notifiers: Mutex<Notifiers>,
    /// The grace-period thread calls them now.
    pub(in crate::domain) telling: AtomicBool,
    /// Stall reports made.
    pub(in crate::domain) stalls: AtomicU64,
    /// How often the thread could not be started since it last was.
    refusals: AtomicU64,
    stops: Mutex<Stops>,
    /// Who waited for anything when this process was forked: woken by the next turn.
    pub(in crate::domain) left: Mutex<WakeList>,
    thread: Mutex<Option<JoinHandle>>,
}

/// Who waits for an attempt to stop the thread.
#[derive(Default)]
struct Stops {
    next: u64,
    waiting: Vec<(u64, Parked)>,
}

statics! {
    /// Held while a domain is made: no fork leaves half of one behind.
    static STARTING: Mutex<()> = Mutex::new(());

    static NEXT_ID: AtomicU64 = AtomicU64::new(1);

    /// Cores of ended domains.
    static ENDED: Mutex<Vec<&'static DomainCore>> = Mutex::new(Vec::new());
}

/// A core for a new domain: one of an ended domain that is wholly free, else a new one.
fn take_core() -> &'static DomainCore {
    let mut ended = ENDED.lock();
    let reusable = ended
        .iter()
        .enumerate()
        .filter(|(_, core)| core.try_reuse());
    // The smallest: every turn looks at every record, also at those of a past peak.
    let smallest = reusable.min_by_key(|(_, core)| core.size());
    let core = match smallest.map(|(place, _)| place) {
        Some(place) => ended.swap_remove(place),
        None => Core::leak(Seq::FIRST),
    };
    core.hub.begin();
    core
}

/// For models: how many cores are there for new domains.
#[cfg(all(test, rcu_loom))]
pub(crate) fn cores_left() -> usize {
    ENDED.lock().len()
}

impl Domain {
    /// A domain whose thread runs.
    pub(crate) fn start(
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
        let wanted = Mark::at(engine.elapsed());
        let domain = Arc::new(Domain {
            id,
            core,
            engine,
            waiters: Waiters::new(),
            dispatcher: dispatcher(core, name.unwrap_or_else(|| id.to_string())),
            settings,
            barrier,
            wanted,
            force: AtomicBool::new(false),
            synchronizing: AtomicUsize::new(0),
            forced: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            recycled: AtomicBool::new(false),
            driver: Mutex::new(GpThread::new()),
            notes: Mutex::new(Vec::new()),
            notifiers: Mutex::new(Notifiers::default()),
            telling: AtomicBool::new(false),
            stalls: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            stops: Mutex::new(Stops::default()),
            left: Mutex::new(WakeList::default()),
            thread: Mutex::new(None),
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

    /// Starts the thread, by whoever took the sleep_state over.
    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        delay::at(Window::Starting);
        // Held until the handle is in its place, so that who finds "stopped" under it finds the stopped thread's handle.
        let mut place = self.thread.lock();
        let thread = thread::spawn(format!("rcu-{}", self.dispatcher.name), move || {
            gp_thread::run(shared);
        })?;
        *place = Some(thread);
        Ok(())
    }

    /// As [`spawn`](Self::spawn); where that fails, the next one that has work tries again, and who waits polls again.
    fn spawn_or_give_back(self: &Arc<Self>) -> bool {
        match self.spawn() {
            Ok(()) => {
                self.refusals.store(0, Ordering::Relaxed);
                fork::revive();
                true
            }
            Err(error) => {
                self.core.hub.sleep_state.give_back();
                // Who waits tries again all the time: the first, the second, the fourth, ... is told.
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                if refusals.is_power_of_two() {
                    self.tell_refusal(&error);
                }
                self.waiters.wake_up_to(Seq::LAST);
                self.dispatcher.tickets.wake_all();
                self.stop_tried();
                false
            }
        }
    }

    fn tell_refusal(&self, error: &io::Error) {
        let name = &self.dispatcher.name;
        let heard = quietly(|| {
            tracing::error!(target: "async_rcu::gp", domain = %name, %error, "the grace-period thread could not be started again; work stays queued");
            tracing::event_enabled!(target: "async_rcu::gp", tracing::Level::ERROR)
        });
        if heard != Ok(true) {
            stderr::tell(format_args!(
                "the grace-period thread of domain \"{name}\" could not be started again ({error}); work stays queued"
            ));
        }
    }

    /// A producer found the thread not awake.
    #[cold]
    #[inline(never)]
    pub(crate) fn rouse(self: &Arc<Self>) {
        match self.core.hub.sleep_state.rouse() {
            Rouse::Nothing => {}
            Rouse::Wake => self.core.hub.event.set(),
            Rouse::Start => {
                self.spawn_or_give_back();
            }
        }
    }

    /// A request was made: the thread hears of it. `false` where there is none and none could be started.
    pub(crate) fn kick(self: &Arc<Self>) -> bool {
        barrier::light();
        let sleep_state = &self.core.hub.sleep_state;
        if sleep_state.is_stopped() && sleep_state.take_over() && !self.spawn_or_give_back() {
            return false;
        }
        self.core.hub.event.set();
        true
    }

    /// Asks for a grace period by number.
    pub(crate) fn want(self: &Arc<Self>, seq: Seq) -> bool {
        self.wanted.raise(seq);
        self.kick()
    }

    /// Asks that what is under way ends now. Where a hook asks that is being told of a force, it is done already.
    pub(crate) fn force(self: &Arc<Self>) -> bool {
        let here = here::gp_thread_of() == self.dispatcher.id();
        if here && self.telling.load(Ordering::Relaxed) {
            return true;
        }
        self.force.swap(true, Ordering::AcqRel);
        self.kick()
    }

    /// Whether nothing is queued, running or being reported. For callers: sees at least what came before the call.
    pub(crate) fn is_drained(&self) -> bool {
        // `finished` first: it is never above what `produced` then tells, and where they are equal it is this many that
        // have finished, and they are all.
        let finished = self.core.records().all(|record| {
            let finished = record.local.finished();
            finished == record.local.produced()
        });
        finished && !self.dispatcher.tickets.any_open()
    }

    /// Asks for an attempt to stop the thread, when nothing is left to do.
    pub(crate) fn ask_stop(self: &Arc<Self>, waker: &Waker) -> u64 {
        let waker = Parked::of(waker);
        let mut stops = self.stops.lock();
        let id = stops.next;
        stops.next += 1;
        stops.waiting.push((id, waker));
        drop(stops);
        // No kick: a thread that has stopped by now is not to be started for it.
        barrier::light();
        self.core.hub.event.set();
        id
    }

    /// Whether the attempt was made.
    pub(crate) fn poll_stop(&self, id: u64, waker: &Waker) -> bool {
        let waker = Parked::of(waker);
        let mut stops = self.stops.lock();
        let (here, old) = match stops.waiting.iter_mut().find(|(other, _)| *other == id) {
            Some((_, old)) => (true, std::mem::replace(old, waker)),
            None => (false, waker),
        };
        drop(stops);
        drop(old);
        !here
    }

    pub(crate) fn forget_stop(&self, id: u64) {
        let mut stops = self.stops.lock();
        let place = stops.waiting.iter().position(|(other, _)| *other == id);
        let stop = place.map(|place| stops.waiting.swap_remove(place));
        drop(stops);
        drop(stop);
    }

    pub(in crate::domain) fn stop_asked(&self) -> bool {
        !self.stops.lock().waiting.is_empty()
    }

    /// The attempt was made, with whatever outcome.
    pub(in crate::domain) fn stop_tried(&self) {
        let mut wakers = WakeList::default();
        self.take_stops(&mut wakers);
        wakers.wake_all();
    }

    pub(in crate::domain) fn take_stops(&self, wakers: &mut WakeList) {
        let stops = std::mem::take(&mut self.stops.lock().waiting);
        stops.into_iter().for_each(|(_, waker)| wakers.push(waker));
    }

    pub(in crate::domain) fn take_thread(&self) -> Option<JoinHandle> {
        self.thread.lock().take()
    }

    pub(in crate::domain) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether the core may be another domain's by now.
    pub(in crate::domain) fn is_recycled(&self) -> bool {
        self.recycled.load(Ordering::Acquire)
    }

    /// Waits until the system has forgotten the threads, if they are stopped.
    pub(crate) fn join(&self) {
        let mut place = self.thread.lock();
        // Under the driver's lock, where a thread that only looks whether it can stop is not seen as stopped.
        let driver = self.driver.lock();
        let stopped = self.core.hub.sleep_state.is_stopped();
        drop(driver);
        let thread = if stopped { place.take() } else { None };
        drop(place);
        let worker = self.dispatcher.worker.take_thread();
        for thread in thread.into_iter().chain(worker) {
            thread.join();
        }
    }

    /// The last handle is gone.
    pub(crate) fn end(self: &Arc<Self>) {
        self.core.hub.release.end();
        delay::at(Window::Ending);
        // Under the driver's lock a thread that is about to go has either not looked yet, and will see that the domain
        // has ended, or has gone for good.
        let driver = self.driver.lock();
        self.ended.store(true, Ordering::Release);
        let sleep_state = &self.core.hub.sleep_state;
        if !sleep_state.is_stopped() {
            drop(driver);
            self.core.hub.event.set();
        } else if self.is_drained() {
            self.recycle();
            drop(driver);
            // A waiter that drove the domain for want of a thread may have started it.
            self.dispatcher.worker.stop();
            self.dispatcher.dismiss_executor();
        } else if sleep_state.take_over() {
            drop(driver);
            if !self.spawn_or_give_back() {
                stderr::tell(format_args!(
                    "domain \"{}\" ends with callbacks queued and no thread to run them; they are leaked",
                    self.dispatcher.name
                ));
                // Dropped, what is collected would be freed under its readers.
                std::mem::forget(Arc::clone(self));
            }
        }
    }

    /// Gives the core to whoever next builds a domain. The last thing that is done with it.
    pub(in crate::domain) fn recycle(&self) {
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
