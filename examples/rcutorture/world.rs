//! A domain under torture, with its cells and elements. There is one for each kind of executor.

use super::element::{Element, Ledger, Removed, Slot};
use super::run::Run;
use super::watch::Pipe;
use async_rcu::{
    Batch, Builder, GlobalLock, GracePeriod, Rcu, RcuCell, Stats,
    executor::{ChannelExecutor, InlineExecutor, WorkerThread},
};
use futures::StreamExt;
use futures::task::{FutureObj, Spawn, SpawnError, SpawnExt};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

const CELLS: usize = 4;

/// The number of elements that may wait to be freed before updaters wait too.
const BACKLOG: u64 = 5_000;

/// The limit of pending callbacks of the domain that has a limit.
const MAX_PENDING: usize = 1_000;

/// The stall timeout of the domains; [`watch`](super::watch) says why.
pub(super) const NO_STALLS: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub(super) struct World {
    pub(super) name: &'static str,
    pub(super) rcu: Rcu,
    pub(super) run: Arc<Run>,
    pub(super) lock: GlobalLock<u64>,
    pub(super) cells: Vec<RcuCell<Element>>,
    pub(super) slots: Vec<Slot>,
    pub(super) ledger: Arc<Ledger>,
    /// Callbacks of one thread run in the order in which the thread queued them.
    pub(super) in_order: bool,
    pub(super) runtime: Handle,
    /// Elements that wait for the grace period of a cookie.
    kept: Mutex<VecDeque<(GracePeriod, Removed)>>,
}

/// The names of the domains whose executors keep the order of callbacks.
const IN_ORDER: [&str; 3] = ["worker", "inline", "locked"];

impl World {
    /// Makes a domain on each kind of executor.
    pub(super) fn one_of_each(
        run: &Arc<Run>,
        runtime: &Handle,
    ) -> Result<Vec<Arc<World>>, Box<dyn Error>> {
        let lock = GlobalLock::new(0);
        let (channel, mut batches) = ChannelExecutor::new();
        runtime.spawn(async move {
            while let Some(batch) = batches.next().await {
                tokio::spawn(batch);
            }
        });
        let with = Rcu::builder;
        let spawner = a_spawner()?;
        let builders: [(&'static str, Builder); 7] = [
            ("worker", with().executor(WorkerThread).max_pending(MAX_PENDING)),
            ("inline", with().executor(InlineExecutor).batch_interval(Duration::ZERO)),
            ("runtime", with().executor(runtime.clone())),
            ("spawn", with().executor(move |batch: Batch| spawner.spawn(batch))),
            ("channel", with().executor(channel)),
            ("locked", with().global_lock(&lock)),
            ("drops", with().executor(|batch: Batch| drop(batch))),
        ];
        let worlds = builders.into_iter().map(|(name, builder)| {
            let rcu = builder.name(name).stall_timeout(NO_STALLS).build()?;
            Ok(World::new(name, rcu, run, &lock, runtime))
        });
        worlds.collect()
    }

    pub(super) fn new(
        name: &'static str,
        rcu: Rcu,
        run: &Arc<Run>,
        lock: &GlobalLock<u64>,
        runtime: &Handle,
    ) -> Arc<World> {
        let ledger = Ledger::new(run, name);
        let cell = |_| RcuCell::new_in(&rcu, Element::new(&ledger));
        let world = Arc::new(World {
            name,
            cells: (0..CELLS).map(cell).collect(),
            slots: (0..CELLS).map(|_| Slot::new(Element::new(&ledger))).collect(),
            rcu,
            run: Arc::clone(run),
            lock: lock.clone(),
            ledger,
            in_order: IN_ORDER.contains(&name),
            runtime: runtime.clone(),
            kept: Mutex::new(VecDeque::new()),
        });
        let pipe: Weak<World> = Arc::downgrade(&world);
        run.watch.add_pipe(pipe);
        world
    }

    pub(super) fn element(&self) -> Element {
        Element::new(&self.ledger)
    }

    pub(super) fn is_behind(&self) -> bool {
        self.ledger.alive() > BACKLOG
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(GracePeriod, Removed)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an element until a thread or task finds that the grace period has elapsed.
    pub(super) fn keep(&self, until: GracePeriod, removed: Removed) {
        self.kept().push_back((until, removed));
    }

    pub(super) fn oldest_kept(&self) -> Option<(GracePeriod, Removed)> {
        self.kept().pop_front()
    }

    /// Takes the elements whose grace periods have elapsed, the oldest first.
    pub(super) fn elapsed_kept(&self) -> Vec<Removed> {
        let mut kept = self.kept();
        let mut elapsed = Vec::new();
        while let Some((until, _)) = kept.front() {
            if !self.rcu.has_elapsed(*until) {
                break;
            }
            elapsed.extend(kept.pop_front().map(|(_, removed)| removed));
        }
        elapsed
    }

    /// Frees the elements that are left, and checks all counts. All readers and updaters have
    /// ended.
    pub(super) fn finish(self: &Arc<Self>) {
        let board = &self.run.board;
        let name = self.name;
        for slot in &self.slots {
            self.pass_on(slot.empty());
        }
        // Every round ends at least one stage of every element. The watchdog finds a stuck pipe.
        while self.ledger.alive() > CELLS as u64 {
            while let Some((until, removed)) = self.oldest_kept() {
                let waits = self.run.waits_for(name, "the last wait_for", None);
                futures::executor::block_on(self.rcu.wait_for(until));
                drop(waits);
                // SAFETY: the cookie was taken after the element was removed or passed on.
                if let Some(removed) = unsafe { removed.elapsed() } {
                    self.pass_on(removed);
                }
            }
            let _waits = self.run.waits_for(name, "the last drain", None);
            self.rcu.blocking_drain();
            thread::yield_now();
        }
        self.rcu.blocking_drain();
        let (created, dropped) = (self.ledger.created(), self.ledger.dropped());
        // The elements in the cells are alive as long as the cells.
        board.expect(created == dropped + CELLS as u64, || {
            format!(
                "domain {name}: {created} elements were made and {dropped} were dropped, but only \
                 the {CELLS} in cells may be alive"
            )
        });
        let stats = self.rcu.stats();
        board.expect(stats.queued == stats.finished, || {
            format!(
                "domain {name}: {} callbacks were queued, but {} finished",
                stats.queued, stats.finished
            )
        });
        board.expect(stats.panicked == 0 && stats.cancelled == 0, || {
            let (panicked, cancelled) = (stats.panicked, stats.cancelled);
            format!("domain {name}: {panicked} callbacks panicked, {cancelled} were cancelled")
        });
        board.expect(stats.owned_guards == 0 && stats.oldest_section.is_none(), || {
            format!(
                "domain {name}: at the end {} owned guards are held, and the oldest section \
                     is {:?}",
                stats.owned_guards, stats.oldest_section
            )
        });
    }
}

impl Pipe for World {
    fn name(&self) -> &'static str {
        self.name
    }

    fn passed(&self) -> u64 {
        self.ledger.passed()
    }

    /// Counts the elements that the library has, and the elements that the library lost: all in
    /// the pipe that are not kept here.
    fn given_away(&self) -> u64 {
        let kept = self.kept().len() as u64;
        self.ledger.in_pipe().saturating_sub(kept)
    }

    fn stats(&self) -> Stats {
        self.rcu.stats()
    }
}

/// Makes a spawner like one of another runtime: a thread that runs one future after another, and
/// ends when the spawner is dropped.
fn a_spawner() -> Result<impl Spawn + Send + Sync + 'static, std::io::Error> {
    struct ToThread(mpsc::Sender<FutureObj<'static, ()>>);

    impl Spawn for ToThread {
        fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            self.0.send(future).map_err(|_| SpawnError::shutdown())
        }
    }

    let (spawner, futures) = mpsc::channel();
    thread::Builder::new().name("spawner".into()).spawn(move || {
        for future in futures {
            futures::executor::block_on(future);
        }
    })?;
    Ok(ToThread(spawner))
}
