//! Every way to run code after a grace period without waiting for the grace period. Each stage of
//! the pipe takes another way.

use super::element::Removed;
use super::random::Random;
use super::world::World;
use async_rcu::cell::RetireOnDrop;
use std::sync::Arc;

/// Passes its element on when it is dropped. Only the library drops it, after `retire`.
struct OnDrop(Option<(Arc<World>, Removed)>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some((world, removed)) = self.0.take() {
            // SAFETY: only the domain drops this, after a grace period.
            unsafe { world.elapsed(removed) }
        }
    }
}

impl World {
    /// Moves an element on after a grace period, and passes it on to the next stage.
    ///
    /// # Safety
    /// As for [`Removed::elapsed`].
    pub(super) unsafe fn elapsed(self: &Arc<Self>, removed: Removed) {
        // SAFETY: the caller keeps the contract.
        if let Some(removed) = unsafe { removed.elapsed() } {
            self.pass_on(removed);
        }
    }

    /// Makes a removed element wait for a grace period, in a random way. Never blocks: callbacks
    /// call it too.
    pub(super) fn pass_on(self: &Arc<Self>, removed: Removed) {
        let mut random = self.run.random(removed.stream());
        let world = Arc::clone(self);
        let rcu = &self.rcu;
        match random.below(16) {
            // SAFETY: a callback runs after a grace period that starts after the call.
            0..=4 => rcu.call(move || unsafe { world.elapsed(removed) }),
            5 => self.with_ballast(removed, &random),
            6 => rcu.call_async(async move {
                yield_once().await;
                // SAFETY: the future is polled after a grace period that starts after the call.
                unsafe { world.elapsed(removed) }
            }),
            7 | 8 => rcu.retire(Box::new(OnDrop(Some((world, removed))))),
            9 => drop(RetireOnDrop::new_in(rcu, OnDrop(Some((world, removed))))),
            10 => {
                // SAFETY: as above.
                let f = move || unsafe { world.elapsed(removed) };
                if let Err(full) = rcu.try_call(f) {
                    rcu.call(full.into_inner());
                }
            }
            11 => self.lock.call(rcu, move |count| {
                *count += 1;
                // SAFETY: as above.
                unsafe { world.elapsed(removed) }
            }),
            12 => self.keep(rcu.start_grace_period(), removed),
            13 => self.keep(rcu.grace_period(), removed),
            14 => {
                let synchronize = rcu.synchronize();
                self.runtime.spawn(async move {
                    synchronize.await;
                    // SAFETY: the first poll comes after a grace period that started after the
                    // call.
                    unsafe { world.elapsed(removed) }
                });
            }
            _ => {
                let cookie = rcu.start_grace_period();
                // The cookie is taken here and waited for elsewhere.
                self.runtime.spawn(async move {
                    world.rcu.wait_for(cookie).await;
                    world.run.board.expect(
                        world.rcu.has_elapsed(cookie),
                        || "a cookie has not elapsed after the wait for it",
                    );
                    // SAFETY: the cookie was taken after the element was removed or passed on.
                    unsafe { world.elapsed(removed) }
                });
            }
        }
    }

    /// Queues a callback that is too large for a place in the queue.
    fn with_ballast(self: &Arc<Self>, removed: Removed, random: &Random) {
        let world = Arc::clone(self);
        let mut random = *random;
        let ballast = [random.next(); 6];
        self.rcu.call(move || {
            let whole = ballast.iter().all(|word| *word == ballast[0]);
            world.run.board.expect(whole, || "the captured values of a callback have changed");
            // SAFETY: a callback runs after a grace period that starts after the call.
            unsafe { world.elapsed(removed) }
        });
    }
}

/// Yields once, as `tokio::task::yield_now` does, on any executor.
async fn yield_once() {
    let mut polled = false;
    std::future::poll_fn(|cx| match std::mem::replace(&mut polled, true) {
        true => std::task::Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        }
    })
    .await;
}
