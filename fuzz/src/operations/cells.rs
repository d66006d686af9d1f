//! Operations on cells, on values that were taken out of cells, and on watchers.

use super::super::ledger::{Entry, Section, Value, open_among};
use super::super::panics;
use super::super::plan::choose;
use super::items::{Cell, Late, MOST, Old, Wait, Watching};
use super::world::World;
use async_rcu::{RcuCell, Retired, cell::RetireOnDrop};
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

impl World {
    /// Returns the cell that `choice` stands for.
    pub(super) fn cell(&self, choice: u8) -> Option<&Cell> {
        self.cells[usize::from(choice) % self.cells.len()].as_ref()
    }

    pub(super) fn new_cell(&mut self, a: u8, b: u8, c: u8) {
        let place = usize::from(c) % self.cells.len();
        let (domain, rcu) = self.domain(b);
        if self.cells[place].is_some() {
            return;
        }
        let value = self.board.value();
        let current = Arc::clone(value.entry());
        let cell = self.on(Self::seat_of(a), move |_| RcuCell::new_in(&rcu, value));
        self.cells[place] =
            Some(Cell { cell: Arc::new(cell), domain, number: current.id(), current });
    }

    /// Replaces the cell's value in the oracle. Returns the old value, and the sections that it has
    /// to wait for.
    fn replace(&mut self, place: usize) -> Option<Replacing> {
        let cell = self.cells[place].as_mut()?;
        let value = self.board.value();
        let old = std::mem::replace(&mut cell.current, Arc::clone(value.entry()));
        let holders = self.domains[cell.domain].open();
        old.release(holders.clone());
        for watching in &mut self.watching {
            if watching.number == cell.number {
                watching.next = Some(Arc::clone(&cell.current));
            }
        }
        Some(Replacing { cell: Arc::clone(&cell.cell), domain: cell.domain, value, old, holders })
    }

    fn place(&self, choice: u8) -> usize {
        usize::from(choice) % self.cells.len()
    }

    pub(super) fn store(&mut self, a: u8, b: u8) {
        let Some(new) = self.replace(self.place(b)) else {
            return;
        };
        self.domains[new.domain].queue(&new.old);
        let (cell, value) = (new.cell, new.value);
        self.on(Self::seat_of(a), move |_| cell.store(value));
    }

    pub(super) fn swap(&mut self, a: u8, b: u8) {
        if self.retired.len() == MOST {
            return self.store(a, b);
        }
        let Some(new) = self.replace(self.place(b)) else {
            return;
        };
        let (cell, value) = (new.cell, new.value);
        let retired = self.on(Self::seat_of(a), move |_| cell.swap(value));
        self.keep_retired(retired, new.old, new.domain, new.holders);
    }

    fn keep_retired(
        &mut self,
        value: Retired<Value>,
        entry: Arc<Entry>,
        domain: usize,
        holders: Vec<Arc<Section>>,
    ) {
        assert_eq!(value.id(), entry.id(), "the value that was taken out");
        self.retired.push(Old { value, entry, domain, holders, elapsed: false });
    }

    pub(super) fn update(&mut self, a: u8, b: u8, c: u8) {
        let (seat, place) = (Self::seat_of(a), self.place(b));
        if c % 4 == 0 {
            // The update is given up, and changes nothing.
            let Some(cell) = self.cell(b) else { return };
            let (id, cell) = (cell.current.id(), Arc::clone(&cell.cell));
            self.on(seat, move |_| {
                let refused = cell.try_update(|value| Err::<Value, u64>(value.id()));
                assert_eq!(refused.err(), Some(id), "the value that `try_update` passes");
                assert_eq!(cell.with(Value::id), id, "after an update that was given up");
            });
            return;
        }
        let Some(new) = self.replace(place) else {
            return;
        };
        let (cell, value, old) = (new.cell, new.value, new.old.id());
        let mut value = Some(value);
        let retired = self.on(seat, move |_| {
            cell.update(|seen| {
                assert_eq!(seen.id(), old, "the value that `update` passes");
                value.take().expect("no other thread updates the cell")
            })
        });
        match self.retired.len() {
            MOST => {
                self.domains[new.domain].queue(&new.old);
                self.on(seat, move |_| drop(retired));
            }
            _ => self.keep_retired(retired, new.old, new.domain, new.holders),
        }
    }

    pub(super) fn drop_cell(&mut self, a: u8, b: u8) {
        let place = self.place(a);
        let Some(cell) = self.cells[place].take() else {
            return;
        };
        let holders = self.domains[cell.domain].open();
        cell.current.release(holders.clone());
        for watching in &mut self.watching {
            watching.gone |= watching.number == cell.number;
        }
        match Arc::try_unwrap(cell.cell) {
            Ok(cell_itself) if b % 2 == 0 && self.retired.len() < MOST => {
                let retired = self.on(Self::seat_of(b), move |_| cell_itself.into_retired());
                self.keep_retired(retired, cell.current, cell.domain, holders);
            }
            Ok(cell_itself) => {
                self.domains[cell.domain].queue(&cell.current);
                self.on(Self::seat_of(b), move |_| drop(cell_itself));
            }
            // A reference of a seat still owns the cell.
            Err(shared) => {
                for watching in &mut self.watching {
                    watching.gone &= watching.number != cell.number;
                }
                self.cells[place] = Some(Cell { cell: shared, ..cell });
            }
        }
    }

    pub(super) fn subscribe(&mut self, a: u8, b: u8) {
        if self.watching.len() == MOST {
            return;
        }
        let Some(cell) = self.cell(b) else { return };
        let (domain, number, cell) = (cell.domain, cell.number, Arc::clone(&cell.cell));
        let watcher = self.on(Self::seat_of(a), move |_| cell.subscribe());
        self.watching.push(Watching { watcher, domain, number, next: None, gone: false });
    }

    /// Polls a watcher, or drops it.
    pub(super) fn watch(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.watching.len()) else {
            return;
        };
        let mut watching = self.watching.swap_remove(index);
        if b >= 192 {
            self.on(Self::seat_of(a), move |_| drop(watching));
            return;
        }
        let section = self.domains[watching.domain].enter();
        let (watching, told) = self.on(Self::seat_of(a), move |_| {
            let mut context = Context::from_waker(Waker::noop());
            let told = Pin::new(&mut watching.watcher).poll_next(&mut context);
            (watching, told)
        });
        let Watching { gone, domain, .. } = watching;
        let expected = self.expected(watching);
        match (told, expected) {
            (Poll::Pending, None) if !gone => section.leave(),
            (Poll::Ready(None), _) if gone => section.leave(),
            (Poll::Ready(Some(value)), Some(id)) if !gone => {
                assert_eq!(value.id(), id, "the value that a watcher yields");
                match self.owned.len() < MOST {
                    true => self.keep(domain, section, value, a),
                    false => {
                        section.leave();
                        drop(value);
                    }
                }
            }
            (told, expected) => {
                panic!("a watcher yields {told:?}, not {expected:?}; cell dropped: {gone}")
            }
        }
    }

    /// Puts the watcher back, and returns the value that it has to yield now.
    fn expected(&mut self, mut watching: Watching) -> Option<u64> {
        let next = watching.next.take();
        self.watching.push(watching);
        next.map(|entry| entry.id())
    }

    pub(super) fn try_take(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.retired.len()) else {
            return;
        };
        let old = self.retired.swap_remove(index);
        let (held, elapsed) = (open_among(&old.holders) != 0, old.elapsed);
        let (value, entry) = (old.value, Arc::clone(&old.entry));
        let left = self.on(Self::seat_of(a), move |_| match value.try_take() {
            Ok(value) => {
                assert!(!held, "`try_take` returned {entry:?} while a reader had it");
                assert_eq!(value.id(), entry.id());
                None
            }
            Err(early) => {
                assert!(!elapsed, "`try_take` kept {entry:?} after a grace period");
                Some(early)
            }
        });
        if let Some(value) = left {
            self.retired.push(Old { value, ..old });
        }
    }

    /// Waits for a retired value by a future, or blocks for it.
    pub(super) fn wait_for_retired(&mut self, a: u8, b: u8, c: u8) {
        let Some(index) = choose(b, self.retired.len()) else {
            return;
        };
        let seat = Self::blocking_seat(a);
        let domain = self.retired[index].domain;
        if c % 2 == 0 {
            let old = self.retired.swap_remove(index);
            let ids = vec![old.entry];
            self.add_wait(domain, Wait::Reclaim(old.value.wait(), ids), Some(old.holders));
        } else if self.is_reading(seat, domain) {
            let old = self.retired.swap_remove(index);
            // After the panic a callback frees the value.
            self.domains[domain].queue(&old.entry);
            self.on(seat, move |_| {
                panics::expect("deadlock", || drop(old.value.blocking_wait()));
            });
        } else if self.may_wait(domain) {
            let old = self.retired.swap_remove(index);
            let id = old.entry.id();
            self.on(seat, move |_| {
                let value = old.value.blocking_wait();
                assert_eq!(value.id(), id);
            });
        }
    }

    pub(super) fn drop_retired(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.retired.len()) else {
            return;
        };
        let old = self.retired.swap_remove(index);
        self.domains[old.domain].queue(&old.entry);
        self.on(Self::seat_of(a), move |_| {
            assert_eq!(old.value.id(), old.entry.id(), "the value before its drop");
            drop(old.value);
        });
    }

    /// Waits for all retired values of one domain at once. With values of several domains the call
    /// panics.
    pub(super) fn reclaim_all(&mut self, a: u8, b: u8) {
        let (domain, rcu) = self.domain(b);
        let all = std::mem::take(&mut self.retired);
        let (own, foreign): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|old| old.domain == domain);
        if b >= 224 && !foreign.is_empty() {
            // After the panic callbacks free all values.
            for old in own.iter().chain(&foreign) {
                self.domains[old.domain].queue(&old.entry);
            }
            self.on(Self::seat_of(a), move |_| {
                panics::expect("another Rcu", || {
                    let all = own.into_iter().chain(foreign).map(|old| old.value);
                    drop(rcu.reclaim_all(all));
                });
            });
            return;
        }
        self.retired = foreign;
        let (entries, holders) = own
            .iter()
            .map(|old| (Arc::clone(&old.entry), old.holders.clone()))
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let wait = rcu.reclaim_all(own.into_iter().map(|old| old.value));
        self.add_wait(domain, Wait::ReclaimAll(wait, entries), Some(holders.concat()));
    }

    /// Makes a value that its last owner retires, or adds an owner, or drops one.
    pub(super) fn deferred(&mut self, a: u8, b: u8, c: u8) {
        match choose(c, self.late.len()) {
            Some(index) if b >= 128 => {
                let late = self.late.swap_remove(index);
                if Arc::strong_count(&late.value) == 1 {
                    let domain = &mut self.domains[late.domain];
                    late.value.entry().release(domain.open());
                    domain.queue(late.value.entry());
                }
                self.on(Self::seat_of(a), move |_| drop(late));
            }
            Some(index) if b >= 64 && self.late.len() < MOST => {
                let late = &self.late[index];
                assert_eq!(late.value.part, [late.value.id(); 6], "an owned value");
                let (value, domain) = (Arc::clone(&late.value), late.domain);
                self.late.push(Late { value, domain });
            }
            _ if self.late.len() < MOST => {
                let (domain, rcu) = self.domain(b);
                let value = Arc::new(RetireOnDrop::new_in(&rcu, self.board.value()));
                self.late.push(Late { value, domain });
            }
            _ => {}
        }
    }
}

/// The replacement of a cell's value.
struct Replacing {
    cell: Arc<RcuCell<Value>>,
    domain: usize,
    value: Value,
    old: Arc<Entry>,
    holders: Vec<Arc<Section>>,
}
