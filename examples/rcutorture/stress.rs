//! The torture: all kinds of readers and updaters at once, on every kind of executor.

use super::crew::Crew;
use super::random::Random;
use super::readers::{Elsewhere, Parcel, read, read_async};
use super::run::{Run, Tally};
use super::updaters::{Promise, Updater};
use super::world::World;
use super::{late_stores, pair, restart};
use async_rcu::OwnedReadGuard;
use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The numbers of threads, tasks and runtime workers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixture {
    pub(super) threads: u32,
    pub(super) tasks: u32,
    pub(super) workers: usize,
}

type Worlds = Arc<[Arc<World>]>;

/// The first random stream of each kind of threads, far enough apart that no two kinds overlap.
const TASKS: u64 = 1 << 20;
const CHURN: u64 = 1 << 21;
const HOGS: u64 = 1 << 22;

/// Late stores take one part in `LATE` of the time, and at most `LATE_MOST`.
const LATE: u32 = 4;
const LATE_MOST: Duration = Duration::from_secs(60);

pub(super) fn runtime(workers: usize) -> Result<Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

/// The domains under torture.
pub(super) struct Stress {
    runtime: Runtime,
    worlds: Worlds,
    /// A domain of two threads, one of two tasks, and one of two threads of which one stops it
    /// again and again.
    quiet: [Arc<World>; 3],
    duel: late_stores::Duel,
}

impl Stress {
    pub(super) fn new(run: &Arc<Run>, mixture: Mixture) -> Result<Self, Box<dyn Error>> {
        let runtime = runtime(mixture.workers)?;
        let worlds: Worlds = World::one_of_each(run, runtime.handle())?.into();
        let quiet = |name| pair::quiet(name, run, runtime.handle());
        let quiet = [quiet("pair")?, quiet("tasks")?, quiet("restart")?];
        let duel = late_stores::Duel::new()?;
        Ok(Self { runtime, worlds, quiet, duel })
    }

    pub(super) fn domains(&self) -> Vec<async_rcu::Rcu> {
        let worlds = self.worlds.iter().chain(&self.quiet);
        let duel = self.duel.rcu().clone();
        worlds.map(|world| world.rcu.clone()).chain([duel]).collect()
    }

    /// Runs until `wait` returns, then runs late stores for a while, and waits for all to end.
    pub(super) fn run(&self, run: &Arc<Run>, mixture: Mixture, wait: impl Fn(Instant)) {
        let (worlds, time) = (&self.worlds, Duration::from_secs(run.args.seconds));
        let began = Instant::now();
        let late = (time / LATE).min(LATE_MOST);
        let (elsewhere, parcels) = Elsewhere::new();
        let tasks = self.tasks(run, mixture.tasks, &elsewhere);
        let [pair, in_tasks, restart] = &self.quiet;
        let on = self.runtime.handle();
        let task_pair = [
            on.spawn(pair::read_async(Arc::clone(in_tasks))),
            on.spawn(pair::update_async(Arc::clone(in_tasks))),
        ];
        let (round, rounds) = channel();
        let (done, over) = channel();
        thread::scope(|scope| {
            let mut attic = Crew::new(scope, run);
            attic.start("elsewhere", || end_sections(parcels));
            let mut crew = Crew::new(scope, run);
            for number in 0..mixture.threads {
                let (random, elsewhere) = (run.random(u64::from(number)), elsewhere.clone());
                crew.start("mixture", move || {
                    thread_body(worlds, random, &elsewhere, || run.goes_on());
                });
            }
            let churning = elsewhere.clone();
            crew.start("churn", move || churn(worlds, run, &churning));
            let leaving = elsewhere.clone();
            crew.start("pair-reader", move || pair::read(pair, &leaving));
            crew.start("pair-updater", || pair::update(pair));
            crew.start("stopper", move || restart::stop(restart, &round, &over));
            crew.start("requester", move || restart::request(restart, rounds, &done));
            for hog in 0..run.args.hogs {
                crew.start("hog", move || be_a_hog(run, hog));
            }
            wait(began + time - late);
            run.stop();
            crew.join();
            self.runtime.block_on(async {
                for task in tasks.into_iter().chain(task_pair) {
                    let ended = task.await;
                    run.board.expect(ended.is_ok(), || "a task panicked");
                }
            });
            drop(elsewhere);
            attic.join();
        });
        if run.board.errors() == 0 {
            self.duel.run(run, &wait, late);
        }
        for world in worlds.iter().chain(&self.quiet) {
            world.finish();
        }
    }

    fn tasks(&self, run: &Arc<Run>, tasks: u32, elsewhere: &Elsewhere) -> Vec<JoinHandle<()>> {
        let spawn = |number| {
            let random = run.random(TASKS + u64::from(number));
            let worlds = Arc::clone(&self.worlds);
            self.runtime.spawn(task_body(worlds, random, elsewhere.clone(), Arc::clone(run)))
        };
        (0..tasks).map(spawn).collect()
    }
}

/// Runs a mixture of all operations on a thread as long as `go_on` returns true.
fn thread_body(
    worlds: &[Arc<World>],
    mut random: Random,
    elsewhere: &Elsewhere,
    mut go_on: impl FnMut() -> bool,
) {
    let Some(first) = worlds.first() else { return };
    let mut tally = Tally::of(&first.run);
    let mut updater = Updater::default();
    while go_on() {
        let world = random.pick(worlds);
        if random.one_in(4) {
            updater.update(world, &mut random);
        } else {
            read(world, &mut tally, &mut random, elsewhere);
        }
    }
}

async fn task_body(worlds: Worlds, mut random: Random, elsewhere: Elsewhere, run: Arc<Run>) {
    let mut tally = Tally::of(&run);
    let mut updater = Updater::default();
    while run.goes_on() {
        let world = random.pick(&worlds);
        if random.one_in(4) {
            updater.update_async(world, &mut random).await;
        } else {
            read_async(world, &mut tally, &mut random, &elsewhere).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Ends the sections that other threads began.
fn end_sections(parcels: Receiver<Parcel>) {
    parcels.into_iter().for_each(|parcel| parcel());
}

/// The work that a thread does while its thread-local values are dropped, before or after the
/// library drops its own.
#[derive(Debug)]
struct LastWill {
    world: Arc<World>,
    guard: Option<OwnedReadGuard>,
}

impl Drop for LastWill {
    fn drop(&mut self) {
        let mut tally = Tally::of(&self.world.run);
        let mut random = self.world.run.random(self.world.ledger.created());
        let section = self.world.rcu.read();
        let element = random.pick(&self.world.cells).load(&section);
        let seen = element.look(&tally);
        if let Some(slot) = self.world.slots.first() {
            self.world.pass_on(slot.replace(self.world.element()));
        }
        element.last_look(seen, &mut tally);
        drop(section);
        drop(self.guard.take());
    }
}

thread_local! {
    static LAST_WILL: RefCell<Option<LastWill>> = const { RefCell::new(None) };
}

/// Starts threads that register, work a little, and end while their callbacks are pending. No
/// callback may be lost.
fn churn(worlds: &Worlds, run: &Arc<Run>, elsewhere: &Elsewhere) {
    let mut random = run.random(CHURN);
    while run.goes_on() {
        let world = Arc::clone(random.pick(worlds));
        let (worlds, elsewhere) = (Arc::clone(worlds), elsewhere.clone());
        let (mut theirs, mut left) = (run.random(random.next()), random.below(30));
        let last = Arc::clone(&world);
        let short = thread::Builder::new().name("short".into()).spawn(move || {
            // Values are dropped in reverse order: a will made before the thread registers is
            // dropped after the library's records, and one made later before them.
            let early = theirs.one_in(2);
            let will = |guard| Some(LastWill { world: Arc::clone(&last), guard });
            if early {
                LAST_WILL.replace(will(None));
            }
            thread_body(&worlds, theirs, &elsewhere, || {
                left = left.saturating_sub(1);
                left != 0
            });
            if !early {
                LAST_WILL.replace(will(Some(last.rcu.read_owned())));
            }
            Promise::make(&last, &mut theirs)
        });
        let short = match short {
            Ok(short) => short,
            Err(error) => {
                let what = format_args!("a short-lived thread could not be started: {error}");
                return run.board.report(what);
            }
        };
        let waits = run.waits_for(world.name, "a short-lived thread", None);
        let promise = short.join();
        drop(waits);
        match promise {
            Err(_) => run.board.report("a short-lived thread panicked"),
            Ok(promise) => {
                if random.one_in(4) {
                    let _waits = run.waits_for(world.name, "drain", None);
                    world.rcu.blocking_drain();
                    promise.check(&world);
                }
            }
        }
    }
}

/// Takes a processor in bursts.
fn be_a_hog(run: &Arc<Run>, number: u32) {
    let mut random = run.random(HOGS + u64::from(number));
    while run.goes_on() {
        let burst = Duration::from_millis(random.below(30) as u64);
        let began = Instant::now();
        while began.elapsed() < burst {
            std::hint::spin_loop();
        }
        thread::sleep(Duration::from_millis(random.below(30) as u64));
    }
}
