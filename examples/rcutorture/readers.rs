//! Every way to read, and to stay in a section.

use super::element::Element;
use super::random::Random;
use super::run::Tally;
use super::world::World;
use async_rcu::{Guard, RcuRef, cell::OwnedRcuRef};
use futures::FutureExt;
use futures::future::{Either, select};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use std::{hint, thread};

/// The largest number of owned guards that one reader holds at once; they need many blocks of
/// words.
const CROWD: usize = 300;

/// A section that another thread has to end.
pub(super) type Parcel = Box<dyn FnOnce() + Send>;

/// The channel to the thread that ends the sections of others.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere(SyncSender<Parcel>);

impl Elsewhere {
    pub(super) fn new() -> (Self, Receiver<Parcel>) {
        let (send, parcels) = sync_channel(256);
        (Self(send), parcels)
    }

    /// Sends a parcel to that thread. If too many parcels wait there, opens it here.
    pub(super) fn send(&self, parcel: Parcel) {
        if let Err(error) = self.0.try_send(parcel) {
            use std::sync::mpsc::TrySendError::{Disconnected, Full};
            let (Full(parcel) | Disconnected(parcel)) = error;
            parcel();
        }
    }
}

/// Returns the current element of some cell or slot.
fn some_element<'g>(world: &World, random: &mut Random, guard: &'g impl Guard) -> &'g Element {
    if random.one_in(2) {
        random.pick(&world.cells).load(guard)
    } else {
        // SAFETY: the callers' guards are of this world's domain: with another guard the other
        // branch panics. Slots are emptied after all readers have ended.
        unsafe { random.pick(&world.slots).load(guard) }
    }
}

/// Spends some time in a section.
pub(super) fn stay(random: &mut Random) {
    match random.below(64) {
        0 => thread::yield_now(),
        1 => thread::sleep(Duration::from_micros(random.below(50) as u64)),
        n => {
            for _ in 0..n * 4 {
                hint::spin_loop();
            }
        }
    }
}

/// Looks at the element, stays, and looks again.
fn dwell(element: &Element, tally: &mut Tally, random: &mut Random) {
    let seen = element.look(tally);
    stay(random);
    element.last_look(seen, tally);
}

/// Reads once, in a random way.
pub(super) fn read(
    world: &Arc<World>,
    tally: &mut Tally,
    random: &mut Random,
    elsewhere: &Elsewhere,
) {
    match random.below(12) {
        0 => random.pick(&world.cells).with(|element| dwell(element, tally, random)),
        1 => dwell(&random.pick(&world.cells).read(), tally, random),
        2 => {
            let element = RcuRef::map(random.pick(&world.cells).read(), |element| element);
            dwell(&element, tally, random);
        }
        3 => dwell(&random.pick(&world.cells).read_owned(), tally, random),
        4 => {
            // Nested sections, left in the order of entering.
            let outer = world.rcu.read();
            let inner = world.rcu.read();
            let element = some_element(world, random, &inner);
            let seen = element.look(tally);
            drop(outer);
            stay(random);
            element.last_look(seen, tally);
            drop(inner);
        }
        5 => {
            let mut guard = world.rcu.read();
            for _ in 0..3 {
                dwell(some_element(world, random, &guard), tally, random);
                guard.refresh();
            }
        }
        6 => {
            // The drop of an inner guard does not end the section of the outer guard.
            let outer = world.rcu.read();
            let element = some_element(world, random, &outer);
            let seen = element.look(tally);
            let mut inner = world.rcu.read();
            stay(random);
            let refreshed = inner.refresh();
            world.run.board.expect(!refreshed, || "a guard inside another was refreshed");
            drop(inner);
            stay(random);
            element.last_look(seen, tally);
        }
        7 => {
            let mut guard = world.rcu.read_owned();
            for _ in 0..3 {
                dwell(some_element(world, random, &guard), tally, random);
                if guard.is_release_requested() || random.one_in(2) {
                    guard.refresh();
                }
            }
        }
        8 => {
            // The guard goes to another thread, which drops it.
            let element = random.pick(&world.cells).read_owned();
            let seen = element.look(tally);
            let run = Arc::clone(&world.run);
            elsewhere.send(Box::new(move || {
                element.last_look(seen, &mut Tally::of(&run));
                drop(element);
            }));
        }
        9 if random.one_in(16) => crowd(world, tally, random),
        _ => {
            let guard = world.rcu.read();
            let all: Vec<_> = (0..4)
                .map(|_| {
                    let element = some_element(world, random, &guard);
                    (element, element.look(tally))
                })
                .collect();
            stay(random);
            for (element, seen) in all {
                element.last_look(seen, tally);
            }
        }
    }
}

/// Holds many owned guards at once and drops them in any order. The words grow by blocks, and idle
/// blocks are parked.
fn crowd(world: &World, tally: &mut Tally, random: &mut Random) {
    let size = random.below(CROWD);
    let mut held: Vec<_> = (0..size)
        .map(|_| {
            let element = random.pick(&world.cells).read_owned();
            let seen = element.look(tally);
            (element, seen)
        })
        .collect();
    stay(random);
    while !held.is_empty() {
        let (element, seen) = held.swap_remove(random.below(held.len()));
        element.last_look(seen, tally);
        if random.one_in(64) {
            stay(random);
        }
    }
}

/// Lets other tasks and threads run.
async fn stay_async(random: &mut Random) {
    match random.below(8) {
        0 => tokio::time::sleep(Duration::from_micros(random.below(500) as u64)).await,
        n => {
            for _ in 0..n {
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn dwell_async(element: &Element, tally: &mut Tally, random: &mut Random) {
    let seen = element.look(tally);
    stay_async(random).await;
    element.look_again(seen, tally);
    stay_async(random).await;
    element.last_look(seen, tally);
}

/// Reads once, and holds the guard across `.await`.
pub(super) async fn read_async(
    world: &Arc<World>,
    tally: &mut Tally,
    random: &mut Random,
    elsewhere: &Elsewhere,
) {
    match random.below(8) {
        0 => {
            let element = random.pick(&world.cells).read_owned();
            dwell_async(&element, tally, random).await;
        }
        1 => {
            let cell = random.pick(&world.cells);
            let mut element = cell.read_owned();
            for _ in 0..2 {
                dwell_async(&element, tally, random).await;
                OwnedRcuRef::reload(&mut element, cell);
            }
        }
        2 => {
            // The guard goes to another task, which drops it.
            let element = random.pick(&world.cells).read_owned();
            let seen = element.look(tally);
            let run = Arc::clone(&world.run);
            let other = tokio::spawn(async move {
                tokio::task::yield_now().await;
                element.last_look(seen, &mut Tally::of(&run));
                drop(element);
            });
            if random.one_in(2) {
                let ended = other.await;
                world.run.board.expect(ended.is_ok(), || "a task panicked");
            }
        }
        3 => {
            let mut guard = world.rcu.read_owned();
            for _ in 0..2 {
                dwell_async(some_element(world, random, &guard), tally, random).await;
                guard.refresh();
            }
        }
        4 => {
            let guards = [world.rcu.read_owned(), world.rcu.read_owned()];
            dwell_async(some_element(world, random, &guards[1]), tally, random).await;
        }
        5 => {
            // Stays until the guard is asked to leave, or until the reader has stayed long enough.
            let guard = world.rcu.read_owned();
            let element = some_element(world, random, &guard);
            let seen = element.look(tally);
            let enough = tokio::time::sleep(Duration::from_millis(random.below(4) as u64));
            match select(guard.release_requested(), std::pin::pin!(enough)).await {
                // A force or a stall asked the guard to leave. The guard may stay a little longer.
                Either::Left(((), _)) => tokio::task::yield_now().await,
                Either::Right(((), asked)) => drop(asked.now_or_never()),
            }
            element.last_look(seen, tally);
        }
        6 if random.one_in(8) => {
            let size = random.below(CROWD);
            let held: Vec<_> = (0..size)
                .map(|_| {
                    let element = random.pick(&world.cells).read_owned();
                    let seen = element.look(tally);
                    (element, seen)
                })
                .collect();
            stay_async(random).await;
            for (element, seen) in held {
                element.last_look(seen, tally);
            }
        }
        _ => read(world, tally, random, elsewhere),
    }
}
