//! `RcuMap`, `RcuList`, `RcuVec` and `RcuPtr` beside the standard library's, with walks, views and references held over
//! changes.
//!
//! The input is a [`Plan`]: which collection, then operations, four bytes each. Elements are values of the ledger: freed once,
//! and not while a section that was open when they were taken out still is. What a walk sees is held against what the
//! documentation promises of it; a view against a copy made when it was loaded.

mod list;
mod map;
mod ptr;
mod vec;

use super::ledger::{Board, Entry, Section, Seen, Value, open_among};
use super::panics;
use super::plan::Op;
use arbitrary::{Arbitrary, Result, Unstructured};
use async_rcu::{InlineExecutor, OwnedReadGuard, Rcu, Retired};
use std::sync::Arc;

/// Operations that are done of a plan at the most.
const MOST: usize = 300;
/// Sections, and retired values in hand, at the most.
const SECTIONS: usize = 6;
const RETIRED: usize = 8;

#[derive(Debug)]
struct Plan {
    kind: u8,
    variant: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Plan {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Plan {
            kind: u.arbitrary()?,
            variant: u.arbitrary()?,
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
    let ground = Ground::new();
    let board = Arc::clone(&ground.board);
    match plan.kind % 4 {
        0 => map::run(ground, plan.variant, &plan.ops),
        1 => list::run(ground, &plan.ops),
        2 => vec::run(ground, &plan.ops),
        _ => ptr::run(ground, &plan.ops),
    }
    board.assert_all_done(|| ());
}

/// What all collections stand on.
struct Ground {
    rcu: Rcu,
    board: Arc<Board>,
    sections: Vec<Arc<Section>>,
    retired: Vec<(Retired<Value>, Vec<Arc<Section>>)>,
}

impl Ground {
    fn new() -> Self {
        Self {
            rcu: Rcu::builder()
                .executor(InlineExecutor)
                .on_stall(|_| ())
                .build()
                .expect("a domain"),
            board: Board::new(),
            sections: Vec::new(),
            retired: Vec::new(),
        }
    }

    fn value(&self) -> Value {
        self.board.value()
    }

    fn values(&self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.value()).collect()
    }

    /// The sections that are open now.
    fn open(&mut self) -> Vec<Arc<Section>> {
        self.sections.retain(|section| section.is_open());
        self.sections.clone()
    }

    /// It is about to be taken out.
    fn release(&mut self, entry: &Arc<Entry>) {
        entry.release(self.open());
    }

    fn release_all<'a>(&mut self, entries: impl IntoIterator<Item = &'a Arc<Entry>>) {
        let open = self.open();
        for entry in entries {
            entry.release(open.clone());
        }
    }

    /// What was taken out, and is what was to be: dropped, or kept.
    fn took(&mut self, retired: Option<Retired<Value>>, expected: Option<&Arc<Entry>>, choice: u8) {
        let (id, expected) = (
            retired.as_deref().map(Value::id),
            expected.map(|entry| entry.id()),
        );
        assert_eq!(id, expected, "what was taken out");
        if let Some(retired) = retired {
            if choice % 2 == 0 && self.retired.len() < RETIRED {
                let open = self.open();
                self.retired.push((retired, open));
            }
        }
    }

    /// Operations that all collections have in common.
    fn step(&mut self, choice: u8) {
        match choice % 4 {
            0 => drop(self.retired.pop()),
            1 if self.open().is_empty() => {
                if let Some((retired, _)) = self.retired.pop() {
                    let id = retired.id();
                    assert_eq!(retired.blocking_wait().id(), id);
                }
            }
            2 if self.open().is_empty() => self.rcu.blocking_drain(),
            _ => {
                if let Some((retired, holders)) = self.retired.pop() {
                    match retired.try_take() {
                        Ok(value) => {
                            assert_eq!(open_among(&holders), 0, "{value:?} under a reader")
                        }
                        Err(early) => self.retired.push((early, holders)),
                    }
                }
            }
        }
    }
}

/// What was read in a section of its own: a walk, a view, a reference; and what the model has of it.
///
/// # Invariants
/// 1. What is in `what` and `seen` was read under `guard`, which lies in a box, and is dropped or cleared before it: fields
///    are dropped in their order.
struct Under<T> {
    what: T,
    seen: Vec<Seen>,
    section: Arc<Section>,
    guard: Box<OwnedReadGuard>,
}

impl<T> Under<T> {
    /// Begins a section, and reads in it what `read` says.
    fn begin(ground: &mut Ground, read: impl FnOnce(&'static OwnedReadGuard) -> T) -> Self {
        let section = Section::open();
        ground.sections.push(Arc::clone(&section));
        let guard = Box::new(ground.rcu.read_owned());
        // SAFETY: invariant 1 makes the borrow last as long as the guard.
        let borrowed = unsafe { &*std::ptr::from_ref(&*guard) };
        Self {
            what: read(borrowed),
            seen: Vec::new(),
            section,
            guard,
        }
    }

    /// The guard, to read more.
    fn guard(&self) -> &'static OwnedReadGuard {
        // SAFETY: invariant 1: what is read by it goes into `seen`, or is dropped at once.
        unsafe { &*std::ptr::from_ref(&*self.guard) }
    }

    /// Keeps a reference that was read in the section, and looks at it again to the end. Tells which value it is.
    fn see(&mut self, value: &Value) -> u64 {
        // SAFETY: invariant 1.
        self.seen.push(unsafe { Seen::new(value) });
        value.id()
    }

    fn check(&self) {
        self.seen.iter().for_each(Seen::check);
    }
}

impl<T> Drop for Under<T> {
    fn drop(&mut self) {
        // The section is open until its guard is dropped, behind this.
        self.check();
        self.seen.clear();
        self.section.leave();
    }
}

/// The place that `choice` means among `len`, if there is any.
fn choose(choice: u8, len: usize) -> Option<usize> {
    usize::from(choice).checked_rem(len)
}
