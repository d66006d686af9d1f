//! A domain under torture, and what is in it: one on each kind of executor.

use super::element::{Element, Ledger, Removed, Slot};
use super::run::Run;
use async_rcu::{
    Batch, Builder, ChannelExecutor, GlobalLock, GracePeriod, InlineExecutor, Rcu, RcuCell,
    SpawnExecutor, WorkerThread,
};
use futures::StreamExt;
use futures::task::{FutureObj, Spawn, SpawnError};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;

const CELLS: usize = 4;

/// So many elements may wait for being freed before updaters wait for them too.
const BACKLOG: u64 = 5_000;

/// The limit of the domain that has one.
const MAX_PENDING: usize = 1_000;

/// See [`watch`](super::watch).
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
    /// Callbacks of one thread run in the order in which it queued them.
    pub(super) in_order: bool,
    pub(super) runtime: Handle,
    /// Elements whose grace periods were asked for by number.
    kept: Mutex<VecDeque<(GracePeriod, Removed)>>,
}

/// Executors that keep the order, by the names of their domains.
const IN_ORDER: [&str; 3] = ["worker", "inline", "locked"];

impl World {
    /// A domain on each kind of executor.
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
        let builders: [(&'static str, Builder); 7] = [
            (
                "worker",
                with().executor(WorkerThread).max_pending(MAX_PENDING),
            ),
            (
                "inline",
                with()
                    .executor(InlineExecutor)
                    .batch_interval(Duration::ZERO),
            ),
            ("runtime", with().executor(runtime.clone())),
            ("spawn", with().executor(SpawnExecutor::new(a_spawner()?))),
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
            slots: (0..CELLS)
                .map(|_| Slot::new(Element::new(&ledger)))
                .collect(),
            rcu,
            run: Arc::clone(run),
            lock: lock.clone(),
            ledger,
            in_order: IN_ORDER.contains(&name),
            runtime: runtime.clone(),
            kept: Mutex::new(VecDeque::new()),
        });
        run.watch.look_after(&world);
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

    /// Until somebody finds that the grace period has elapsed.
    pub(super) fn keep(&self, until: GracePeriod, removed: Removed) {
        self.kept().push_back((until, removed));
    }

    /// Elements that the library has, or had last and nobody heard of since: in the pipe and not kept here.
    pub(super) fn given_away(&self) -> u64 {
        let kept = self.kept().len() as u64;
        self.ledger.in_pipe().saturating_sub(kept)
    }

    pub(super) fn oldest_kept(&self) -> Option<(GracePeriod, Removed)> {
        self.kept().pop_front()
    }

    /// Elements whose grace periods have elapsed, from the old end.
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

    /// Frees what is left, and looks whether the books balance. Nobody reads or updates any more.
    pub(super) fn finish(self: &Arc<Self>) {
        let board = &self.run.board;
        let name = self.name;
        for slot in &self.slots {
            self.pass_on(slot.empty());
        }
        // Every round ends a stage of every element, at the least; a pipe that is stuck is the watchdog's.
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
        // The cells' own are alive: the worlds, and so the cells, live on.
        board.expect(created == dropped + CELLS as u64, || {
            format!(
                "domain {name}: {created} elements made, {dropped} dropped, {CELLS} to be alive"
            )
        });
        let stats = self.rcu.stats();
        board.expect(stats.queued == stats.finished, || {
            format!(
                "domain {name}: {} callbacks queued, {} finished",
                stats.queued, stats.finished
            )
        });
        board.expect(stats.panicked == 0 && stats.cancelled == 0, || {
            let (panicked, cancelled) = (stats.panicked, stats.cancelled);
            format!("domain {name}: {panicked} callbacks panicked, {cancelled} were cancelled")
        });
        board.expect(
            stats.owned_guards == 0 && stats.oldest_section.is_none(),
            || {
                format!(
                    "domain {name}: {} owned guards are left, or a section",
                    stats.owned_guards
                )
            },
        );
    }
}

/// A spawner as some other runtime may have it: a thread that ends with it, and runs one future after another.
fn a_spawner() -> Result<impl Spawn + Send + Sync + 'static, std::io::Error> {
    struct ToThread(mpsc::Sender<FutureObj<'static, ()>>);

    impl Spawn for ToThread {
        fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            self.0.send(future).map_err(|_| SpawnError::shutdown())
        }
    }

    let (spawner, futures) = mpsc::channel();
    thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for future in futures {
                futures::executor::block_on(future);
            }
        })?;
    Ok(ToThread(spawner))
}
