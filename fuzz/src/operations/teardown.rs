//! The end of a run: everything goes, in an order of the input's choosing, and all of it has to be freed.

use super::items::Wait;
use super::world::{SEATS, World, pump};
use std::sync::atomic::Ordering;

/// The kinds of things that go one after the other.
const KINDS: u8 = 8;

impl World {
    pub(super) fn tear_down(mut self, choice: u8) {
        // Every order that begins somewhere and goes on by an odd step.
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
        assert_eq!(counted, self.lock_calls, "what was done under the lock");
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
                    let last = self
                        .late
                        .iter()
                        .all(|other| !std::ptr::eq(&*other.value, &*late.value));
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
                // Some are dropped, and some are waited for in the end.
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

    /// No section is open: all waits end. Those for room come one after the other, and leave what they get.
    fn finish_waits(&mut self) {
        let (room, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| matches!(waiting.wait, Wait::Reserve(_)));
        for waiting in rest {
            self.finish_wait(waiting);
        }
        // Who came first is in the line before the others, and not asked to move on before it is polled.
        drop(room);
        assert!(self.waiting.is_empty());
    }

    fn drain_all(&mut self) {
        for index in 0..self.domains.len() {
            let Some(rcu) = self.domains[index].rcu.clone() else {
                continue;
            };
            // What runs in the first may queue what runs in the second.
            for _ in 0..2 {
                let of = self.domains[index].queued.len();
                self.begin_drain(index, &rcu);
                self.domains[index].drained(of);
            }
            let domain = &self.domains[index];
            let stats = rcu.stats();
            assert_eq!(stats.finished, stats.queued, "after the last drain");
            assert_eq!(stats.owned_guards, 0, "after the last guard");
            assert_eq!(stats.panicked, domain.to_panic, "callbacks that panicked");
            assert_eq!(stats.panicked, domain.panics.load(Ordering::Relaxed));
            // There is room again, and whoever asks for it gets it.
            let mut permits = Vec::new();
            for _ in 0..domain.limit.unwrap_or(1) {
                permits.push(futures::executor::block_on(rcu.reserve()));
            }
            let full = rcu.try_call(|| ()).is_err();
            assert_eq!(full, domain.limit.is_some(), "with all permits out");
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
