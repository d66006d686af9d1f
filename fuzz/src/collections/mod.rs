//! `RcuMap`, `RcuList`, `RcuVec` and `RcuPtr`, compared with the standard library's collections.
//! Walks, views and references are held while the collections change.
//!
//! The input is a [`CollectionPlan`]: the collection, then operations of four bytes each. The
//! elements are values of the ledger, which checks that each is freed once, and after the sections
//! that were open when it was taken out. A walk is checked against the documentation's promises,
//! and a view against a copy that was made when the view was loaded.

mod list;
mod map;
mod ptr;
mod vec;

use super::ledger::{Board, Entry, Held, Section, Sections, Seen, Value, open_among};
use super::panics;
use super::plan::{Op, choose};
use arbitrary::{Arbitrary, Result, Unstructured};
use async_rcu::{OwnedReadGuard, Rcu, Retired, executor::InlineExecutor};
use std::sync::Arc;

/// The largest number of operations of a plan.
const MOST: usize = 300;
/// The largest numbers of open sections and of retired values.
const SECTIONS: usize = 6;
const RETIRED: usize = 8;

#[derive(Debug)]
struct CollectionPlan {
    kind: u8,
    variant: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for CollectionPlan {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(CollectionPlan {
            kind: u.arbitrary()?,
            variant: u.arbitrary()?,
            ops: Op::read_all(u, MOST)?,
        })
    }
}

/// Runs the plan that the bytes stand for.
pub fn run(data: &[u8]) {
    panics::prepare();
    let Ok(plan) = CollectionPlan::arbitrary(&mut Unstructured::new(data)) else {
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

/// The domain and the oracle of a run.
struct Ground {
    rcu: Rcu,
    board: Arc<Board>,
    sections: Sections,
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
            sections: Sections::default(),
            retired: Vec::new(),
        }
    }

    fn value(&self) -> Value {
        self.board.value()
    }

    fn values(&self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.value()).collect()
    }

    /// Notes that a value is about to be taken out.
    fn release(&mut self, entry: &Arc<Entry>) {
        entry.release(self.sections.open());
    }

    fn release_all<'a>(&mut self, entries: impl IntoIterator<Item = &'a Arc<Entry>>) {
        let open = self.sections.open();
        for entry in entries {
            entry.release(open.clone());
        }
    }

    /// Checks a value that was taken out; then drops or keeps it.
    fn took(&mut self, retired: Option<Retired<Value>>, expected: Option<&Arc<Entry>>, choice: u8) {
        let (id, expected) = (retired.as_deref().map(Value::id), expected.map(|entry| entry.id()));
        assert_eq!(id, expected, "the value that was taken out");
        if let Some(retired) = retired {
            if choice % 2 == 0 && self.retired.len() < RETIRED {
                let open = self.sections.open();
                self.retired.push((retired, open));
            }
        }
    }

    /// Does an operation that all collections share.
    fn step(&mut self, choice: u8) {
        match choice % 4 {
            0 => drop(self.retired.pop()),
            1 if self.sections.open().is_empty() => {
                if let Some((retired, _)) = self.retired.pop() {
                    let id = retired.id();
                    assert_eq!(retired.blocking_wait().id(), id);
                }
            }
            2 if self.sections.open().is_empty() => self.rcu.blocking_drain(),
            _ => {
                if let Some((retired, holders)) = self.retired.pop() {
                    match retired.try_take() {
                        Ok(value) => {
                            assert_eq!(open_among(&holders), 0, "readers of {value:?}")
                        }
                        Err(early) => self.retired.push((early, holders)),
                    }
                }
            }
        }
    }
}

/// A walk, a view or a reference that was read in a section of its own, with the model's copy.
///
/// # Invariants
/// 1. `what` was read under the guard in `held`, which lies in a box. Fields are dropped in their
///    order, so `what` is dropped before the guard.
struct Under<T> {
    what: T,
    held: Held<Box<OwnedReadGuard>>,
}

impl<T> Under<T> {
    /// Begins a section, and calls `read` with its guard.
    fn begin(ground: &mut Ground, read: impl FnOnce(&'static OwnedReadGuard) -> T) -> Self {
        let section = ground.sections.enter();
        let guard = Box::new(ground.rcu.read_owned());
        // SAFETY: by invariant 1 the borrow ends before the guard.
        let borrowed = unsafe { &*std::ptr::from_ref(&*guard) };
        Self { what: read(borrowed), held: Held { seen: Vec::new(), section, guard } }
    }

    /// Returns the guard. Callers put what they read into `seen`, or drop it at once.
    fn guard(&self) -> &'static OwnedReadGuard {
        // SAFETY: the callers keep no borrow for longer than the guard.
        unsafe { &*std::ptr::from_ref(&*self.held.guard) }
    }

    /// Keeps a reference that was read in the section; every later check looks at it. Returns the
    /// number of the value.
    fn see(&mut self, value: &Value) -> u64 {
        // SAFETY: the reference goes into the `Held` of its guard (its invariant 1).
        self.held.seen.push(unsafe { Seen::new(value) });
        value.id()
    }

    fn check(&self) {
        self.held.check();
    }
}
