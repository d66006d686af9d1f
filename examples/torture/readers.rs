//! Every way to read, and to stay.

use super::Random;
use super::value::{Ledger, Value};
use super::world::World;
use async_rcu::{Guard, OwnedRcuRef, RcuRef};
use std::time::Duration;
use std::{hint, thread};

/// A value, looked at until it is let go.
struct Look<'a> {
    value: &'a Value,
    seen: super::value::Seen,
    ledger: &'a Ledger,
}

impl<'a> Look<'a> {
    fn at(value: &'a Value, ledger: &'a Ledger) -> Self {
        Ledger::add(&ledger.reads);
        let seen = value.look(ledger);
        Self {
            value,
            seen,
            ledger,
        }
    }

    fn again(&self) {
        self.value.look_again(self.seen, self.ledger);
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.again();
    }
}

/// Some cell's or slot's value, as the guard's section sees it.
fn some_value<'g>(world: &World, random: &mut Random, guard: &'g impl Guard) -> &'g Value {
    if random.one_in(2) {
        random.pick(&world.cells).load(guard)
    } else {
        // SAFETY: the callers' guards are of this world's domain; where they were not, the other branch would panic.
        unsafe { random.pick(&world.slots).load(guard) }
    }
}

/// Passes some time.
fn stay(random: &mut Random) {
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

/// One read, of some kind.
pub(super) fn read(world: &World, random: &mut Random) {
    let ledger = &*world.ledger;
    match random.below(9) {
        0 => random.pick(&world.cells).with(|value| {
            let _look = Look::at(value, ledger);
            stay(random);
        }),
        1 => {
            let value = random.pick(&world.cells).read();
            let _look = Look::at(&value, ledger);
            stay(random);
        }
        2 => {
            let value = RcuRef::map(random.pick(&world.cells).read(), |value| value);
            let _look = Look::at(&value, ledger);
            stay(random);
        }
        3 => {
            let value = random.pick(&world.cells).read_owned();
            let _look = Look::at(&value, ledger);
            stay(random);
        }
        4 => {
            // Nested, and left in the order of entering.
            let outer = world.rcu.read();
            let inner = world.rcu.read();
            let look = Look::at(some_value(world, random, &inner), ledger);
            drop(outer);
            stay(random);
            drop(look);
            drop(inner);
        }
        5 => {
            let mut guard = world.rcu.read();
            for _ in 0..3 {
                let look = Look::at(some_value(world, random, &guard), ledger);
                stay(random);
                drop(look);
                guard.refresh();
            }
        }
        6 => {
            // An inner guard does not end what the outer one protects.
            let outer = world.rcu.read();
            let look = Look::at(some_value(world, random, &outer), ledger);
            let mut inner = world.rcu.read();
            stay(random);
            assert!(!inner.refresh());
            stay(random);
            drop(inner);
            stay(random);
            look.again();
        }
        7 => {
            let mut guard = world.rcu.read_owned();
            for _ in 0..3 {
                let look = Look::at(some_value(world, random, &guard), ledger);
                stay(random);
                drop(look);
                guard.refresh();
            }
        }
        _ => {
            let guard = world.rcu.read();
            let looks: Vec<_> = (0..4)
                .map(|_| Look::at(some_value(world, random, &guard), ledger))
                .collect();
            stay(random);
            looks.iter().for_each(Look::again);
        }
    }
}

/// Lets others run, here or elsewhere.
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

/// One read that is held across `.await`.
pub(super) async fn read_async(world: &World, random: &mut Random) {
    let ledger = &*world.ledger;
    match random.below(6) {
        0 => {
            let value = random.pick(&world.cells).read_owned();
            let look = Look::at(&value, ledger);
            stay_async(random).await;
            look.again();
            stay_async(random).await;
        }
        1 => {
            let mut value = random.pick(&world.cells).read_owned();
            for _ in 0..2 {
                let look = Look::at(&value, ledger);
                stay_async(random).await;
                drop(look);
                value = random.pick(&world.cells).read_owned();
            }
        }
        2 => {
            // Goes to another task, and ends there.
            let value: OwnedRcuRef<Value> = random.pick(&world.cells).read_owned();
            let seen = value.look(ledger);
            let ledger = std::sync::Arc::clone(&world.ledger);
            let elsewhere = tokio::spawn(async move {
                tokio::task::yield_now().await;
                value.look_again(seen, &ledger);
            });
            if random.one_in(2) {
                // A panic there is one here.
                elsewhere.await.expect("the other task");
            }
        }
        3 => {
            let mut guard = world.rcu.read_owned();
            for _ in 0..2 {
                let look = Look::at(some_value(world, random, &guard), ledger);
                stay_async(random).await;
                drop(look);
                guard.refresh();
            }
        }
        4 => {
            let guards = [world.rcu.read_owned(), world.rcu.read_owned()];
            let look = Look::at(some_value(world, random, &guards[1]), ledger);
            stay_async(random).await;
            look.again();
        }
        _ => read(world, random),
    }
}
