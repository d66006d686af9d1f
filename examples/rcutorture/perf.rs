//! The modes that measure. Readers check the elements that they see here too.

use super::crew::Crew;
use super::element::{Element, Ledger, Removed, Slot};
use super::latency::{Kind, times};
use super::run::{Run, Tally};
use super::world::NO_STALLS;
use async_rcu::{Rcu, error::BuildError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The number of sections that are timed together: reading the clock takes longer than a section.
const TOGETHER: u32 = 100;

#[derive(Debug)]
pub(super) struct Perf {
    rcu: Rcu,
    ledger: Arc<Ledger>,
    slot: Slot,
}

impl Perf {
    pub(super) fn new(run: &Arc<Run>) -> Result<Self, BuildError> {
        let ledger = Ledger::new(run, "perf");
        Ok(Self {
            rcu: Rcu::builder().name("perf").stall_timeout(NO_STALLS).build()?,
            slot: Slot::new(Element::new(&ledger)),
            ledger,
        })
    }

    pub(super) fn rcu(&self) -> &Rcu {
        &self.rcu
    }

    pub(super) fn run(&self, run: &Arc<Run>, readers: u32, updaters: u32, wait: impl Fn(Instant)) {
        let until = Instant::now() + Duration::from_secs(run.args.seconds);
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, run);
            (0..readers).for_each(|_| crew.start("reader", || self.read(run)));
            (0..updaters).for_each(|_| crew.start("updater", || self.update(run)));
            wait(until);
            run.stop();
            crew.join();
        });
        let mut last = Some(self.slot.empty());
        while last.is_some() {
            last = self.next_stage(run, last);
        }
        let (created, dropped) = (self.ledger.created(), self.ledger.dropped());
        run.board.expect(created == dropped, || {
            format!("{created} elements were made, but {dropped} dropped")
        });
    }

    fn read(&self, run: &Arc<Run>) {
        let mut tally = Tally::of(run);
        let mut took = times();
        while run.goes_on() {
            let began = Instant::now();
            for _ in 0..TOGETHER {
                let guard = self.rcu.read();
                // SAFETY: the guard is of the slot's domain, and the slot is emptied after the
                // readers end.
                let element = unsafe { self.slot.load(&guard) };
                let seen = element.look(&tally);
                element.last_look(seen, &mut tally);
            }
            let each = (began.elapsed() / TOGETHER).as_nanos();
            took.saturating_record(u64::try_from(each).unwrap_or(u64::MAX).max(1));
        }
        let mut all = run.latencies.of(Kind::Read);
        run.board
            .expect(all.add(&took).is_ok(), || "the latencies of two readers could not be added");
    }

    /// Updates, and moves a pipe of elements on: one grace period serves every stage.
    fn update(&self, run: &Arc<Run>) {
        let mut pipe: Vec<Removed> = Vec::new();
        while run.goes_on() {
            pipe.push(self.slot.replace(Element::new(&self.ledger)));
            self.synchronize(run);
            // SAFETY: a grace period has elapsed since each element was removed or passed on.
            pipe = pipe.into_iter().filter_map(|old| unsafe { old.elapsed() }).collect();
            run.updated();
        }
        while !pipe.is_empty() {
            pipe = pipe.into_iter().filter_map(|old| self.next_stage(run, Some(old))).collect();
        }
    }

    fn synchronize(&self, run: &Run) {
        let _waits = run.waits("perf", Kind::Synchronize);
        self.rcu.blocking_synchronize();
    }

    fn next_stage(&self, run: &Run, old: Option<Removed>) -> Option<Removed> {
        self.synchronize(run);
        // SAFETY: a grace period has elapsed since the element was removed or passed on.
        old.and_then(|old| unsafe { old.elapsed() })
    }
}
