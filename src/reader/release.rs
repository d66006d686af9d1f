//! Asking sections to end: by a mark that guards look at, and wakers for those that wait to be asked.
//!
//! # Protocol
//! The mark is the newest grace period that somebody wants at once (a force, a drain) or that is stalled. A section with
//! word `w` holds up `w + 1` and later, so it is asked exactly where `w` is below the mark. The asker raises the mark, then
//! wakes, under the list's lock, those whose number it has reached; who waits registers, then looks again.
//!
//! # Lives
//! A hub serves one domain after another, and a [`ReleaseRequested`] may outlive its domain. `life` is odd between two
//! domains: what was made in another life than the present one, or between two, stays pending.

use super::hub::Hub;
use super::sequence::{Mark, Seq};
use super::waiters::{Key, Waiters};
use crate::sys::prim::{AtomicU64, Ordering};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A hub's part.
#[derive(Debug)]
pub(crate) struct Release {
    mark: Mark,
    waiting: Waiters,
    life: AtomicU64,
}

impl Release {
    pub(super) fn new(first: Seq) -> Self {
        Self {
            mark: Mark::at(first),
            waiting: Waiters::new(),
            life: AtomicU64::new(1),
        }
    }

    /// Asks every section that holds up `wanted` to end.
    pub(crate) fn ask(&self, wanted: Seq) {
        let mark = self.mark.raise(wanted);
        self.waiting.wake_up_to(mark);
    }

    /// Whether the section that saw `seen` is asked to end.
    #[inline]
    pub(super) fn is_asked(&self, seen: Seq) -> bool {
        seen < self.mark.get()
    }

    /// A domain begins.
    pub(super) fn begin(&self) {
        let next = self.life() | 1;
        self.life.store(next + 1, Ordering::Release);
    }

    /// The domain has no handle any more: nobody waits. Runs the drops of wakers.
    pub(crate) fn end(&self) {
        self.life.fetch_or(1, Ordering::AcqRel);
        self.waiting.forget_all();
    }

    fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }
}

/// Future of [`OwnedReadGuard::release_requested`](crate::OwnedReadGuard::release_requested): ready when a grace period that the
/// guard holds up is forced or stalled.
///
/// It is bound to the section as it was when the future was made: after a [`refresh`](crate::OwnedReadGuard::refresh) make
/// another. It may be ready although nothing waits any more. When the domain has ended it stays pending.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// let guard = rcu.read_owned();
/// let asked = guard.release_requested();
/// rcu.call(|| ());
/// rcu.force();
/// asked.await;
/// drop(guard);
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point.
#[must_use = "futures do nothing unless polled"]
pub struct ReleaseRequested {
    hub: &'static Hub,
    seen: Seq,
    life: u64,
    key: Option<Key>,
}

impl ReleaseRequested {
    pub(super) fn new(hub: &'static Hub, seen: Seq) -> Self {
        Self {
            hub,
            seen,
            life: hub.release.life(),
            key: None,
        }
    }

    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            self.hub.release.waiting.forget(key);
        }
    }

    fn wait(&mut self, waker: &Waker) {
        let waiting = &self.hub.release.waiting;
        let updated = self.key.is_some_and(|key| waiting.update(key, waker));
        if !updated {
            self.key = Some(waiting.register(self.seen.next(), waker));
        }
    }
}

impl Future for ReleaseRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let release = &this.hub.release;
        if this.life % 2 != 0 || release.life() != this.life {
            return Poll::Pending;
        }
        if !release.is_asked(this.seen) {
            this.wait(cx.waker());
            // The look behind the registration.
            if !release.is_asked(this.seen) {
                return Poll::Pending;
            }
        }
        this.forget();
        Poll::Ready(())
    }
}

impl Drop for ReleaseRequested {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for ReleaseRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleaseRequested").finish_non_exhaustive()
    }
}
