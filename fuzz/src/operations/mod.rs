//! Sequences of operations on domains, guards, cells, callbacks and waits, checked by a sequential
//! oracle.
//!
//! The input is a [`Plan`]: how the domains are built, then operations of four bytes each. The
//! first byte is the operation. The others choose a thread, a guard or a cell, modulo the number of
//! threads, guards or cells.
//! The operations run one after the other, each on a thread that the input chooses, while
//! grace-period threads, workers and executors run freely. The oracle checks:
//!
//! - A reference shows the value that was current when it was read, as long as its section lasts
//!   (`ledger::Seen`).
//! - A value is freed once, and a callback runs once. The sections that were open when the value
//!   was taken out or the callback was queued have ended then (`ledger::Entry`).
//! - A wait ends after these sections have ended, and later sections do not block it.
//! - A cookie has not elapsed while a section is open that was open when the cookie was taken.
//!   After a wait for the cookie, the cookie has elapsed for ever. Cookies are ordered.
//! - After a drain or a shutdown, every callback that was queued before has run.
//! - Callbacks are refused at the limit, and not below it.
//! - A watcher yields the latest version, once.
//! - A blocking call that would wait for its own thread panics. The use of a guard or cookie of
//!   another domain panics too. Both panics leave the domain usable.
//! - At the end every value is freed, whatever sections were open, and in whatever order the items
//!   are dropped.

mod calls;
mod cells;
mod domain;
mod items;
mod seat;
mod sections;
mod teardown;
mod waits;
mod world;

use super::panics;
use super::plan::Op;
use arbitrary::{Arbitrary, Result, Unstructured};
use world::World;

/// The largest number of operations of a plan.
const MOST: usize = 120;

/// The options of a domain.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Make {
    executor: u8,
    /// Chooses the limit of pending callbacks, or none.
    limit: u8,
    /// Bit 0: under the global lock. Bit 1: without a pause between grace periods.
    flags: u8,
}

#[derive(Debug)]
pub struct Plan {
    domains: [Make; 2],
    teardown: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Plan {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Plan { domains: u.arbitrary()?, teardown: u.arbitrary()?, ops: Op::read_all(u, MOST)? })
    }
}

/// Runs the plan that the bytes stand for.
pub fn run(data: &[u8]) {
    panics::prepare();
    let Ok(plan) = Plan::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let mut world = World::new(plan.domains);
    for op in &plan.ops {
        world.step(*op);
        world.check();
    }
    world.tear_down(plan.teardown);
}
