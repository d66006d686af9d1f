//! What the sections, the callers and the grace-period thread of a domain tell each other.

use super::release::Release;
use super::sequence::{Seq, Sequence};
use crate::callback::queue::Common;
use crate::sys::event::Event;
use crate::sys::sleep_state::SleepState;
use crossbeam_utils::CachePadded;

/// The part of a [`Registry`](super::registry::Registry) that each of its records points to.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) sequence: Sequence,
    /// Every `call` reads it. The grace-period thread writes it when it sleeps or wakes.
    pub(crate) sleep_state: CachePadded<SleepState>,
    /// The grace-period thread sleeps on it.
    pub(crate) event: CachePadded<Event>,
    /// Guards read it to see whether their section is asked to end.
    pub(crate) release: Release,
    /// Threads write it when they fill or take a chunk of callbacks.
    pub(crate) queues: CachePadded<Common>,
}

impl Signals {
    pub(super) fn new(first: Seq) -> Self {
        Self {
            sequence: Sequence::starting_at(first),
            sleep_state: CachePadded::new(SleepState::stopped()),
            event: CachePadded::new(Event::new()),
            release: Release::new(first),
            queues: CachePadded::default(),
        }
    }
}
