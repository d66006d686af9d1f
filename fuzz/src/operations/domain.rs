//! A domain of a run, and what the oracle knows of it.

use super::super::ledger::{Board, Entry, Section};
use super::super::panics;
use super::Make;
use async_rcu::{
    Batch, Batches, Builder, ChannelExecutor, Executor, GlobalLock, InlineExecutor, PanicSource,
    Rcu, SpawnExecutor, WorkerThread,
};
use futures::task::{FutureObj, Spawn, SpawnError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A callback that was queued, by the run itself or by dropping something.
pub(super) struct Queued {
    pub(super) entry: Arc<Entry>,
    /// Queues another one before it is done.
    nests: bool,
}

pub(super) struct Domain {
    /// `None`: the handle was dropped. Cells, waits and retired values may have others.
    pub(super) rcu: Option<Rcu>,
    /// Sections, open or over.
    sections: Vec<Arc<Section>>,
    /// What a drain has to have seen.
    pub(super) queued: Vec<Queued>,
    /// Where batches have to be taken from by hand.
    pub(super) batches: Option<Batches>,
    pub(super) limit: Option<usize>,
    pub(super) locked: bool,
    /// Its grace-period thread runs batches itself, and waits for the lock.
    pub(super) waits_for_lock: bool,
    /// Permits that the run has in hand.
    pub(super) permits: usize,
    /// Owned guards that it has in hand.
    pub(super) owned: usize,
    /// Callbacks queued, by the library's count, when all of them had finished.
    pub(super) settled: u64,
    /// Callbacks that were to panic, queued so far.
    pub(super) to_panic: u64,
    /// Reports of that.
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
                    board.violate(format!("a report that names no domain: {report}"));
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
            sections: Vec::new(),
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

    /// The sections that are open now.
    pub(super) fn open(&mut self) -> Vec<Arc<Section>> {
        self.sections.retain(|section| section.is_open());
        self.sections.clone()
    }

    /// A section begins now.
    pub(super) fn enter(&mut self) -> Arc<Section> {
        let section = Section::open();
        self.sections.push(Arc::clone(&section));
        section
    }

    /// A callback is about to be queued.
    pub(super) fn queue(&mut self, entry: &Arc<Entry>) {
        self.queued.push(Queued {
            entry: Arc::clone(entry),
            nests: false,
        });
    }

    /// The one queued last is to queue another.
    pub(super) fn last_nests(&mut self) {
        if let Some(queued) = self.queued.last_mut() {
            queued.nests = true;
        }
    }

    /// A drain that began when so many were queued is over.
    #[track_caller]
    pub(super) fn drained(&mut self, of: usize) {
        for queued in self.queued.drain(..of) {
            let entry = queued.entry;
            assert!(entry.is_done(), "{entry:?} was queued before the drain");
        }
    }

    /// Callbacks that cannot have finished, and permits.
    pub(super) fn surely_pending(&self) -> usize {
        let held = self.queued.iter().filter(|queued| queued.entry.is_held());
        held.count() + self.permits
    }

    /// Callbacks that may not have finished, those that others queue by now, and permits.
    pub(super) fn maybe_pending(&self, rcu: &Rcu) -> usize {
        // Looked at first: what is done by then has queued its own, so that the library's count has it.
        let nesting = self.queued.iter().filter(|q| q.nests && !q.entry.is_done());
        let nesting = nesting.count();
        (rcu.stats().queued - self.settled) as usize + nesting + self.permits
    }

    /// Runs a batch that lies about. `false`: there are none to come.
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
        4 => builder.executor(SpawnExecutor::new(AThread::new())),
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

/// One for all runs.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime")
    })
}

/// A spawner of its own: a thread that ends with it, and refuses every third future.
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
        Self {
            futures,
            given: AtomicU64::new(0),
        }
    }
}

impl Spawn for AThread {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        if self.given.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Err(SpawnError::shutdown());
        }
        self.futures
            .send(future)
            .map_err(|_| SpawnError::shutdown())
    }
}
