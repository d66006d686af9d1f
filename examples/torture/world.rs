//! A domain, and what is in it.

use super::Report;
use super::value::{Ledger, Value};
use async_rcu::{Batch, GlobalLock, Guard, InlineExecutor, Rcu, RcuCell, WorkerThread};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

const CELLS: usize = 6;

/// So many values may wait for being freed before writers wait for them too.
const BACKLOG: u64 = 50_000;

#[derive(Debug)]
pub(super) struct World {
    pub(super) rcu: Rcu,
    pub(super) lock: GlobalLock<u64>,
    pub(super) cells: Vec<RcuCell<Value>>,
    pub(super) slots: Vec<Slot>,
    pub(super) ledger: Arc<Ledger>,
}

impl World {
    /// A domain on each kind of executor.
    pub(super) fn one_of_each(runtime: &Handle) -> Vec<World> {
        let lock = GlobalLock::new(0);
        let named = |name: &str| Rcu::builder().name(name);
        [
            named("worker").executor(WorkerThread),
            named("runtime").executor(runtime.clone()),
            named("inline")
                .executor(InlineExecutor)
                .batch_interval(Duration::ZERO),
            named("locked").global_lock(&lock),
            named("drops").executor(|batch: Batch| drop(batch)),
        ]
        .map(|builder| World::new(builder.build().expect("a domain"), &lock))
        .into()
    }

    fn new(rcu: Rcu, lock: &GlobalLock<u64>) -> Self {
        let ledger = Arc::new(Ledger::default());
        let cell = |_| RcuCell::new_in(&rcu, Value::new(&ledger));
        Self {
            cells: (0..CELLS).map(cell).collect(),
            slots: (0..CELLS).map(|_| Slot::new(Value::new(&ledger))).collect(),
            rcu,
            lock: lock.clone(),
            ledger,
        }
    }

    pub(super) fn value(&self) -> Value {
        Value::new(&self.ledger)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.ledger.alive() > BACKLOG
    }

    /// Frees what is left, and tells how it went. Nobody reads or writes any more.
    pub(super) fn finish(&self, report: &mut Report) {
        let cells = CELLS as u64;
        for slot in &self.slots {
            let old = slot.take();
            self.rcu.blocking_synchronize();
            // SAFETY: a grace period has elapsed since it was unlinked.
            unsafe { old.into_box() }.bury(&self.ledger);
        }
        // Callbacks may have queued callbacks.
        self.rcu.blocking_drain();
        self.rcu.blocking_drain();
        let name = format!("{:?}", self.rcu);
        let stats = self.rcu.stats();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (created, dropped) = (count(&self.ledger.created), count(&self.ledger.dropped));
        let (reads, updates) = (count(&self.ledger.reads), count(&self.ledger.updates));
        let poisoned = count(&self.ledger.poisoned);
        report.expect(poisoned == 0, || {
            format!("{name}: poison was seen {poisoned} times")
        });
        // The cells' own are alive: the worlds, and so the cells, live on.
        report.expect(created == dropped + cells, || {
            format!("{name}: {created} values made, {dropped} dropped, {cells} to be alive")
        });
        report.expect(stats.queued == stats.finished, || {
            format!(
                "{name}: {} callbacks queued, {} finished",
                stats.queued, stats.finished
            )
        });
        report.expect(stats.panicked == 0 && stats.cancelled == 0, || {
            format!(
                "{name}: {} callbacks panicked, {} were cancelled",
                stats.panicked, stats.cancelled
            )
        });
        report.expect(stats.owned_guards == 0, || {
            format!("{name}: {} owned guards left", stats.owned_guards)
        });
        report.expect(reads > 0 && updates > 0 && stats.grace_periods > 0, || {
            format!(
                "{name}: {reads} reads, {updates} updates, {} grace periods",
                stats.grace_periods
            )
        });
        report.reads += reads;
        report.updates += updates;
        report.values += created;
        report.grace_periods += stats.grace_periods;
        report.callbacks += stats.finished;
    }
}

/// A plain pointer under RCU, as one has it without `RcuCell`.
///
/// # Invariants
/// 1. Points to a value from a box until it is taken out, once.
/// 2. What is taken out is freed only after a grace period of the world's domain.
#[derive(Debug)]
pub(super) struct Slot(AtomicPtr<Value>);

/// A value that was taken out of a slot, and may still be read.
#[derive(Debug)]
pub(super) struct Unlinked(*mut Value);

// SAFETY: it is the only way to free its value, which is `Send`.
unsafe impl Send for Unlinked {}
// SAFETY: gives no access by reference.
unsafe impl Sync for Unlinked {}

impl Slot {
    fn new(value: Value) -> Self {
        Self(AtomicPtr::new(Box::into_raw(Box::new(value))))
    }

    /// # Safety
    /// The guard is of the world's domain.
    pub(super) unsafe fn load<'g>(&self, _guard: &'g impl Guard) -> &'g Value {
        // SAFETY: invariants 1 and 2: loaded in a section, which lasts for 'g.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    pub(super) fn replace(&self, value: Value) -> Unlinked {
        let new = Box::into_raw(Box::new(value));
        Unlinked(self.0.swap(new, Ordering::AcqRel))
    }

    fn take(&self) -> Unlinked {
        Unlinked(self.0.swap(ptr::null_mut(), Ordering::AcqRel))
    }
}

impl Unlinked {
    /// # Safety
    /// It is dropped after a grace period that started after it was unlinked, and not used before.
    pub(super) unsafe fn into_box(self) -> Box<Value> {
        // SAFETY: from a box, and taken out once (`Slot`, invariant 1).
        unsafe { Box::from_raw(self.0) }
    }
}
