//! The state of a run, and the choice of its operations.

use super::super::ledger::{Board, Held, Section};
use super::domain::Domain;
use super::items::{Cell, Cookie, Late, Old, Waiting, Watching};
use super::seat::{Free, Local, Seat};
use super::{Make, Op};
use async_rcu::{GlobalLock, Rcu, backpressure::Permit, global_lock::GlobalLockGuard};
use std::sync::Arc;

pub(super) const SEATS: usize = 3;
const CELLS: usize = 4;
/// The number of domains of a run, with those whose handle was dropped.
const DOMAINS: usize = 6;

/// The run's copy of a seat's guard. Mirrors have the order of the seat's guards.
pub(super) struct Mirror {
    pub(super) domain: usize,
    pub(super) section: Arc<Section>,
}

/// An owned guard, and its domain.
pub(super) struct Owned {
    pub(super) domain: usize,
    pub(super) held: Held<Free>,
}

pub(super) struct World {
    pub(super) board: Arc<Board>,
    pub(super) domains: Vec<Domain>,
    /// The indices of the two domains that operations use.
    pub(super) current: [usize; 2],
    /// Seat 0 is the run's own thread, and stays `None`.
    pub(super) seats: [Option<Seat>; SEATS],
    pub(super) local: Local,
    pub(super) mirrors: [Vec<Mirror>; SEATS],
    pub(super) owned: Vec<Owned>,
    pub(super) cells: [Option<Cell>; CELLS],
    pub(super) retired: Vec<Old>,
    pub(super) late: Vec<Late>,
    pub(super) watching: Vec<Watching>,
    pub(super) cookies: Vec<Cookie>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) permits: Vec<(usize, Permit)>,
    pub(super) lock: GlobalLock<u64>,
    pub(super) lock_held: Option<GlobalLockGuard<u64>>,
    /// The number of callbacks that add one to the locked value.
    pub(super) lock_calls: u64,
}

impl World {
    pub(super) fn new(domains: [Make; 2]) -> Self {
        let (board, lock) = (Board::new(), GlobalLock::new(0));
        let domains = domains.iter().map(|make| Domain::new(*make, &lock, &board)).collect();
        Self {
            board,
            domains,
            current: [0, 1],
            seats: [const { None }; SEATS],
            local: Local::default(),
            mirrors: [const { Vec::new() }; SEATS],
            owned: Vec::new(),
            cells: [const { None }; CELLS],
            retired: Vec::new(),
            late: Vec::new(),
            watching: Vec::new(),
            cookies: Vec::new(),
            waiting: Vec::new(),
            permits: Vec::new(),
            lock,
            lock_held: None,
            lock_calls: 0,
        }
    }

    /// Does one operation, if the items that it needs exist.
    pub(super) fn step(&mut self, op: Op) {
        let Op { code, a, b, c } = op;
        match code % 56 {
            0..=3 => self.read(a, b),
            4 => self.read_cell(a, b),
            5 | 6 => self.read_owned(a, b),
            7 | 8 => self.read_cell_owned(a, b, c),
            9 | 10 => self.load(a, b, c),
            11 => self.load_owned(a, b, c),
            12..=14 => self.drop_guard(a, b),
            15 | 16 => self.drop_owned(a, b),
            17 => self.refresh(a, b),
            18 => self.refresh_owned(a, b, c),
            19 => self.register(a, b, c),
            20 => self.end_seat(a, b),
            21 => self.new_cell(a, b, c),
            22 => self.store(a, b),
            23 | 24 => self.swap(a, b),
            25 => self.update(a, b, c),
            26 => self.drop_cell(a, b),
            27 => self.subscribe(a, b),
            28 => self.watch(a, b),
            29 => self.try_take(a, b),
            30 => self.wait_for_retired(a, b, c),
            31 => self.drop_retired(a, b),
            32 => self.reclaim_all(a, b),
            33 => self.deferred(a, b, c),
            34 | 35 => self.call(a, b, c),
            36 => self.call_async(a, b, c),
            37 => self.retire(a, b),
            38 => self.try_call(a, b),
            39 => self.use_permit(a, b, c),
            40 => self.call_locked(a, b),
            41 => self.lock_or_unlock(a, b),
            42 => self.cookie(a, b, c),
            43 | 44 => self.look_at_cookie(a, b),
            45 => self.wait_for_cookie(a, b),
            46 => self.begin_wait(b, c),
            47 | 48 => self.poll_wait(a, b),
            49 => self.drop_wait(a, b),
            50 => self.synchronize(a, b),
            51 => self.drain(a, b, c),
            52 => self.force(a, b, c),
            53 => self.run_batch(a, b, c),
            54 => self.look_at_stats(a, b),
            _ => self.new_domain(a, b, c),
        }
    }

    /// Checks what holds after each step.
    pub(super) fn check(&mut self) {
        self.board.assert_clean();
    }

    /// Returns the domain that `choice` stands for, with a handle.
    pub(super) fn domain(&self, choice: u8) -> (usize, Rcu) {
        let index = self.current[usize::from(choice) % 2];
        let rcu = self.domains[index].rcu.as_ref();
        (index, rcu.expect("a current domain has its handle").clone())
    }

    /// Returns the seat that `choice` stands for: mostly seat 0, the run's own thread, which needs
    /// no switch of threads.
    pub(super) fn seat_of(choice: u8) -> usize {
        match choice % 8 {
            0..=4 => 0,
            5 | 6 => 1,
            _ => 2,
        }
    }

    /// Returns a seat for a call that may block. It is not the run's own thread, because that
    /// thread runs batches while a seat blocks.
    pub(super) fn blocking_seat(choice: u8) -> usize {
        1 + usize::from(choice) % 2
    }

    /// Runs a task on a seat, and runs batches meanwhile.
    pub(super) fn on<R: Send + 'static>(
        &mut self,
        seat: usize,
        task: impl FnOnce(&mut Local) -> R + Send + 'static,
    ) -> R {
        if seat == 0 {
            return task(&mut self.local);
        }
        let held = self.lock_held.is_some();
        let domains = &mut self.domains;
        // A seat with an odd number makes its place for left guards first.
        let thread = self.seats[seat].get_or_insert_with(|| Seat::new(seat % 2 == 1));
        thread.run(&mut || pump(domains, held), task)
    }

    /// Returns whether the seat has a guard of this domain, and so must not block for the domain.
    pub(super) fn is_reading(&self, seat: usize, domain: usize) -> bool {
        self.mirrors[seat].iter().any(|m| m.domain == domain)
    }

    /// Returns whether a grace period of the domain is sure to end.
    pub(super) fn may_wait(&mut self, domain: usize) -> bool {
        let domain = &mut self.domains[domain];
        domain.open().is_empty() && !(domain.waits_for_lock && self.lock_held.is_some())
    }

    /// Returns whether all queued callbacks of the domain are sure to run.
    pub(super) fn may_drain(&mut self, domain: usize) -> bool {
        self.lock_held.is_none() && self.may_wait(domain)
    }

    /// Ends a seat's thread and drops its guards.
    pub(super) fn end_seat(&mut self, a: u8, b: u8) {
        let seat = usize::from(a) % SEATS;
        if seat == 0 {
            drop(std::mem::take(&mut self.local));
        } else if let Some(thread) = self.seats[seat].take() {
            let held = self.lock_held.is_some();
            let domains = &mut self.domains;
            thread.end(&mut || pump(domains, held), b % 2 == 1);
        }
        self.mirrors[seat].clear();
    }

    /// Drops a domain's handle, and builds another domain instead.
    fn new_domain(&mut self, a: u8, b: u8, c: u8) {
        if self.domains.len() == DOMAINS {
            return;
        }
        let place = usize::from(a) % 2;
        let old = self.domains[self.current[place]].rcu.take();
        match b >= 128 {
            true => drop(old),
            // A callback of the domain drops the last handle.
            false => {
                let index = self.current[place];
                let domain = &mut self.domains[index];
                let entry = self.board.entry("callback with the last handle");
                entry.release(domain.open());
                domain.queue(&entry);
                if let Some(rcu) = old {
                    rcu.clone().call(move || {
                        entry.finish();
                        drop(rcu);
                    });
                }
            }
        }
        let make = Make { executor: b, limit: c, flags: c / 4 };
        self.current[place] = self.domains.len();
        self.domains.push(Domain::new(make, &self.lock, &self.board));
    }

    /// Takes a batch from the channel, and runs it or drops it.
    fn run_batch(&mut self, a: u8, b: u8, c: u8) {
        let index = self.current[usize::from(b) % 2];
        let domain = &mut self.domains[index];
        if domain.locked && self.lock_held.is_some() {
            return;
        }
        let Some(batch) = domain.batches.as_mut().and_then(|all| all.try_next()) else {
            return;
        };
        let (seat, len) = (Self::blocking_seat(a), batch.len());
        assert_ne!(len, 0, "a batch is empty");
        self.on(seat, move |_| match c % 3 {
            0 => drop(batch),
            1 => futures::executor::block_on(batch),
            _ => batch.run(),
        });
    }
}

/// Runs the batches that the test has to run. Returns whether a domain may have such batches.
pub(super) fn pump(domains: &mut [Domain], lock_is_held: bool) -> bool {
    let mut any = false;
    for domain in domains {
        any |= domain.pump(lock_is_held);
    }
    any
}
