//! The end of a run: the run drops all items in an order that the input chooses, and checks that
//! all are freed.

use super::items::Wait;
use super::world::{SEATS, World, pump};
use std::sync::atomic::Ordering;

/// The number of kinds of items, which are dropped one after the other.
const KINDS: u8 = 8;

impl World {
    pub(super) fn tear_down(mut self, choice: u8) {
        // The order begins at some kind and goes on in odd steps, so that it meets each kind once.
        let (first, step) = (choice % KINDS, 2 * (choice / KINDS) + 1);
        for turn in 0..KINDS {
            let kind = first.wrapping_add(turn.wrapping_mul(step)) % KINDS;
            self.drop_kind(kind);
            self.check();
        }
        self.finish_waits();
        self.drain_all();
        for domain in &mut self.domains {
            drop(domain.rcu.take());
        }
        let domains = &mut self.domains;
        self.board.assert_all_done(|| {
            pump(domains, false);
        });
        let counted = *self.lock.blocking_lock();
        assert_eq!(counted, self.lock_calls, "the number of callbacks under the lock");
    }

    fn drop_kind(&mut self, kind: u8) {
        match kind {
            0 => (0..SEATS).for_each(|seat| self.end_seat(seat as u8, kind)),
            1 => {
                for owned in std::mem::take(&mut self.owned) {
                    self.domains[owned.domain].owned -= 1;
                    drop(owned);
                }
            }
            2 => {
                for cell in self.cells.iter_mut().filter_map(Option::take) {
                    let domain = &mut self.domains[cell.domain];
                    cell.current.release(domain.open());
                    domain.queue(&cell.current);
                    drop(cell);
                }
            }
            3 => {
                for old in std::mem::take(&mut self.retired) {
                    self.domains[old.domain].queue(&old.entry);
                    drop(old);
                }
            }
            4 => {
                while let Some(late) = self.late.pop() {
                    let last =
                        self.late.iter().all(|other| !std::ptr::eq(&*other.value, &*late.value));
                    if last {
                        let domain = &mut self.domains[late.domain];
                        late.value.entry().release(domain.open());
                        domain.queue(late.value.entry());
                    }
                    drop(late);
                }
            }
            5 => self.watching.clear(),
            6 => {
                // Some waits are dropped, and others are waited for at the end.
                let all = std::mem::take(&mut self.waiting);
                for (index, waiting) in all.into_iter().enumerate() {
                    match index % 3 {
                        0 => self.forget(waiting),
                        _ => self.waiting.push(waiting),
                    }
                }
            }
            _ => {
                self.lock_held = None;
                for (domain, permit) in std::mem::take(&mut self.permits) {
                    self.domains[domain].permits -= 1;
                    drop(permit);
                }
            }
        }
    }

    /// Finishes all waits, which no section blocks any more. Drops the waits for permits.
    fn finish_waits(&mut self) {
        let (room, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| matches!(waiting.wait, Wait::Reserve(_)));
        for waiting in rest {
            self.finish_wait(waiting);
        }
        // A permit goes to the first waiter in the line, which need not be the one that is polled
        // here.
        drop(room);
        assert!(self.waiting.is_empty());
    }

    fn drain_all(&mut self) {
        for index in 0..self.domains.len() {
            let Some(rcu) = self.domains[index].rcu.clone() else {
                continue;
            };
            // Callbacks of the first drain may queue callbacks for the second.
            for _ in 0..2 {
                let of = self.domains[index].queued.len();
                self.begin_drain(index, &rcu);
                self.domains[index].drained(of);
            }
            let domain = &self.domains[index];
            let stats = rcu.stats();
            assert_eq!(stats.finished, stats.queued, "finished callbacks after the last drain");
            assert_eq!(stats.owned_guards, 0, "owned guards at the end");
            assert_eq!(stats.panicked, domain.to_panic, "callbacks that panicked");
            assert_eq!(stats.panicked, domain.panics.load(Ordering::Relaxed));
            // All permits can be had again.
            let mut permits = Vec::new();
            for _ in 0..domain.limit.unwrap_or(1) {
                permits.push(futures::executor::block_on(rcu.reserve()));
            }
            let full = rcu.try_call(|| ()).is_err();
            assert_eq!(full, domain.limit.is_some(), "refusal while all permits are taken");
            drop(permits);
            self.begin_drain(index, &rcu);
        }
    }

    fn begin_drain(&mut self, index: usize, rcu: &async_rcu::Rcu) {
        self.add_wait(index, Wait::Drain(rcu.drain()), None);
        if let Some(waiting) = self.waiting.pop() {
            self.finish_wait(waiting);
        }
    }
}
