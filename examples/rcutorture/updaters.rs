//! Every way to replace an element and to wait. `pass` has the other ways through the pipe.

use super::element::{Element, Removed};
use super::latency::Kind;
use super::random::Random;
use super::readers::stay;
use super::run::Tally;
use super::world::{NO_STALLS, World};
use async_rcu::{GracePeriod, Rcu, RcuCell, Retired, cell::RetireOnDrop};
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Old elements that an updater leaves with the library, and asks for now and then.
#[derive(Debug, Default)]
pub(super) struct Updater {
    retired: Vec<(Arc<World>, Retired<Element>)>,
}

const KEPT: usize = 32;

/// A wait, in a form for updaters on threads and on tasks.
enum Wait {
    Nothing,
    Synchronize(Removed),
    /// The number of stages in a row.
    Stages(Removed, usize),
    Retired(Retired<Element>),
    Several(Vec<Retired<Element>>),
    Cookie(GracePeriod, Removed),
    Drain(Promise),
    Shutdown(Promise),
    LockAndDrain(Promise),
    Reserve(Removed),
}

/// Callbacks that must have run by the end of a drain.
pub(super) struct Promise {
    ran: Arc<AtomicU64>,
    queued: u64,
}

impl Promise {
    /// Queues some callbacks. If the domain keeps their order, the callbacks check it.
    pub(super) fn make(world: &Arc<World>, random: &mut Random) -> Self {
        let ran = Arc::new(AtomicU64::new(0));
        let queued = random.below(8) as u64;
        for number in 0..queued {
            let (ran, world_) = (Arc::clone(&ran), Arc::clone(world));
            world.rcu.call(move || {
                let before = ran.fetch_add(1, Ordering::AcqRel);
                world_.run.board.expect(!world_.in_order || before == number, || {
                    format!(
                        "domain {}: callback {number} of a thread ran as number {before}",
                        world_.name
                    )
                });
            });
        }
        Self { ran, queued }
    }

    /// Checks the callbacks after the drain.
    pub(super) fn check(&self, world: &World) {
        let ran = self.ran.load(Ordering::Acquire);
        let queued = self.queued;
        world.run.board.expect(ran == queued, || {
            format!(
                "domain {}: a drain is over, but only {ran} of the {queued} callbacks before it \
                 have run",
                world.name
            )
        });
    }
}

/// Swaps as `RcuCell::swap` does, and marks the old element as removed.
fn swap(cell: &RcuCell<Element>, world: &World) -> Retired<Element> {
    let old = cell.swap(world.element());
    old.remove();
    old
}

fn reclaimed(world: &Arc<World>, element: Box<Element>) {
    if let Some(removed) = Removed::reclaimed(element) {
        world.pass_on(removed);
    }
}

impl Updater {
    /// Does one update on a thread.
    pub(super) fn update(&mut self, world: &Arc<World>, random: &mut Random) {
        let (rcu, run, name) = (&world.rcu, &world.run, world.name);
        match self.begin(world, random) {
            Wait::Nothing => {}
            Wait::Synchronize(old) => {
                let waits = run.waits(name, Kind::Synchronize);
                rcu.blocking_synchronize();
                drop(waits);
                // SAFETY: a grace period has elapsed since the element was removed.
                unsafe { world.elapsed(old) }
            }
            Wait::Stages(old, stages) => {
                let mut old = Some(old);
                for _ in 0..stages {
                    let _waits = run.waits(name, Kind::Synchronize);
                    rcu.blocking_synchronize();
                    // SAFETY: another grace period has elapsed.
                    old = old.and_then(|old| unsafe { old.elapsed() });
                }
                if let Some(old) = old {
                    world.pass_on(old);
                }
            }
            Wait::Retired(old) => {
                let waits = run.waits(name, Kind::Reclaim);
                let old = old.blocking_wait();
                drop(waits);
                reclaimed(world, old);
            }
            Wait::Several(all) => {
                let waits = run.waits(name, Kind::Reclaim);
                let all = futures::executor::block_on(rcu.reclaim_all(all));
                drop(waits);
                all.into_iter().for_each(|old| reclaimed(world, old));
            }
            Wait::Cookie(cookie, old) => {
                let waits = run.waits(name, Kind::Cookie);
                futures::executor::block_on(rcu.wait_for(cookie));
                drop(waits);
                // SAFETY: the cookie has elapsed, and was taken after the element was removed or
                // passed on.
                unsafe { world.elapsed(old) }
            }
            Wait::Drain(promise) => {
                let waits = run.waits(name, Kind::Drain);
                rcu.blocking_drain();
                drop(waits);
                promise.check(world);
            }
            Wait::Shutdown(promise) => {
                let waits = run.waits(name, Kind::Shutdown);
                rcu.blocking_shutdown();
                drop(waits);
                promise.check(world);
            }
            Wait::LockAndDrain(promise) => {
                let guard = world.lock.blocking_lock();
                let waits = run.waits(name, Kind::Lock);
                let mut guard = guard.blocking_drain(rcu);
                drop(waits);
                *guard += 1;
                drop(guard);
                promise.check(world);
            }
            Wait::Reserve(old) => {
                let waits = run.waits(name, Kind::Reserve);
                let permit = futures::executor::block_on(rcu.reserve());
                drop(waits);
                let world = Arc::clone(world);
                // SAFETY: a callback runs after a grace period that starts after the call.
                permit.call(move || unsafe { world.elapsed(old) });
            }
        }
    }

    /// Does one update on a task.
    pub(super) async fn update_async(&mut self, world: &Arc<World>, random: &mut Random) {
        let (rcu, run, name) = (&world.rcu, &world.run, world.name);
        match self.begin(world, random) {
            Wait::Nothing => {}
            Wait::Synchronize(old) => {
                if random.one_in(8) {
                    // A wait that is begun and given up must not harm another one.
                    let _ = rcu.synchronize().now_or_never();
                }
                let waits = run.waits(name, Kind::Synchronize);
                rcu.synchronize().await;
                drop(waits);
                // SAFETY: a grace period has elapsed since the element was removed.
                unsafe { world.elapsed(old) }
            }
            Wait::Stages(old, stages) => {
                let mut old = Some(old);
                for _ in 0..stages {
                    let _waits = run.waits(name, Kind::Synchronize);
                    rcu.synchronize().await;
                    // SAFETY: another grace period has elapsed.
                    old = old.and_then(|old| unsafe { old.elapsed() });
                }
                if let Some(old) = old {
                    world.pass_on(old);
                }
            }
            Wait::Retired(old) => {
                let waits = run.waits(name, Kind::Reclaim);
                let old = old.wait().await;
                drop(waits);
                reclaimed(world, old);
            }
            Wait::Several(all) => {
                let waits = run.waits(name, Kind::Reclaim);
                let all = rcu.reclaim_all(all).await;
                drop(waits);
                all.into_iter().for_each(|old| reclaimed(world, old));
            }
            Wait::Cookie(cookie, old) => {
                let waits = run.waits(name, Kind::Cookie);
                rcu.wait_for(cookie).await;
                drop(waits);
                // SAFETY: the cookie has elapsed, and was taken after the element was removed or
                // passed on.
                unsafe { world.elapsed(old) }
            }
            Wait::Drain(promise) => {
                if random.one_in(8) {
                    let _ = rcu.drain().now_or_never();
                }
                let waits = run.waits(name, Kind::Drain);
                rcu.drain().await;
                drop(waits);
                promise.check(world);
            }
            Wait::Shutdown(promise) => {
                let waits = run.waits(name, Kind::Shutdown);
                rcu.shutdown().await;
                drop(waits);
                promise.check(world);
            }
            Wait::LockAndDrain(promise) => {
                let guard = world.lock.lock().await;
                let waits = run.waits(name, Kind::Lock);
                let guard = guard.drain(rcu).await;
                drop(waits);
                promise.check(world);
                *guard.synchronize(rcu).await += 1;
            }
            Wait::Reserve(old) => {
                let waits = run.waits(name, Kind::Reserve);
                let permit = rcu.reserve().await;
                drop(waits);
                let world = Arc::clone(world);
                permit.call_async(async move {
                    tokio::task::yield_now().await;
                    // SAFETY: the future is polled after a grace period that starts after the call.
                    unsafe { world.elapsed(old) }
                });
            }
        }
    }

    /// Replaces an element, and hands the old one over or returns what to wait for.
    fn begin(&mut self, world: &Arc<World>, random: &mut Random) -> Wait {
        world.run.updated();
        if world.is_behind() {
            pass_kept(world);
            return Wait::Drain(Promise::make(world, random));
        }
        let rcu = &world.rcu;
        let cell = random.pick(&world.cells);
        match random.below(32) {
            0 => cell.store(world.element()),
            1 => drop(cell.swap(world.element())),
            2 => drop(cell.update(|_| world.element())),
            3 => {
                let give_up = random.one_in(2);
                let tried = cell.try_update(|_| match give_up {
                    true => Err(()),
                    false => Ok(world.element()),
                });
                drop(tried);
            }
            4 => return Wait::Retired(swap(cell, world)),
            5 => {
                let old = world.cells.iter().map(|cell| swap(cell, world));
                return Wait::Several(old.collect());
            }
            6 | 7 => {
                self.retired.push((Arc::clone(world), swap(cell, world)));
                self.try_take_retired();
            }
            8..=10 => return Wait::Synchronize(replace(world, random)),
            11 => return Wait::Stages(replace(world, random), 3),
            12 => {
                let old = replace(world, random);
                let cookie = match random.one_in(2) {
                    true => rcu.start_grace_period(),
                    false => rcu.grace_period(),
                };
                return Wait::Cookie(cookie, old);
            }
            13 => {
                if let Some((cookie, old)) = world.oldest_kept() {
                    return Wait::Cookie(cookie, old);
                }
            }
            14 | 15 => pass_kept(world),
            16 => rcu.force(),
            17 if random.one_in(4) => return Wait::Drain(Promise::make(world, random)),
            18 if random.one_in(16) => return Wait::Shutdown(Promise::make(world, random)),
            19 if random.one_in(16) => return Wait::LockAndDrain(Promise::make(world, random)),
            20 => {
                let shared = Arc::new(RetireOnDrop::new_in(rcu, world.element()));
                drop(Arc::clone(&shared));
                drop(shared);
            }
            21 => return Wait::Reserve(replace(world, random)),
            22 => {
                let run = Arc::clone(&world.run);
                let called = Instant::now();
                rcu.call(move || run.latencies.record(Kind::Call, called.elapsed()));
            }
            23 if random.one_in(32) => short_life(world, random),
            _ => world.pass_on(replace(world, random)),
        }
        Wait::Nothing
    }

    fn try_take_retired(&mut self) {
        let retired = std::mem::take(&mut self.retired);
        for (world, old) in retired {
            match old.try_take() {
                Ok(old) => reclaimed(&world, old),
                // Elements above the limit are dropped, and freed after a grace period.
                Err(old) if self.retired.len() < KEPT => self.retired.push((world, old)),
                Err(old) => drop(old),
            }
        }
    }
}

fn pass_kept(world: &Arc<World>) {
    for old in world.elapsed_kept() {
        // SAFETY: the cookie has elapsed, and was taken after the element was removed or passed on.
        unsafe { world.elapsed(old) }
    }
}

fn replace(world: &World, random: &mut Random) -> Removed {
    random.pick(&world.slots).replace(world.element())
}

/// Makes, uses and drops a domain while its callbacks are queued and a section is open. The
/// callbacks run all the same, and the memory of the domain is used again.
fn short_life(world: &Arc<World>, random: &mut Random) {
    let Ok(rcu) = Rcu::builder().stall_timeout(NO_STALLS).build() else {
        return world.run.board.report("a short-lived domain could not be built");
    };
    let mut tally = Tally::of(&world.run);
    let cell = RcuCell::new_in(&rcu, world.element());
    let guard = rcu.read_owned();
    let element = cell.load(&guard);
    let seen = element.look(&tally);
    drop(swap(&cell, world));
    let removed = replace(world, random);
    let other = Arc::clone(world);
    // A grace period of this domain says nothing about the other domain. So the element begins at
    // age 1 there.
    rcu.call(move || other.pass_on(removed));
    drop(cell);
    drop(rcu);
    stay(random);
    element.last_look(seen, &mut tally);
    drop(guard);
}
