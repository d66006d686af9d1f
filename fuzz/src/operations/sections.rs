//! Operations on guards.

use super::super::ledger::{Held, Section, Seen};
use super::super::panics;
use super::super::plan::choose;
use super::seat::{Bound, Free, Pinned};
use super::world::{Mirror, Owned, World};
use async_rcu::{RcuRef, cell::OwnedRcuRef};
use std::sync::Arc;

/// The largest number of guards of a seat, and of owned guards.
const MOST: usize = 8;

const WRONG_DOMAIN: &str = "the guard is of another Rcu";

impl World {
    /// Returns the section of a new guard of this seat: the seat's open section of the domain, or a
    /// new one.
    fn section_of(&mut self, seat: usize, domain: usize) -> Arc<Section> {
        match self.mirrors[seat].iter().find(|m| m.domain == domain) {
            Some(mirror) => {
                mirror.section.nest();
                Arc::clone(&mirror.section)
            }
            None => self.domains[domain].enter(),
        }
    }

    pub(super) fn read(&mut self, a: u8, b: u8) {
        let (seat, (domain, rcu)) = (Self::seat_of(a), self.domain(b));
        if self.mirrors[seat].len() == MOST {
            return;
        }
        let section = self.section_of(seat, domain);
        self.mirrors[seat].push(Mirror { domain, section: Arc::clone(&section) });
        self.on(seat, move |local| {
            local.held.push(Held {
                seen: Vec::new(),
                section,
                guard: Bound::Guard(Pinned::of_handle(rcu)),
            });
        });
    }

    pub(super) fn read_cell(&mut self, a: u8, b: u8) {
        let seat = Self::seat_of(a);
        let Some(cell) = self.cell(b) else { return };
        if self.mirrors[seat].len() == MOST {
            return;
        }
        let (domain, id, cell) = (cell.domain, cell.current.id(), Arc::clone(&cell.cell));
        let section = self.section_of(seat, domain);
        self.mirrors[seat].push(Mirror { domain, section: Arc::clone(&section) });
        let seen = self.on(seat, move |local| {
            let pinned = Pinned::of_cell(cell);
            // SAFETY: the reference goes into the `Held` of its guard (its invariant 1).
            let seen = unsafe { Seen::new(&pinned.guard) };
            let id = seen.id();
            local.held.push(Held { seen: vec![seen], section, guard: Bound::Ref(pinned) });
            id
        });
        assert_eq!(seen, id, "the value that `read` returns");
    }

    pub(super) fn read_owned(&mut self, a: u8, b: u8) {
        let (seat, (domain, rcu)) = (Self::seat_of(a), self.domain(b));
        if self.owned.len() == MOST {
            return;
        }
        let section = self.domains[domain].enter();
        self.domains[domain].owned += 1;
        let guard = self.on(seat, move |_| rcu.read_owned());
        self.owned.push(Owned {
            domain,
            held: Held { seen: Vec::new(), section, guard: Free::Guard(guard) },
        });
    }

    pub(super) fn read_cell_owned(&mut self, a: u8, b: u8, c: u8) {
        let seat = Self::seat_of(a);
        let Some(cell) = self.cell(b) else { return };
        if self.owned.len() == MOST {
            return;
        }
        let (domain, id, cell) = (cell.domain, cell.current.id(), Arc::clone(&cell.cell));
        let section = self.domains[domain].enter();
        let value = self.on(seat, move |_| cell.read_owned());
        assert_eq!(value.id(), id, "the value that `read_owned` returns");
        self.keep(domain, section, value, c);
    }

    /// Keeps an owned reference, or a part of it.
    pub(super) fn keep(
        &mut self,
        domain: usize,
        section: Arc<Section>,
        value: OwnedRcuRef<super::super::ledger::Value>,
        choice: u8,
    ) {
        self.domains[domain].owned += 1;
        // SAFETY: the reference goes into the `Held` of its guard (its invariant 1).
        let seen = unsafe { Seen::new(&value) };
        let guard = match choice % 3 {
            0 => Free::Part(OwnedRcuRef::map(value, |value| &value.part[3])),
            1 => {
                let none = OwnedRcuRef::filter_map(value, |value| value.part.get(6));
                Free::Ref(none.expect_err("the value has no such part"))
            }
            _ => Free::Ref(value),
        };
        self.owned.push(Owned { domain, held: Held { seen: vec![seen], section, guard } });
    }

    pub(super) fn load(&mut self, a: u8, b: u8, c: u8) {
        let seat = Self::seat_of(a);
        let Some(index) = choose(b, self.mirrors[seat].len()) else {
            return;
        };
        let Some(cell) = self.cell(c) else { return };
        let same = cell.domain == self.mirrors[seat][index].domain;
        let (id, cell) = (cell.current.id(), Arc::clone(&cell.cell));
        let seen = self.on(seat, move |local| {
            let held = &mut local.held[index];
            if !same {
                panics::expect(WRONG_DOMAIN, || drop(held.guard.load(&cell)));
                return id;
            }
            let seen = held.guard.load(&cell);
            let id = seen.id();
            held.seen.push(seen);
            held.check();
            id
        });
        assert_eq!(seen, id, "the value that `load` returns");
    }

    pub(super) fn load_owned(&mut self, a: u8, b: u8, c: u8) {
        let Some(index) = choose(b, self.owned.len()) else {
            return;
        };
        let Some(cell) = self.cell(c) else { return };
        let (domain, id, cell) = (cell.domain, cell.current.id(), Arc::clone(&cell.cell));
        let mut owned = self.owned.swap_remove(index);
        let owned = self.on(Self::seat_of(a), move |_| {
            let guard = owned.held.guard.guard();
            if domain != owned.domain {
                panics::expect(WRONG_DOMAIN, || {
                    cell.load(guard);
                });
            } else {
                let value = cell.load(guard);
                assert_eq!(value.id(), id, "the value that an owned guard loads");
                // SAFETY: the reference goes into the `Held` of its guard (its invariant 1).
                let seen = unsafe { Seen::new(value) };
                owned.held.seen.push(seen);
            }
            owned.held.check();
            let _ = owned.held.guard.guard().is_release_requested();
            owned
        });
        self.owned.push(owned);
    }

    pub(super) fn drop_guard(&mut self, a: u8, b: u8) {
        let seat = Self::seat_of(a);
        let Some(index) = choose(b, self.mirrors[seat].len()) else {
            return;
        };
        self.mirrors[seat].remove(index);
        self.on(seat, move |local| drop(local.held.remove(index)));
    }

    pub(super) fn drop_owned(&mut self, a: u8, b: u8) {
        let Some(index) = choose(b, self.owned.len()) else {
            return;
        };
        let owned = self.owned.swap_remove(index);
        self.domains[owned.domain].owned -= 1;
        self.on(Self::seat_of(a), move |_| drop(owned));
    }

    pub(super) fn refresh(&mut self, a: u8, b: u8) {
        let seat = Self::seat_of(a);
        let Some(index) = choose(b, self.mirrors[seat].len()) else {
            return;
        };
        let mirror = &self.mirrors[seat][index];
        let (domain, alone) = (mirror.domain, mirror.section.guards() == 1);
        let next = match alone {
            true => self.domains[domain].enter(),
            false => Arc::clone(&mirror.section),
        };
        let section = Arc::clone(&next);
        let done = self.on(seat, move |local| {
            let held = &mut local.held[index];
            let Bound::Guard(_) = &held.guard else {
                return false;
            };
            let mut outcome = false;
            let mut refresh = |bound: &mut Bound| {
                if let Bound::Guard(pinned) = bound {
                    let _ = pinned.guard.is_release_requested();
                    outcome = pinned.guard.refresh();
                }
            };
            match alone {
                true => held.renew(refresh, section),
                false => {
                    held.check();
                    held.seen.clear();
                    refresh(&mut held.guard);
                    assert!(!outcome, "`refresh` refreshed a nested guard");
                }
            }
            assert_eq!(outcome, alone, "the result of `refresh`");
            outcome
        });
        match done {
            true => self.mirrors[seat][index].section = next,
            false if alone => next.leave(),
            false => {}
        }
    }

    pub(super) fn refresh_owned(&mut self, a: u8, b: u8, c: u8) {
        let Some(index) = choose(b, self.owned.len()) else {
            return;
        };
        let cell = self.cell(c).map(|cell| {
            let (domain, id) = (cell.domain, cell.current.id());
            (domain, id, Arc::clone(&cell.cell))
        });
        let mut owned = self.owned.swap_remove(index);
        let domain = owned.domain;
        let next = self.domains[domain].enter();
        let owned = self.on(Self::seat_of(a), move |_| {
            match (&mut owned.held.guard, cell) {
                (Free::Guard(_), _) => owned.held.renew(
                    |free| {
                        if let Free::Guard(guard) = free {
                            guard.refresh();
                        }
                    },
                    next,
                ),
                (Free::Ref(_), Some((of, id, cell))) if of == domain => {
                    owned.held.renew(
                        |free| {
                            if let Free::Ref(value) = free {
                                OwnedRcuRef::reload(value, &cell);
                            }
                        },
                        next,
                    );
                    if let Free::Ref(value) = &owned.held.guard {
                        assert_eq!(value.id(), id, "the value that `reload` returns");
                        // SAFETY: the reference goes into the `Held` of its guard (its invariant
                        // 1).
                        let seen = unsafe { Seen::new(value) };
                        owned.held.seen.push(seen);
                    }
                }
                (Free::Ref(value), Some((_, _, cell))) => {
                    panics::expect(WRONG_DOMAIN, || OwnedRcuRef::reload(value, &cell));
                    next.leave();
                }
                (Free::Ref(_) | Free::Part(_), _) => next.leave(),
            }
            owned.held.check();
            owned
        });
        self.owned.push(owned);
    }

    pub(super) fn register(&mut self, a: u8, b: u8, c: u8) {
        let (_, rcu) = self.domain(b);
        self.on(Self::seat_of(a), move |local| match choose(c, local.registrations.len()) {
            Some(index) if c >= 128 => drop(local.registrations.swap_remove(index)),
            _ if local.registrations.len() < 4 => {
                local.registrations.push(rcu.register_thread());
            }
            _ => {}
        });
    }
}

impl Bound {
    /// Loads a cell in the guard's section.
    pub(super) fn load(&self, cell: &async_rcu::RcuCell<super::super::ledger::Value>) -> Seen {
        let value = match self {
            Bound::Guard(pinned) => cell.load(&pinned.guard),
            Bound::Ref(pinned) => cell.load(RcuRef::guard(&pinned.guard)),
        };
        // SAFETY: the reference goes into the `Held` of its guard (its invariant 1), or is dropped
        // at once.
        unsafe { Seen::new(value) }
    }
}
