//! Elapsed callbacks that are left to the threads that queued them, for
//! [`CallingThread`](crate::executor::CallingThread), and who takes them if a thread does not come
//! by.
//!
//! # Protocol
//! A batch is split by threads, and each part is put into the [`Inbox`] of its thread. The
//! grace-period thread keeps a list of the inboxes that may have work, with the times at which it
//! listed them. When an inbox has been listed for [`MOMENT`], the grace-period thread sends what
//! is in it to the worker. A drain, a force, or the end of the domain sends all of it at once.
//!
//! A thread that puts the rest of its work back while its inbox is not listed lists it, and wakes
//! the grace-period thread, which then sets a timer.

use super::Domain;
use super::rcu::Rcu;
use crate::callback::inbox::Inbox;
use crate::dispatch::batch::Batch;
use crate::dispatch::calling;
use crate::reader::local;
use crate::reader::sequence::{Mark, Seq};
use crate::sys::clock::Instant;
use crate::sys::prim::Mutex;
use std::collections::VecDeque;
use std::time::Duration;

/// How long callbacks wait for their thread.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) struct Callers {
    listed: Mutex<VecDeque<(Instant, &'static Inbox)>>,
    /// Callbacks of grace periods up to this one go to the worker, because of a force or a drain.
    urgent: Mark,
}

impl Callers {
    pub(crate) fn new() -> Self {
        Self { listed: Mutex::new(VecDeque::new()), urgent: Mark::at(Seq::FIRST) }
    }

    /// Leaves work to the thread of an inbox. Returns whether the inbox was not listed before.
    pub(crate) fn leave(&self, inbox: &'static Inbox, batch: Box<Batch>, in_front: bool) -> bool {
        let is_new = inbox.put(batch, in_front);
        if is_new {
            self.listed.lock().push_back((Instant::now(), inbox));
        }
        is_new
    }

    /// Takes the work that has been left for [`MOMENT`], or all of it.
    pub(crate) fn take(&self, all: bool) -> Vec<Batch> {
        let mut due = Vec::new();
        let mut listed = self.listed.lock();
        while let Some((_, inbox)) = listed.front().filter(|(at, _)| all || at.elapsed() >= MOMENT)
        {
            due.push(*inbox);
            listed.pop_front();
        }
        drop(listed);
        let work = due.into_iter().flat_map(Inbox::take_all);
        work.filter_map(|work| work.downcast().ok()).map(|batch| *batch).collect()
    }

    /// Returns the time until work that is left goes to the worker, if there is some.
    fn until_due(&self) -> Option<Duration> {
        let first = self.listed.lock().front().map(|(at, _)| at.elapsed());
        first.map(|left| MOMENT.saturating_sub(left))
    }
}

impl Domain {
    /// Sends what threads have left for too long to the worker, or all of it.
    pub(super) fn sweep_callers(&self, all: bool) {
        if let Some(callers) = &self.dispatcher.callers {
            callers.take(all).into_iter().for_each(Batch::hand_to_worker);
        }
    }

    /// Notes that the callbacks of this grace period are not to wait for their threads.
    pub(super) fn hurry_callers(&self, seq: Seq) {
        if let Some(callers) = &self.dispatcher.callers {
            callers.urgent.raise(seq);
        }
    }

    /// Returns whether the callbacks of this grace period are not to wait for their threads.
    pub(super) fn is_urgent(&self, seq: Seq) -> bool {
        self.dispatcher.callers.as_ref().is_some_and(|callers| callers.urgent.get() >= seq)
    }

    pub(super) fn until_callers_due(&self) -> Option<Duration> {
        self.dispatcher.callers.as_ref()?.until_due()
    }
}

impl Rcu {
    /// Runs some of the callbacks that are left to the current thread, unless it is inside a
    /// section.
    pub(super) fn run_share(&self) {
        if let Some(record) = local::cached(self.registry) {
            let inbox = record.queue.inbox();
            if inbox.has_work() && !local::is_reading() {
                calling::run_share(inbox);
            }
        }
    }
}
