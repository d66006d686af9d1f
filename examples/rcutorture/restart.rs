//! One thread stops the domain's threads while another thread makes a request. A request at that
//! moment must not be lost.
//!
//! The two threads go through rounds with one request each: a later request would wake the
//! grace-period thread and hide the lost one.

use super::element::Removed;
use super::latency::Kind;
use super::random::Random;
use super::world::World;
use std::hint;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

const STREAM: u64 = 1 << 25;

/// Spins for a random time, so that neither thread is always first.
fn spin(random: &mut Random) {
    for _ in 0..random.below(2_000) {
        hint::spin_loop();
    }
}

/// Stops the domain's threads once in each round, until the run is over.
pub(super) fn stop(world: &Arc<World>, rounds: &mpsc::Sender<()>, over: &Receiver<()>) {
    let mut random = world.run.random(STREAM);
    while world.run.goes_on() {
        let heard = rounds.send(()).is_ok();
        spin(&mut random);
        let waits = world.run.waits(world.name, Kind::Shutdown);
        world.rcu.blocking_shutdown();
        drop(waits);
        let _waits = world.run.waits_for(world.name, "a request during a shutdown", None);
        if !heard || over.recv().is_err() {
            return world.run.board.report("restart: the requesting thread is gone");
        }
    }
}

/// Makes a request once in each round.
pub(super) fn request(world: &Arc<World>, rounds: Receiver<()>, over: &mpsc::Sender<()>) {
    let mut random = world.run.random(STREAM + 1);
    for () in rounds {
        world.run.updated();
        let old = random.pick(&world.slots).replace(world.element());
        spin(&mut random);
        if let Some(old) = fulfil(world, old, &mut random) {
            // The pipe is not used here: its callbacks would wake the domain's threads again and
            // again.
            // SAFETY: the request waited for a grace period that began after the removal.
            unsafe { old.free() }
        }
        if over.send(()).is_err() {
            return;
        }
    }
}

fn fulfil(world: &Arc<World>, old: Removed, random: &mut Random) -> Option<Removed> {
    let rcu = &world.rcu;
    match random.below(4) {
        0 => {
            let _waits = world.run.waits(world.name, Kind::Synchronize);
            rcu.blocking_synchronize();
            Some(old)
        }
        1 => {
            let _waits = world.run.waits(world.name, Kind::Cookie);
            futures::executor::block_on(rcu.wait_for(rcu.start_grace_period()));
            Some(old)
        }
        _ => {
            let (send, ran) = mpsc::channel();
            let _waits = world.run.waits(world.name, Kind::Call);
            rcu.call(move || drop(send.send(old)));
            let ran = ran.recv();
            world.run.board.expect(
                ran.is_ok(),
                || "restart: the library dropped a callback without running it",
            );
            ran.ok()
        }
    }
}
