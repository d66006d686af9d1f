//! How many callbacks may be queued: a count shared by all threads, kept only where a limit is set.
//!
//! # Protocol
//! `pending` counts permits given out, and callbacks queued and not finished. Whoever may be refused ([`try_take`](Backlog::try_take))
//! raises it only below the limit; who may not be refused raises it in any case. Whoever waits registers, then tries again;
//! whoever gives back lowers `pending`, then looks whether anybody waits. The four accesses are SeqCst: so the waiter's
//! second try sees the room, or the giver sees the waiter.
//!
//! A waiter takes only what those in front of it leave, woken or not. One that was woken and goes without taking wakes the
//! next one, and one that found the room taken by somebody who does not wait keeps its place, so that it is the first to
//! hear of the next.

use crate::sys::prim::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::sys::wake::{Parked, WakeList};
use std::collections::BTreeMap;
use std::task::Waker;

#[derive(Debug)]
pub(crate) struct Backlog {
    limit: usize,
    pending: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// Somebody met the limit, and half of it has not been free since: an episode is under way.
    met: AtomicBool,
    /// How many there were, this one included; and at which of them the last report was.
    episodes: AtomicU64,
    told: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    /// In order of arrival; without a waker: woken, and has not come back yet.
    all: BTreeMap<u64, Option<Parked>>,
}

/// What the one who queues a callback has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    /// Half of the limit was passed just now: grace periods no longer wait for their interval.
    Rising,
    /// The limit is met, for the first time since half of it was free: force.
    Met,
}

impl Backlog {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            pending: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
            met: AtomicBool::new(false),
            episodes: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Grace periods are to be started at once.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pending() > self.limit / 2
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= self.limit
    }

    /// For the grace-period thread: whether the limit was met since this was last asked. That an episode is over by then is
    /// no reason to be silent about it.
    pub(crate) fn take_report(&self) -> bool {
        let episodes = self.episodes.load(Ordering::Relaxed);
        self.told.swap(episodes, Ordering::Relaxed) != episodes
    }

    fn pressure(&self, before: usize, limit_met: bool) -> Pressure {
        if limit_met && !self.met.swap(true, Ordering::AcqRel) {
            self.episodes.fetch_add(1, Ordering::Relaxed);
            Pressure::Met
        } else if before == self.limit / 2 {
            Pressure::Rising
        } else {
            Pressure::None
        }
    }

    /// Counts one that cannot be refused.
    pub(crate) fn take(&self) -> Pressure {
        let before = self.pending.fetch_add(1, Ordering::SeqCst);
        self.pressure(before, before >= self.limit)
    }

    /// Counts one if there is room. `Err`: there is none.
    pub(crate) fn try_take(&self) -> Result<Pressure, Pressure> {
        let taken = self
            .pending
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |pending| {
                (pending < self.limit).then_some(pending + 1)
            });
        match taken {
            Ok(before) => Ok(self.pressure(before, false)),
            Err(_) => Err(self.pressure(self.limit, true)),
        }
    }

    /// Counts one for the waiter in this place, if there is room for it behind all who came before. `Err`: there is none.
    pub(crate) fn try_take_in_turn(&self, place: u64) -> Result<Pressure, Pressure> {
        let queue = self.queue.lock();
        let room = self
            .limit
            .saturating_sub(self.pending.load(Ordering::SeqCst));
        if room != 0 && queue.all.range(..place).take(room).count() == room {
            // All of it is theirs. Whoever of them goes, wakes this one.
            return Err(Pressure::None);
        }
        self.try_take()
    }

    /// So many have finished, or permits were given back.
    pub(crate) fn give_back(&self, n: usize) {
        if n == 0 {
            return;
        }
        let lower = |pending: usize| Some(pending.saturating_sub(n));
        // Never below 0: the child of a fork may have lost count of a permit.
        let before = self
            .pending
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
        let before = before.unwrap_or_else(|same| same);
        let half = self.limit / 2;
        if before > half && before.saturating_sub(n) <= half {
            // Whoever meets the limit from now on forces anew.
            self.met.store(false, Ordering::Release);
        }
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.wake_some();
        }
    }

    /// In the child of a fork: so many are left. Takes everyone out of the line, to be woken later: who is still there comes
    /// back to its place.
    pub(super) fn recount(&self, pending: usize, wakers: &mut WakeList) {
        self.pending.store(pending, Ordering::SeqCst);
        let mut queue = self.queue.lock();
        let all = std::mem::take(&mut queue.all);
        self.waiting.store(0, Ordering::SeqCst);
        drop(queue);
        all.into_values().flatten().for_each(|w| wakers.push(w));
    }

    /// Wakes as many as there is room for, in order.
    fn wake_some(&self) {
        let mut wakers = WakeList::default();
        let mut queue = self.queue.lock();
        let room = self.limit.saturating_sub(self.pending());
        for place in queue.all.values_mut().take(room) {
            if let Some(waker) = place.take() {
                wakers.push(waker);
            }
        }
        drop(queue);
        wakers.wake_all();
    }

    /// Puts a waiter at the end of the queue, or back in its place, which it tells. It must then try again.
    pub(crate) fn wait(&self, id: &mut Option<u64>, waker: &Waker) -> u64 {
        let waker = Parked::of(waker);
        let mut queue = self.queue.lock();
        let place = *id.get_or_insert_with(|| {
            queue.next += 1;
            queue.next
        });
        let old = queue.all.insert(place, Some(waker));
        self.waiting.store(queue.all.len(), Ordering::SeqCst);
        drop(queue);
        drop(old);
        place
    }

    /// A waiter has taken its share, or goes. If it was woken for room that it did not take, the next one is.
    pub(crate) fn leave(&self, id: &mut Option<u64>) {
        let Some(id) = id.take() else { return };
        let mut queue = self.queue.lock();
        let old = queue.all.remove(&id);
        self.waiting.store(queue.all.len(), Ordering::SeqCst);
        drop(queue);
        drop(old);
        self.wake_some();
    }

    /// Whether others wait already.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) != 0
    }
}

#[cfg(all(test, not(rcu_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn half_and_the_limit_are_told_once() {
        let backlog = Backlog::new(4);
        assert_eq!(backlog.take(), Pressure::None);
        assert_eq!(backlog.try_take(), Ok(Pressure::None));
        assert_eq!(backlog.take(), Pressure::Rising);
        assert!(backlog.is_pressed());
        assert_eq!(backlog.take(), Pressure::None);
        assert_eq!(backlog.try_take(), Err(Pressure::Met));
        assert_eq!(backlog.take(), Pressure::None);
        assert!(backlog.take_report() && !backlog.take_report());
        assert_eq!(backlog.try_take(), Err(Pressure::None));
        backlog.give_back(2);
        assert_eq!(backlog.try_take(), Ok(Pressure::None));
        assert_eq!(backlog.try_take(), Err(Pressure::None), "still the same");
        backlog.give_back(4);
        assert_eq!(backlog.pending(), 0);
        assert!(!backlog.take_report());
        for _ in 0..4 {
            backlog.take();
        }
        assert_eq!(backlog.try_take(), Err(Pressure::Met));
        assert!(backlog.take_report());
    }

    #[test]
    fn room_goes_to_those_who_wait_in_order_and_on_where_it_is_not_taken() {
        let backlog = Backlog::new(1);
        let counts: Vec<_> = (0..2).map(|_| Arc::new(Count::default())).collect();
        let woken = || {
            counts
                .iter()
                .map(|c| c.0.load(Ordering::Relaxed))
                .collect::<Vec<_>>()
        };
        backlog.take();
        let mut places = [None, None];
        for (place, count) in places.iter_mut().zip(&counts) {
            backlog.wait(place, &Waker::from(Arc::clone(count)));
        }
        backlog.give_back(1);
        assert_eq!(woken(), [1, 0]);
        backlog.leave(&mut places[0]);
        assert_eq!(woken(), [1, 1]);
        assert!(backlog.try_take().is_ok());
        backlog.leave(&mut places[1]);
        assert!(!backlog.has_waiters());
    }
}
