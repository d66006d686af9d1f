//! How the grace-period thread sleeps, and goes.
//!
//! # A rest
//! The event was reset before the turn that found nothing to do. Now: fall asleep, and ask one section that holds up the oldest
//! grace period to wake us; heavy fence; read everything again; sleep only if nothing came and a section that still holds
//! it up was asked before the fence; else begin again at the reset. While callbacks wait for the interval to pass it naps by
//! the clock instead, awake for producers. Without work there is no timer at all.
//!
//! # Going
//! Decided under the driver's lock, as is the end of the last handle: so exactly one of the two gives the core away, and
//! this thread does not touch it after.
//!
//! # Timers
//! While a grace period is held up, or something that was handed out has not ended, a timer looks for what is stuck. The
//! first one after something was handed out is short: mostly it is over by then, and the thread sleeps without a timer from then
//! on, with nobody having had to tell it.

use super::{GpThread, Rest};
use crate::dispatch::dispatcher::PanicSource;
use crate::dispatch::here;
use crate::dispatch::worker::Worker;
use crate::domain::Domain;
use crate::reader::sequence::Seq;
use crate::sys::barrier;
use crate::sys::delay::{self, Window};
use crate::sys::prim::Ordering;
use crate::sys::wake::quietly;
use std::sync::Arc;
use std::time::Duration;

/// Between two attempts to start a worker that the system refused, while something waits for it.
const RETRY: Duration = Duration::from_millis(100);

impl Domain {
    /// Sleeps until there is something to do, or goes.
    pub(in crate::domain) fn rest(self: &Arc<Self>) -> Rest {
        let hub = self.core.hub;
        let driver = self.driver.lock();
        let awaited = self.highest_awaited(&driver);
        let handled = driver.handled;
        if self.engine.elapsed() > handled {
            return Rest::Over;
        }
        let holdouts = awaited > handled;
        let nap = self.has_queued(&driver).then(|| self.until_due(&driver));
        let worked = driver.worked;
        let young = driver.has_young_start();
        drop(driver);
        delay::at(Window::Resting);
        // Most sections are shorter than a sleep and its end.
        if holdouts && young && self.engine.spin(handled.next()) {
            return Rest::Over;
        }

        if nap.is_none() && !holdouts {
            if worked && self.settings.on_idle.is_some() && !self.dispatcher.tickets.watch() {
                self.idle();
                return Rest::Over;
            }
            if let Some(rest) = self.stop() {
                return rest;
            }
        } else if self.stop_asked() {
            // There is more to do already: that was the attempt.
            self.stop_tried();
        }

        let stranded = Worker::retry(&self.dispatcher).then_some(RETRY);
        let stuck = self.look_for_stuck(holdouts);
        let publish = self.publish();

        if nap.is_none() {
            hub.sleep_state.fall_asleep();
        }
        if holdouts {
            self.engine.ask_holdout(handled.next());
        }
        delay::at(Window::Announced);
        if nap.is_none() || holdouts {
            barrier::heavy();
        }
        let stay_up = self.must_stay_up(&self.driver.lock(), awaited, nap.is_some());
        if !stay_up {
            delay::at(Window::Sleeping);
            hub.event.wait(
                nap.into_iter()
                    .chain(stranded)
                    .chain(stuck)
                    .chain(publish)
                    .min(),
            );
        }
        delay::at(Window::Awake);
        hub.sleep_state.wake_up();
        Rest::Over
    }

    /// The look behind the fence: did anything come, or may anything pass unnoticed?
    fn must_stay_up(&self, driver: &GpThread, awaited: Seq, napping: bool) -> bool {
        if self.force.load(Ordering::Acquire)
            || self.may_start_for_waiters(false)
            || self.dispatcher.tickets.any_asked()
            || self.dispatcher.has_reports()
            || self.has_notes()
            || self.highest_awaited(driver) > awaited
            || (!napping && self.has_queued(driver))
        {
            return true;
        }
        if awaited > driver.handled {
            let outlook = self.engine.scan_asked(driver.handled.next());
            return outlook.elapsed > driver.handled || outlook.unasked;
        }
        false
    }

    fn idle(&self) {
        self.driver.lock().worked = false;
        if let Some(hook) = &self.settings.on_idle {
            if let Err(message) = quietly(hook) {
                self.dispatcher.report(PanicSource::Hook, message, None);
            }
        }
    }

    /// Between two turns: where a stop is asked for and there is more to do already, that was the attempt.
    pub(in crate::domain) fn stop_in_passing(&self) {
        if !self.stop_asked() {
            return;
        }
        let driver = self.driver.lock();
        let more = self.has_queued(&driver) || self.highest_awaited(&driver) > driver.handled;
        drop(driver);
        if more {
            self.stop_tried();
        }
    }

    /// With nothing queued and nothing awaited: goes, where that is asked for and possible. `None`: sleep.
    fn stop(&self) -> Option<Rest> {
        if !self.stop_asked() && !self.ended.load(Ordering::Acquire) {
            return None;
        }
        if self.dispatcher.tickets.watch() {
            // Work is still being run, and the last of it kicks us. For a shutdown that was the attempt.
            self.stop_tried();
            return None;
        }
        if !self.dispatcher.worker.stop() {
            // Its end kicks us.
            return None;
        }
        self.publish_last();
        let sleep_state = &self.core.hub.sleep_state;
        let driver = self.driver.lock();
        sleep_state.stop();
        delay::at(Window::Stopping);
        barrier::heavy();
        let rest = if !self.must_stay_up(&driver, driver.handled, false) {
            let last = self.ended.load(Ordering::Acquire);
            if last {
                self.recycle();
            }
            Rest::Gone { last }
        } else if sleep_state.take_over() {
            Rest::Over
        } else {
            // Somebody has started another thread, which finds what we found.
            Rest::Gone { last: false }
        };
        drop(driver);
        if matches!(rest, Rest::Gone { .. }) {
            here::leave_gp_thread();
        }
        self.stop_tried();
        Some(rest)
    }
}
