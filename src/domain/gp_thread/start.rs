//! Starting the grace-period thread, and waking it.
//!
//! `SleepState` says whether the thread is awake, asleep or stopped. A producer wakes a thread that
//! is asleep, and starts a thread that is stopped. `STOPPED -> AWAKE` is a compare-exchange, so
//! that one starter wins, or the old thread if it finds work while it stops.
//!
//! # Two ways to wake the thread
//! - A *call* publishes in its queue, passes a light fence, and looks at the sleep state. Awake
//!   means that the thread will read the queue again.
//! - A *request* (a wait, force, drain, stop, the end) changes shared state with a
//!   read-modify-write or under a lock, and passes a light fence. It starts the thread if the
//!   thread is stopped, and always sets the event: a thread that naps has the sleep state awake,
//!   and must still hear requests.

use super::run;
use crate::domain::{Domain, fork};
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::prim::Ordering;
use crate::sys::sleep_state::Rouse;
use crate::sys::stderr;
use crate::sys::thread::{self, JoinHandle};
use crate::sys::unwind::quietly;
use std::io;
use std::sync::Arc;

impl Domain {
    /// Starts the thread. The caller has set the sleep state to awake.
    pub(in crate::domain) fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        delay::at(Window::Starting);
        // The lock is held until the handle is stored. So a caller that finds the thread stopped,
        // under this lock, also finds the thread's handle.
        let mut handle = self.thread.handle.lock();
        let name = format!("rcu-{}", self.dispatcher.name);
        let stack = self.dispatcher.worker.stack;
        let thread = thread::spawn(name, stack, move || run(shared))?;
        *handle = Some(thread);
        Ok(())
    }

    /// Starts the thread. If that fails, sets the sleep state back to stopped: the next caller with
    /// work tries again. Also wakes the waiters then, so that they take turns.
    pub(in crate::domain) fn spawn_or_give_back(self: &Arc<Self>) -> bool {
        match self.spawn() {
            Ok(()) => {
                self.thread.refusals.store(0, Ordering::Relaxed);
                fork::revive();
                true
            }
            Err(error) => {
                self.registry.signals.sleep_state.give_back();
                // Waiters try again all the time: report the first, second, fourth, ... refusal.
                let refusals = self.thread.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                if refusals.is_power_of_two() {
                    self.report_refusal(&error);
                }
                self.synchronizers.waiters.with(|(), waiting| waiting.wake_all());
                self.dispatcher.tickets.wake_all();
                self.stop_attempted();
                false
            }
        }
    }

    fn report_refusal(&self, error: &io::Error) {
        let name = &self.dispatcher.name;
        let heard = quietly(|| {
            tracing::error!(
                target: "async_rcu::gp",
                domain = %name,
                %error,
                "the system refused to start the grace-period thread; callbacks stay queued until \
                 a later call or wait can start it"
            );
            tracing::event_enabled!(target: "async_rcu::gp", tracing::Level::ERROR)
        });
        if heard != Ok(true) {
            stderr::tell(format_args!(
                "RCU domain \"{name}\": the system refused to start the grace-period thread \
                 ({error}); callbacks stay queued until a later call or wait can start it"
            ));
        }
    }

    /// Wakes or starts the thread for a call that found it not awake.
    #[cold]
    #[inline(never)]
    pub(crate) fn rouse(self: &Arc<Self>) {
        match self.registry.signals.sleep_state.rouse() {
            Rouse::Nothing => {}
            Rouse::Wake => self.wake_gp_thread(),
            Rouse::Start => {
                self.spawn_or_give_back();
            }
        }
    }

    /// Wakes or starts the thread for a request. Returns `false` if no thread can be started.
    pub(crate) fn kick(self: &Arc<Self>) -> bool {
        barrier::light();
        let sleep_state = &self.registry.signals.sleep_state;
        if sleep_state.is_stopped() && sleep_state.take_over() && !self.spawn_or_give_back() {
            return false;
        }
        self.wake_gp_thread();
        true
    }

    pub(in crate::domain) fn wake_gp_thread(&self) {
        self.registry.signals.event.set();
    }

    pub(in crate::domain) fn gp_thread_is_stopped(&self) -> bool {
        self.registry.signals.sleep_state.is_stopped()
    }

    /// Takes the handle of a stopped thread.
    pub(in crate::domain) fn take_stopped_thread(&self) -> Option<JoinHandle> {
        let mut handle = self.thread.handle.lock();
        // The collector lock: inside `stop`, a thread may look stopped and still go on.
        let collector = self.collector.lock();
        let stopped = self.gp_thread_is_stopped();
        drop(collector);
        if stopped { handle.take() } else { None }
    }

    /// In the child of a fork: forgets the thread, for which a join would wait for ever.
    pub(in crate::domain) fn forget_thread(&self) {
        std::mem::forget(self.thread.handle.lock().take());
    }
}
