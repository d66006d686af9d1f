//! Every way to have something done after a grace period without waiting for it: each stage of the pipe takes another.

use super::element::Removed;
use super::random::Random;
use super::world::World;
use async_rcu::Deferred;
use std::sync::Arc;

/// Passes its element on when dropped, in the right place at the right time: by whoever `retire` has drop it.
struct OnDrop(Option<(Arc<World>, Removed)>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some((world, removed)) = self.0.take() {
            // SAFETY: only ever dropped by the domain, after a grace period.
            unsafe { world.elapsed(removed) }
        }
    }
}

impl World {
    /// A grace period is over: on to the next stage.
    ///
    /// # Safety
    /// As [`Removed::elapsed`].
    pub(super) unsafe fn elapsed(self: &Arc<Self>, removed: Removed) {
        // SAFETY: passed on.
        if let Some(removed) = unsafe { removed.elapsed() } {
            self.pass_on(removed);
        }
    }

    /// Has a removed element wait for a grace period, in some way. Never blocks: callbacks do it too.
    pub(super) fn pass_on(self: &Arc<Self>, removed: Removed) {
        let mut random = self.run.random(removed.stream());
        let world = Arc::clone(self);
        let rcu = &self.rcu;
        match random.below(16) {
            // SAFETY: callbacks run after a grace period that starts after their call.
            0..=4 => rcu.call(move || unsafe { world.elapsed(removed) }),
            5 => self.with_ballast(removed, &random),
            6 => rcu.call_async(async move {
                yield_once().await;
                // SAFETY: polled after a grace period that starts after the call.
                unsafe { world.elapsed(removed) }
            }),
            7 | 8 => rcu.retire(Box::new(OnDrop(Some((world, removed))))),
            9 => drop(Deferred::new_in(rcu, OnDrop(Some((world, removed))))),
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
                    // SAFETY: a grace period that started after the call, by the first poll.
                    unsafe { world.elapsed(removed) }
                });
            }
            _ => {
                let cookie = rcu.start_grace_period();
                // What is awaited is the number, by somebody else.
                self.runtime.spawn(async move {
                    world.rcu.wait_for(cookie).await;
                    world.run.board.expect(
                        world.rcu.has_elapsed(cookie),
                        || "a cookie that was waited for has not elapsed",
                    );
                    // SAFETY: the cookie was taken after the element was removed or passed on.
                    unsafe { world.elapsed(removed) }
                });
            }
        }
    }

    /// A callback larger than what a queue holds in place.
    fn with_ballast(self: &Arc<Self>, removed: Removed, random: &Random) {
        let world = Arc::clone(self);
        let mut random = *random;
        let ballast = [random.next(); 6];
        self.rcu.call(move || {
            let whole = ballast.iter().all(|word| *word == ballast[0]);
            world
                .run
                .board
                .expect(whole, || "what a callback captured has changed");
            // SAFETY: callbacks run after a grace period that starts after their call.
            unsafe { world.elapsed(removed) }
        });
    }
}

/// As `tokio::task::yield_now`, and on any executor.
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
