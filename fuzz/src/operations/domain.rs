//! A domain of a run, and what the oracle knows about it.

use super::super::ledger::{Board, Entry, Section, Sections};
use super::super::panics;
use super::Make;
use async_rcu::{
    Batch, Builder, Executor, GlobalLock, Rcu,
    executor::{Batches, ChannelExecutor, InlineExecutor, WorkerThread},
    report::PanicSource,
};
use futures::task::{FutureObj, Spawn, SpawnError, SpawnExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A queued callback. The run queues it, or the drop of an item does.
pub(super) struct Queued {
    pub(super) entry: Arc<Entry>,
    /// The callback queues another one before it is done.
    nests: bool,
}

/// A domain of a run.
pub(super) struct Domain {
    /// `None` after the run dropped its handle. Cells, waits and retired values may have others.
    pub(super) rcu: Option<Rcu>,
    sections: Sections,
    /// The callbacks that no drain has waited for.
    pub(super) queued: Vec<Queued>,
    /// The channel from which the run takes batches, if the domain has one.
    pub(super) batches: Option<Batches>,
    pub(super) limit: Option<usize>,
    pub(super) locked: bool,
    /// The domain's grace-period thread runs batches itself, and waits for the lock.
    pub(super) waits_for_lock: bool,
    /// The number of permits that the run holds.
    pub(super) permits: usize,
    /// The number of owned guards that the run holds.
    pub(super) owned: usize,
    /// The library's count of queued callbacks at a moment when all of them had finished.
    pub(super) settled: u64,
    /// The number of queued callbacks that panic.
    pub(super) to_panic: u64,
    /// The number of reported panics of callbacks.
    pub(super) panics: Arc<AtomicU64>,
}

impl Domain {
    pub(super) fn new(make: Make, lock: &GlobalLock<u64>, board: &Arc<Board>) -> Self {
        let limit = match make.limit % 4 {
            0 | 1 => None,
            2 => Some(1 + usize::from(make.limit / 64)),
            _ => Some(16),
        };
        let locked = make.flags & 1 != 0;
        let panics = Arc::new(AtomicU64::new(0));
        let mut builder = Rcu::builder().name("fuzz").on_stall(|_| ()).on_panic({
            let (panics, board) = (Arc::clone(&panics), Arc::clone(board));
            move |report| {
                let counts = report.source == PanicSource::Callback;
                panics.fetch_add(u64::from(counts), Ordering::Relaxed);
                if !report.to_string().contains("fuzz") {
                    board.violate(format!("a panic report does not name the domain: {report}"));
                }
            }
        });
        if make.flags & 2 != 0 {
            builder = builder.batch_interval(Duration::ZERO);
        }
        if let Some(limit) = limit {
            builder = builder.max_pending(limit);
        }
        if locked {
            builder = builder.global_lock(lock);
        }
        let (builder, batches) = executor(builder, make.executor);
        Self {
            rcu: Some(builder.build().expect("a domain")),
            sections: Sections::default(),
            queued: Vec::new(),
            batches,
            limit,
            locked,
            waits_for_lock: locked && make.executor % 11 == 5,
            permits: 0,
            owned: 0,
            settled: 0,
            to_panic: 0,
            panics,
        }
    }

    /// Returns the open sections.
    pub(super) fn open(&mut self) -> Vec<Arc<Section>> {
        self.sections.open()
    }

    /// Begins a section.
    pub(super) fn enter(&mut self) -> Arc<Section> {
        self.sections.enter()
    }

    /// Notes a callback that is about to be queued.
    pub(super) fn queue(&mut self, entry: &Arc<Entry>) {
        self.queued.push(Queued { entry: Arc::clone(entry), nests: false });
    }

    /// Notes that the last callback queues another one.
    pub(super) fn last_nests(&mut self) {
        if let Some(queued) = self.queued.last_mut() {
            queued.nests = true;
        }
    }

    /// Checks the callbacks after a drain that began when `of` callbacks had been queued.
    #[track_caller]
    pub(super) fn drained(&mut self, of: usize) {
        for queued in self.queued.drain(..of) {
            let entry = queued.entry;
            assert!(entry.is_done(), "a drain did not wait for {entry:?}");
        }
    }

    /// Counts the callbacks that cannot have finished, and the permits.
    pub(super) fn surely_pending(&self) -> usize {
        let held = self.queued.iter().filter(|queued| queued.entry.is_held());
        held.count() + self.permits
    }

    /// Counts the callbacks that may be pending, those that running callbacks may queue, and the
    /// permits.
    pub(super) fn maybe_pending(&self, rcu: &Rcu) -> usize {
        // The entries come first: a callback that is done here has queued its own, which the
        // library counts.
        let nesting = self.queued.iter().filter(|q| q.nests && !q.entry.is_done());
        let nesting = nesting.count();
        (rcu.stats().queued - self.settled) as usize + nesting + self.permits
    }

    /// Runs the batches in the channel. Returns `false` if the domain has no channel.
    pub(super) fn pump(&mut self, lock_is_held: bool) -> bool {
        let Some(batches) = &mut self.batches else {
            return false;
        };
        if !(self.locked && lock_is_held) {
            while let Some(batch) = batches.try_next() {
                batch.run();
            }
        }
        true
    }
}

fn executor(builder: Builder, choice: u8) -> (Builder, Option<Batches>) {
    let builder = match choice % 11 {
        0 => builder,
        1 => builder.executor(WorkerThread),
        2 => builder.executor(InlineExecutor),
        3 => builder.executor(runtime().handle().clone()),
        4 => {
            let spawner = AThread::new();
            builder.executor(move |batch: Batch| spawner.spawn(batch))
        }
        5 => builder.executor(|batch: Batch| batch.run()),
        6 => builder.executor(|batch: Batch| thread::spawn(move || batch.run())),
        7 => builder.executor(|batch: Batch| drop(batch)),
        8 => builder.executor(|_: Batch| panics::planned()),
        9 => {
            let shared: Arc<dyn Executor> = Arc::new(InlineExecutor);
            builder.executor(shared)
        }
        _ => {
            let (executor, batches) = ChannelExecutor::new();
            return (builder.executor(executor), Some(batches));
        }
    };
    (builder, None)
}

/// Returns the runtime of all runs.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
    })
}

/// A spawner: a thread that ends with the spawner. It refuses every third future.
struct AThread {
    futures: mpsc::Sender<FutureObj<'static, ()>>,
    given: AtomicU64,
}

impl AThread {
    fn new() -> Self {
        let (futures, given) = mpsc::channel();
        thread::spawn(move || {
            for future in given {
                futures::executor::block_on(future);
            }
        });
        Self { futures, given: AtomicU64::new(0) }
    }
}

impl Spawn for AThread {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        if self.given.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Err(SpawnError::shutdown());
        }
        self.futures.send(future).map_err(|_| SpawnError::shutdown())
    }
}
