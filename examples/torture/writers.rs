//! Every way to replace a value and to free the old one.

use super::Random;
use super::value::{Ledger, Value};
use super::world::{Unlinked, World};
use async_rcu::{Deferred, GracePeriod, Rcu, Retired};
use std::collections::VecDeque;
use std::sync::Arc;

/// Old values that a writer keeps until their grace periods are over.
#[derive(Debug, Default)]
pub(super) struct Writer {
    cookies: VecDeque<(Arc<Ledger>, Rcu, GracePeriod, Unlinked)>,
    retired: Vec<(Arc<Ledger>, Retired<Value>)>,
}

const KEPT: usize = 32;

/// What is left to wait for, in a form that both kinds of writers can wait for.
enum Wait {
    Nothing,
    Synchronize(Unlinked),
    Retired(Retired<Value>),
    Several(Vec<Retired<Value>>),
    Drain,
    Shutdown,
    LockAndDrain,
    Oldest,
}

impl Writer {
    /// One update, on a thread.
    pub(super) fn update(&mut self, world: &World, random: &mut Random) {
        match self.begin(world, random) {
            Wait::Nothing => {}
            Wait::Synchronize(old) => {
                world.rcu.blocking_synchronize();
                // SAFETY: a grace period since it was unlinked.
                unsafe { old.into_box() }.bury(&world.ledger);
            }
            Wait::Retired(old) => old.blocking_wait().bury(&world.ledger),
            Wait::Several(all) => {
                for old in futures::executor::block_on(world.rcu.reclaim_all(all)) {
                    old.bury(&world.ledger);
                }
            }
            Wait::Drain => world.rcu.blocking_drain(),
            Wait::Shutdown => world.rcu.blocking_shutdown(),
            Wait::LockAndDrain => {
                let mut guard = world.lock.blocking_lock().blocking_drain(&world.rcu);
                *guard += 1;
            }
            Wait::Oldest => {
                if let Some((ledger, rcu, cookie, old)) = self.cookies.pop_front() {
                    futures::executor::block_on(rcu.wait_for(cookie));
                    // SAFETY: the cookie was taken after it was unlinked, and has elapsed.
                    unsafe { old.into_box() }.bury(&ledger);
                }
            }
        }
    }

    /// One update, on a task.
    pub(super) async fn update_async(&mut self, world: &World, random: &mut Random) {
        match self.begin(world, random) {
            Wait::Nothing => {}
            Wait::Synchronize(old) => {
                world.rcu.synchronize().await;
                // SAFETY: a grace period since it was unlinked.
                unsafe { old.into_box() }.bury(&world.ledger);
            }
            Wait::Retired(old) => old.wait().await.bury(&world.ledger),
            Wait::Several(all) => {
                for old in world.rcu.reclaim_all(all).await {
                    old.bury(&world.ledger);
                }
            }
            Wait::Drain => world.rcu.drain().await,
            Wait::Shutdown => world.rcu.shutdown().await,
            Wait::LockAndDrain => {
                let guard = world.lock.lock().await.drain(&world.rcu).await;
                *guard.synchronize(&world.rcu).await += 1;
            }
            Wait::Oldest => {
                if let Some((ledger, rcu, cookie, old)) = self.cookies.pop_front() {
                    rcu.wait_for(cookie).await;
                    // SAFETY: the cookie was taken after it was unlinked, and has elapsed.
                    unsafe { old.into_box() }.bury(&ledger);
                }
            }
        }
    }

    /// Publishes, and hands the old value over or says what to wait for.
    fn begin(&mut self, world: &World, random: &mut Random) -> Wait {
        Ledger::add(&world.ledger.updates);
        if world.is_behind() {
            return Wait::Drain;
        }
        let rcu = &world.rcu;
        let cell = random.pick(&world.cells);
        match random.below(24) {
            0 | 1 => cell.store(world.value()),
            2 | 3 => drop(cell.swap(world.value())),
            4 => return Wait::Retired(cell.swap(world.value())),
            5 => drop(cell.update(|_| world.value())),
            6 => {
                let give_up = random.one_in(2);
                let tried = cell.try_update(|_| match give_up {
                    true => Err(()),
                    false => Ok(world.value()),
                });
                drop(tried);
            }
            7 => {
                let old = world.cells.iter().map(|cell| cell.swap(world.value()));
                return Wait::Several(old.collect());
            }
            8 => {
                let old = cell.swap(world.value());
                self.retired.push((Arc::clone(&world.ledger), old));
                self.try_take_retired();
            }
            9 | 10 => return Wait::Synchronize(unlink(world, random)),
            11 | 12 => {
                let old = unlink(world, random);
                let cookie = match random.one_in(2) {
                    true => rcu.start_grace_period(),
                    false => rcu.grace_period(),
                };
                let ledger = Arc::clone(&world.ledger);
                self.cookies.push_back((ledger, rcu.clone(), cookie, old));
                self.free_elapsed();
                if self.cookies.len() > KEPT {
                    return Wait::Oldest;
                }
            }
            13 => rcu.force(),
            14 if random.one_in(16) => return Wait::Drain,
            15 if random.one_in(16) => return Wait::Shutdown,
            16 if random.one_in(16) => return Wait::LockAndDrain,
            17 => {
                let shared = Arc::new(Deferred::new_in(rcu, world.value()));
                drop(Arc::clone(&shared));
                shared.look(&world.ledger);
                drop(shared);
            }
            _ => hand_over(world, random),
        }
        Wait::Nothing
    }

    fn try_take_retired(&mut self) {
        let retired = std::mem::take(&mut self.retired);
        for (ledger, old) in retired {
            match old.try_take() {
                Ok(old) => old.bury(&ledger),
                // Those above the limit are dropped, and freed as such.
                Err(old) if self.retired.len() < KEPT => self.retired.push((ledger, old)),
                Err(old) => drop(old),
            }
        }
    }

    fn free_elapsed(&mut self) {
        let cookies = std::mem::take(&mut self.cookies);
        for (ledger, rcu, cookie, old) in cookies {
            if rcu.has_elapsed(cookie) {
                // SAFETY: the cookie was taken after it was unlinked, and has elapsed.
                unsafe { old.into_box() }.bury(&ledger);
            } else {
                self.cookies.push_back((ledger, rcu, cookie, old));
            }
        }
    }

    /// Frees what is kept, on a thread.
    pub(super) fn finish(self) {
        futures::executor::block_on(self.finish_async());
    }

    /// Frees what is kept, on a task.
    pub(super) async fn finish_async(mut self) {
        for (ledger, rcu, cookie, old) in self.cookies.drain(..) {
            rcu.wait_for(cookie).await;
            // SAFETY: the cookie was taken after it was unlinked, and has elapsed.
            unsafe { old.into_box() }.bury(&ledger);
        }
    }
}

fn unlink(world: &World, random: &mut Random) -> Unlinked {
    random.pick(&world.slots).replace(world.value())
}

/// Takes a value out of a slot, and leaves it to the domain to free it.
fn hand_over(world: &World, random: &mut Random) {
    let (rcu, ledger) = (&world.rcu, Arc::clone(&world.ledger));
    let old = unlink(world, random);
    match random.below(6) {
        // SAFETY: callbacks run after a grace period that starts after their call.
        0 => rcu.call(move || unsafe { old.into_box() }.bury(&ledger)),
        // SAFETY: dropped after a grace period that starts after the call.
        1 => rcu.retire(unsafe { old.into_box() }),
        2 => {
            // Larger than what a queue holds in place.
            let ballast = [random.0; 6];
            rcu.call(move || {
                assert!(ballast.iter().all(|word| *word == ballast[0]));
                // SAFETY: callbacks run after a grace period that starts after their call.
                unsafe { old.into_box() }.bury(&ledger);
            });
        }
        3 => rcu.call_async(async move {
            tokio::task::yield_now().await;
            // SAFETY: polled after a grace period that starts after the call.
            unsafe { old.into_box() }.bury(&ledger);
        }),
        4 => {
            let again = rcu.clone();
            // SAFETY: after two grace periods.
            rcu.call(move || again.call(move || unsafe { old.into_box() }.bury(&ledger)));
        }
        _ => world.lock.call(rcu, move |count| {
            *count += 1;
            // SAFETY: callbacks run after a grace period that starts after their call.
            unsafe { old.into_box() }.bury(&ledger);
        }),
    }
}
