//! The small part of a domain that guards and records point to, and that is therefore never freed.

use super::release::Release;
use super::sequence::{Seq, Sequence};
use crate::sys::event::Event;
use crate::sys::prim::{AtomicBool, Ordering};
use crate::sys::sleep_state::SleepState;
use crossbeam_utils::CachePadded;

/// Its address is what a domain's guards and handles are told apart by: two living guards are of the same domain
/// exactly when their hubs are the same, because a hub serves a second domain only when no guard of the first is left.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Read by every section; written once a grace period. On a line of its own.
    pub(crate) sequence: CachePadded<Sequence>,
    /// Read by every `call`; written when the grace-period thread sleeps or wakes.
    pub(crate) sleep_state: CachePadded<SleepState>,
    /// What the grace-period thread sleeps on.
    pub(crate) event: CachePadded<Event>,
    /// What guards look at to see whether they are asked to leave.
    pub(crate) release: Release,
    /// The domain is over: threads give up their records here when they next register anywhere.
    ended: AtomicBool,
}

impl Hub {
    pub(crate) fn new(first: Seq) -> Self {
        Self {
            sequence: CachePadded::new(Sequence::starting_at(first)),
            sleep_state: CachePadded::new(SleepState::stopped()),
            event: CachePadded::new(Event::new()),
            release: Release::new(first),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// A domain begins that has the hub from now on.
    pub(crate) fn begin(&self) {
        self.release.begin();
        self.ended.store(false, Ordering::Release);
    }

    /// The domain is over.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// The address as a name.
    pub(crate) fn id(&self) -> *const Hub {
        self
    }
}
