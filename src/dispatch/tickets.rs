//! Accounting for drain: which collections still have work open, and who waits for them.
//!
//! # Protocol
//! Collections are numbered by the driver, from 1. What was collected under number `n` holds a [`Ticket`] `n`, and so does
//! every async callback and report that comes of it; a ticket that is cloned is open until the last clone is gone.
//!
//! A drain is *asked* (by a caller), *taken* by the driver before it collects, and *numbered* with that collection.
//! So a callback queued before the asking is in this collection or an earlier one. (A caller that took the next number
//! by itself could take that of a collection which has already read its queue.) The drain is over when no ticket up to
//! its number is open.

use super::dispatcher::Dispatcher;
use crate::sys::prim::Mutex;
use crate::sys::wake::{Parked, WakeList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// An open share in a collection's work.
#[derive(Debug)]
pub(crate) struct Ticket {
    dispatcher: Arc<Dispatcher>,
    number: u64,
}

impl Ticket {
    /// Opens the ticket of a collection.
    pub(crate) fn open(dispatcher: &Arc<Dispatcher>, number: u64) -> Self {
        dispatcher.tickets.add(number);
        Self {
            dispatcher: Arc::clone(dispatcher),
            number,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Self::open(&self.dispatcher, self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.dispatcher.tickets.close(self.number) {
            self.dispatcher.kick();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tickets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Number to open shares.
    open: BTreeMap<u64, usize>,
    drains: BTreeMap<u64, Asked>,
    next_drain: u64,
    /// The driver wants to hear of it when nothing is open any more.
    watched: bool,
}

#[derive(Debug)]
struct Asked {
    number: Option<u64>,
    waker: Option<Parked>,
}

impl State {
    /// Whether all work up to `number` is done.
    fn is_done(&self, number: u64) -> bool {
        self.open
            .first_key_value()
            .is_none_or(|(first, _)| *first > number)
    }

    fn wakers(&mut self) -> WakeList {
        let first = self.open.first_key_value().map(|(first, _)| *first);
        let mut wakers = WakeList::default();
        for asked in self.drains.values_mut() {
            let done = asked
                .number
                .is_some_and(|number| first.is_none_or(|first| first > number));
            if done {
                if let Some(waker) = asked.waker.take() {
                    wakers.push(waker);
                }
            }
        }
        wakers
    }
}

impl Tickets {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    fn add(&self, number: u64) {
        *self.0.lock().open.entry(number).or_insert(0) += 1;
    }

    /// Closes a share and wakes the drains that end with it. `true`: the driver is to be told that nothing is open.
    fn close(&self, number: u64) -> bool {
        let mut state = self.0.lock();
        let left = state.open.get_mut(&number).map_or(0, |n| {
            *n -= 1;
            *n
        });
        if left != 0 {
            return false;
        }
        state.open.remove(&number);
        let tell = state.watched && state.open.is_empty();
        state.watched &= !tell;
        let mut wakers = state.wakers();
        drop(state);
        wakers.wake_all();
        tell
    }

    /// In the child of a fork: these shares are left. Takes all drains out, to be woken later: who still waits asks again.
    pub(super) fn reopen(&self, shares: impl Iterator<Item = u64>, wakers: &mut WakeList) {
        let mut state = self.0.lock();
        state.open.clear();
        for number in shares {
            *state.open.entry(number).or_insert(0) += 1;
        }
        let drains = std::mem::take(&mut state.drains);
        drop(state);
        let waiting = drains.into_values().filter_map(|asked| asked.waker);
        waiting.for_each(|waker| wakers.push(waker));
    }

    /// Whether any work is open; if so, the driver is told when none is any more.
    pub(crate) fn watch(&self) -> bool {
        let mut state = self.0.lock();
        state.watched = !state.open.is_empty();
        state.watched
    }

    pub(crate) fn any_open(&self) -> bool {
        !self.0.lock().open.is_empty()
    }

    /// A caller asks for a drain. The driver must then be kicked.
    pub(crate) fn ask(&self, waker: &Waker) -> u64 {
        let waker = Parked::of(waker);
        let mut state = self.0.lock();
        let id = state.next_drain;
        state.next_drain += 1;
        state.drains.insert(
            id,
            Asked {
                number: None,
                waker: Some(waker),
            },
        );
        id
    }

    /// Whether that drain is still asked for: a fork lets go of all.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.0.lock().drains.contains_key(&id)
    }

    /// Whether a drain is over; if so it is forgotten, else `waker` is called when it is.
    pub(crate) fn poll(&self, id: u64, waker: &Waker) -> Poll<()> {
        let waker = Parked::of(waker);
        let mut state = self.0.lock();
        let number = state.drains.get(&id).and_then(|asked| asked.number);
        if number.is_some_and(|number| state.is_done(number)) {
            let asked = state.drains.remove(&id);
            drop(state);
            drop(asked);
            return Poll::Ready(());
        }
        let old = match state.drains.get_mut(&id) {
            Some(asked) => asked.waker.replace(waker),
            None => Some(waker),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Wakes every drain, to be polled again.
    pub(crate) fn wake_all(&self) {
        let mut wakers = WakeList::default();
        for asked in self.0.lock().drains.values_mut() {
            if let Some(waker) = asked.waker.take() {
                wakers.push(waker);
            }
        }
        wakers.wake_all();
    }

    /// The caller no longer waits.
    pub(crate) fn forget(&self, id: u64) {
        let asked = self.0.lock().drains.remove(&id);
        drop(asked);
    }

    /// GpThread, before it collects: the drains asked and not yet numbered.
    pub(crate) fn take_asked(&self) -> Vec<u64> {
        let state = self.0.lock();
        let asked = state.drains.iter().filter(|(_, d)| d.number.is_none());
        asked.map(|(id, _)| *id).collect()
    }

    /// The highest number that a drain waits for which is not over. One that is not numbered yet waits for all.
    pub(crate) fn drained(&self) -> Option<u64> {
        let state = self.0.lock();
        let numbers = state.drains.values().map(|asked| match asked.number {
            Some(number) if state.is_done(number) => None,
            Some(number) => Some(number),
            None => Some(u64::MAX),
        });
        numbers.max().flatten()
    }

    /// GpThread: whether there are such.
    pub(crate) fn any_asked(&self) -> bool {
        let state = self.0.lock();
        state.drains.values().any(|asked| asked.number.is_none())
    }

    /// GpThread, after it has collected under `number` and opened its ticket.
    pub(crate) fn assign(&self, asked: &[u64], number: u64) {
        let mut state = self.0.lock();
        for id in asked {
            if let Some(drain) = state.drains.get_mut(id) {
                drain.number = Some(number);
            }
        }
        let mut wakers = state.wakers();
        drop(state);
        wakers.wake_all();
    }
}
