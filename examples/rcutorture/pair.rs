//! One reader and one updater, alone in their domain. No other thread hides a lost wake-up there.
//!
//! In the busy domains, another request wakes the grace-period thread at once. Here the
//! grace-period thread sleeps on this reader's section or because it has no work, and only the
//! wake-up under test ends its sleep. There is a pair of threads and a pair of tasks.

use super::element::Removed;
use super::latency::Kind;
use super::random::Random;
use super::readers::Elsewhere;
use super::run::{Run, Tally};
use super::updaters::Promise;
use super::world::{NO_STALLS, World};
use async_rcu::{GlobalLock, Rcu, error::BuildError};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const STREAM: u64 = 1 << 23;

/// Makes a domain with few operations.
pub(super) fn quiet(
    name: &'static str,
    run: &Arc<Run>,
    runtime: &Handle,
) -> Result<Arc<World>, BuildError> {
    let rcu = Rcu::builder().name(name).stall_timeout(NO_STALLS).build()?;
    Ok(World::new(name, rcu, run, &GlobalLock::new(0), runtime))
}

/// Returns a pause that is long enough for the domain's threads to fall asleep.
fn pause(random: &mut Random) -> Duration {
    let most = match random.below(64) {
        0 => 3_000,
        1..=16 => 200,
        _ => 20,
    };
    Duration::from_micros(random.below(most) as u64)
}

pub(super) fn read(world: &Arc<World>, elsewhere: &Elsewhere) {
    let mut random = world.run.random(STREAM);
    let mut tally = Tally::of(&world.run);
    while world.run.goes_on() {
        if random.one_in(2) {
            // This thread has two sections. Another thread ends one of them. Both may end at the
            // same time.
            let (guard, pause) = (world.rcu.read_owned(), pause(&mut random));
            elsewhere.send(Box::new(move || {
                thread::sleep(pause);
                drop(guard);
            }));
        }
        let guard = world.rcu.read();
        let element = random.pick(&world.cells).load(&guard);
        let seen = element.look(&tally);
        thread::sleep(pause(&mut random));
        element.last_look(seen, &mut tally);
        drop(guard);
        if random.one_in(2) {
            thread::sleep(pause(&mut random));
        }
    }
}

pub(super) async fn read_async(world: Arc<World>) {
    let mut random = world.run.random(STREAM + 1);
    let mut tally = Tally::of(&world.run);
    while world.run.goes_on() {
        let guard = world.rcu.read_owned();
        let element = random.pick(&world.cells).load(&guard);
        let seen = element.look(&tally);
        tokio::time::sleep(pause(&mut random)).await;
        element.last_look(seen, &mut tally);
        drop(guard);
        if random.one_in(2) {
            tokio::time::sleep(pause(&mut random)).await;
        }
    }
}

fn remove(world: &World, random: &mut Random) -> Removed {
    random.pick(&world.slots).replace(world.element())
}

pub(super) fn update(world: &Arc<World>) {
    let mut random = world.run.random(STREAM + 2);
    while world.run.goes_on() {
        world.run.updated();
        let old = remove(world, &mut random);
        match random.below(8) {
            0..=2 => {
                let waits = world.run.waits(world.name, Kind::Synchronize);
                world.rcu.blocking_synchronize();
                drop(waits);
                // SAFETY: a grace period has elapsed since the element was removed.
                unsafe { world.elapsed(old) }
            }
            3 | 4 => {
                // Waits for the callback itself: a drain would force the grace period.
                let (send, ran) = mpsc::channel();
                let waits = world.run.waits(world.name, Kind::Call);
                world.rcu.call(move || drop(send.send(old)));
                let ran = ran.recv();
                drop(waits);
                match ran {
                    // SAFETY: the callback sent the element back after a grace period.
                    Ok(old) => unsafe { world.elapsed(old) },
                    Err(_) => {
                        world.run.board.report("the library dropped a callback without running it")
                    }
                }
            }
            5 => {
                world.pass_on(old);
                let promise = Promise::make(world, &mut random);
                let waits = world.run.waits(world.name, Kind::Drain);
                world.rcu.blocking_drain();
                drop(waits);
                promise.check(world);
            }
            6 => {
                world.pass_on(old);
                let _waits = world.run.waits(world.name, Kind::Shutdown);
                world.rcu.blocking_shutdown();
            }
            _ => world.pass_on(old),
        }
        if random.one_in(2) {
            thread::sleep(pause(&mut random));
        }
        wait_for_kept(world);
    }
}

/// Waits for the kept elements: no other thread looks at them here.
fn wait_for_kept(world: &Arc<World>) {
    while let Some((cookie, old)) = world.oldest_kept() {
        let waits = world.run.waits(world.name, Kind::Cookie);
        futures::executor::block_on(world.rcu.wait_for(cookie));
        drop(waits);
        // SAFETY: the cookie has elapsed, and was taken after the element was removed or passed on.
        unsafe { world.elapsed(old) }
    }
}

async fn wait_for_kept_async(world: &Arc<World>) {
    while let Some((cookie, old)) = world.oldest_kept() {
        let waits = world.run.waits(world.name, Kind::Cookie);
        world.rcu.wait_for(cookie).await;
        drop(waits);
        // SAFETY: as above.
        unsafe { world.elapsed(old) }
    }
}

pub(super) async fn update_async(world: Arc<World>) {
    let mut random = world.run.random(STREAM + 3);
    while world.run.goes_on() {
        world.run.updated();
        let old = remove(&world, &mut random);
        match random.below(4) {
            0 | 1 => {
                let waits = world.run.waits(world.name, Kind::Synchronize);
                world.rcu.synchronize().await;
                drop(waits);
                // SAFETY: a grace period has elapsed since the element was removed.
                unsafe { world.elapsed(old) }
            }
            2 => {
                let (send, ran) = oneshot::channel();
                let waits = world.run.waits(world.name, Kind::Call);
                world.rcu.call_async(async move { drop(send.send(old)) });
                let ran = ran.await;
                drop(waits);
                match ran {
                    // SAFETY: the async callback sent the element back after a grace period.
                    Ok(old) => unsafe { world.elapsed(old) },
                    Err(_) => world
                        .run
                        .board
                        .report("the library dropped an async callback without running it"),
                }
            }
            _ => world.pass_on(old),
        }
        if random.one_in(2) {
            tokio::time::sleep(pause(&mut random)).await;
        }
        wait_for_kept_async(&world).await;
    }
}
