//! How the grace-period thread sleeps, and stops.
//!
//! # Sleeping
//! The thread has reset the event before the turn that found nothing to do. Then the thread
//! 1. sets the sleep state to asleep, and asks one section that holds up the oldest grace period to
//!    wake it;
//! 2. passes a heavy fence;
//! 3. reads everything again. The thread sleeps only if no work has come, and if a section that was
//!    asked before the fence still holds the grace period up. Otherwise it begins again at the
//!    reset.
//!
//! While callbacks wait for the batch interval, or for the end of earlier grace periods, the thread
//! *naps*: its sleep state stays awake, so that calls do not wake it. It sets a timer for the batch
//! interval only.
//!
//! # Stopping
//! The thread decides under the collector lock whether it stops. The drop of the last handle takes
//! the same lock. So exactly one of the two gives the registry away, and does not touch it after
//! that.
//!
//! # Timers
//! While a grace period is held up, or work that was handed out has not ended, a timer wakes the
//! thread to look for stalls. The first timer after a hand-out is short. Mostly the work has ended
//! by then, so the end of short work does not have to wake the thread.

use super::{GpThread, Slept};
use crate::dispatch::Schedule;
use crate::dispatch::blocking;
use crate::dispatch::panics::PanicSource;
use crate::domain::Domain;
use crate::reader::sequence::Seq;
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::unwind::quietly;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// The time between two attempts to start a worker thread that the system refuses.
const RETRY: Duration = Duration::from_millis(100);

/// Boxes that a turn frees of the memory that was kept.
const PORTION: usize = 1000;

impl Domain {
    /// Sleeps until there is work, or stops.
    pub(super) fn sleep(self: &Arc<Self>) -> Slept {
        let signals = &self.registry.signals;
        let collector = self.collector.lock();
        let awaited = self.highest_awaited(&collector);
        let handled = collector.handled;
        if self.engine.elapsed() > handled {
            return Slept::Awake;
        }
        let holdouts = awaited > handled;
        let napping = self.has_queued(&collector);
        let nap = napping.then(|| self.until_due(&collector)).flatten();
        let worked = collector.worked;
        let young = collector.has_young_start();
        // SAFETY: this thread holds the collector lock.
        unsafe { self.registry.trim() };
        drop(collector);
        delay::at(Window::Resting);
        // Most sections are shorter than a sleep.
        if holdouts && young && self.engine.spin(handled.next()) {
            return Slept::Awake;
        }

        let idle = !napping && !holdouts;
        if idle {
            if worked && self.settings.on_idle.is_some() && !self.dispatcher.tickets.watch() {
                let mut collector = self.collector.lock();
                if self.registry.close_stocks() {
                    barrier::heavy();
                    self.take_memory(&mut collector);
                    if !collector.freeing.is_empty() {
                        return Slept::Awake;
                    }
                }
                drop(collector);
                self.idle();
                return Slept::Awake;
            }
            if let Some(stopped) = self.stop() {
                return stopped;
            }
        } else if self.is_stop_requested() {
            // The attempt to stop fails, because of work.
            self.stop_attempted();
        }

        let stranded = self.dispatcher.worker.retry().then_some(RETRY);
        let stuck = self.look_for_stuck(holdouts);
        let publish = self.publish();

        if !napping {
            signals.sleep_state.fall_asleep();
        }
        if holdouts {
            self.engine.request_wake(handled.next());
        }
        delay::at(Window::Announced);
        let mut collector = self.collector.lock();
        let closed = idle && self.registry.close_stocks();
        if !napping || holdouts {
            barrier::heavy();
        }
        if closed {
            self.take_memory(&mut collector);
        }
        if idle && stuck.is_none() {
            // What still runs may bring memory back. Its end wakes this thread.
            self.dispatcher.tickets.watch();
        }
        let freeing = !collector.freeing.is_empty();
        let stay_up = freeing || self.must_stay_up(&collector, awaited, napping);
        drop(collector);
        if !stay_up {
            delay::at(Window::Sleeping);
            let left = self.until_callers_due();
            let timers = [nap, stranded, stuck, publish, left];
            signals.event.wait(timers.into_iter().flatten().min());
        }
        delay::at(Window::Awake);
        signals.sleep_state.wake_up();
        Slept::Awake
    }

    /// Looks again, after the fence. Returns `true` if work has come, or if the end of the oldest
    /// grace period might not wake this thread.
    fn must_stay_up(&self, collector: &GpThread, awaited: Seq, napping: bool) -> bool {
        if self.force.is_requested()
            || self.may_start_for_waiters(false)
            || self.dispatcher.tickets.any_asked()
            || self.dispatcher.has_reports()
            || self.has_notes()
            || self.highest_awaited(collector) > awaited
            || (!napping && self.has_queued(collector))
        {
            return true;
        }
        if awaited > collector.handled {
            let outlook = self.engine.scan_before_sleep(collector.handled.next());
            return outlook.elapsed > collector.handled || outlook.without_wake;
        }
        false
    }

    /// Takes the memory that is kept for the next values, for the next turns to free. The caller
    /// has closed the stocks and passed a heavy fence, under the lock whose state it passes.
    fn take_memory(&self, collector: &mut GpThread) {
        // SAFETY: the caller holds the collector lock, and has passed the fence.
        collector.freeing.extend(unsafe { self.registry.empty_stocks() });
    }

    /// Frees a portion of the memory taken. Returns whether there was some.
    pub(super) fn free_some(&self) -> bool {
        let Some(mut memory) = self.collector.lock().freeing.pop() else {
            return false;
        };
        if memory.free_some(PORTION) {
            self.collector.lock().freeing.push(memory);
        }
        true
    }

    fn idle(&self) {
        self.collector.lock().worked = false;
        if let Some(hook) = &self.settings.on_idle {
            if let Err(message) = quietly(hook) {
                self.dispatcher.report(PanicSource::Hook, message, None);
            }
        }
    }

    /// Between two turns: if there is work, a requested attempt to stop fails.
    pub(in crate::domain) fn stop_in_passing(&self) {
        if !self.is_stop_requested() {
            return;
        }
        let collector = self.collector.lock();
        let more =
            self.has_queued(&collector) || self.highest_awaited(&collector) > collector.handled;
        drop(collector);
        if more {
            self.stop_attempted();
        }
    }

    /// Stops, if requested and possible. The caller has found no work. Returns `None` if the thread
    /// is to sleep.
    fn stop(&self) -> Option<Slept> {
        if !self.is_stop_requested() && !self.has_ended() {
            return None;
        }
        if self.dispatcher.tickets.watch() {
            // Callbacks still run, so the attempt fails. The end of the last one wakes this thread.
            self.stop_attempted();
            return None;
        }
        if !self.dispatcher.worker.stop() {
            // The end of the worker wakes this thread.
            return None;
        }
        self.publish_last();
        let sleep_state = &self.registry.signals.sleep_state;
        let mut collector = self.collector.lock();
        sleep_state.stop();
        delay::at(Window::Stopping);
        let closed = self.registry.close_stocks();
        barrier::heavy();
        if closed {
            self.take_memory(&mut collector);
        }
        let stopped = if !self.must_stay_up(&collector, collector.handled, false) {
            let last = self.has_ended();
            if last {
                self.recycle();
            }
            Slept::Stopped { last }
        } else if sleep_state.take_over() {
            Slept::Awake
        } else {
            // A caller with work has started another thread.
            Slept::Stopped { last: false }
        };
        let memory = mem::take(&mut collector.freeing);
        drop(collector);
        drop(memory);
        if matches!(stopped, Slept::Stopped { .. }) {
            blocking::leave_gp_thread();
        }
        self.stop_attempted();
        Some(stopped)
    }
}
