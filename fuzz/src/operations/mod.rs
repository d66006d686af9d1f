//! Sequences of operations on domains, guards, cells, callbacks and waits, against a sequential oracle.
//!
//! The input is a [`Plan`]: how the domains are made, then operations, four bytes each: which one, and three choices (which seat,
//! which guard, which cell; modulo what there is). One operation is done after the other, each on a thread of the input's
//! choosing, while grace-period threads, workers and executors go on as they like. What the oracle holds the library to:
//!
//! - A reference shows the value that was current when it was read, as long as its section lasts (`ledger::Seen`).
//! - A value or callback ends once, and not under a section that was open when it was let go (`ledger::Entry`).
//! - A wait is not over while such a section is open, and ends when none is, also where later sections are.
//! - A cookie has not elapsed while a section is open that was open when it was taken; once elapsed it stays so; a wait makes
//!   it so. Cookies are ordered.
//! - After a drain or shutdown, everything queued before has run.
//! - Callbacks are refused at the limit, and not below.
//! - A watcher tells of the latest version, once.
//! - What must panic (a blocking wait for oneself, a guard or cookie of another domain) does, and leaves things usable.
//! - In the end all is freed, whatever was left open and in whatever order it goes.

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

/// Operations that are done of a plan at the most.
const MOST: usize = 120;

/// How a domain is made.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Make {
    executor: u8,
    /// 0: none.
    limit: u8,
    /// The lowest bit: under the global lock. The next: with no pause between grace periods.
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
        Ok(Plan {
            domains: u.arbitrary()?,
            teardown: u.arbitrary()?,
            ops: Op::read_all(u, MOST)?,
        })
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
