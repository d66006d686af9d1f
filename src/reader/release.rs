//! Asking sections to end: a mark that guards read, and wakers for the futures that wait for it.
//!
//! # Protocol
//! The mark is the newest grace period that is wanted at once (by a force or a drain) or stalled. A
//! section with word `w` holds up grace period `w + 1` and later ones. So it is asked to end
//! exactly if `w` is below the mark. The asking thread raises the mark, then wakes the waiters
//! whose number the mark has reached. A waiter joins the list, then looks at the mark again.
//!
//! # Lives
//! A registry serves one domain after another, and a [`ReleaseRequested`] may outlive its domain.
//! `life` counts the domains, and is odd between two. A future stays pending if it was made in
//! another life than the present one, or between two.

use super::sequence::{Mark, Seq};
use crate::sys::budget::Budget;
use crate::sys::prim::{AtomicU64, Ordering, opaque_debug};
use crate::sys::wait_list::{Place, WaitList};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(crate) struct Release {
    mark: Mark,
    waiting: WaitList<Seq>,
    life: AtomicU64,
}

impl Release {
    pub(super) fn new(first: Seq) -> Self {
        Self { mark: Mark::at(first), waiting: WaitList::new(()), life: AtomicU64::new(1) }
    }

    /// Asks every section that holds up `wanted` to end.
    pub(crate) fn request(&self, wanted: Seq) {
        let mark = self.mark.raise(wanted);
        self.waiting.wake_up_to(mark);
    }

    /// Returns whether a section that saw `seen` is asked to end.
    #[inline]
    pub(super) fn is_requested(&self, seen: Seq) -> bool {
        seen < self.mark.get()
    }

    /// Begins the life of a domain.
    pub(super) fn begin(&self) {
        let next = self.life() | 1;
        self.life.store(next + 1, Ordering::Release);
    }

    /// Ends the life of a domain that has no handle any more, and drops the wakers.
    pub(crate) fn end(&self) {
        self.life.fetch_or(1, Ordering::AcqRel);
        self.waiting.forget_all();
    }

    fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }
}

/// Future of [`OwnedReadGuard::release_requested`](crate::OwnedReadGuard::release_requested): ready
/// when a grace period that the guard holds up is forced or stalled.
///
/// The future belongs to the section as it was when the future was made. After a
/// [`refresh`](crate::OwnedReadGuard::refresh) make another one. The future may be ready although
/// no caller waits any more. It stays pending when the domain has ended.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let rcu = async_rcu::Rcu::new();
/// let guard = rcu.read_owned();
/// let requested = guard.release_requested();
/// rcu.call(|| ());
/// rcu.force();
/// requested.await;
/// drop(guard);
/// # });
/// ```
///
/// # Cancel safety
/// May be dropped at any point.
#[must_use = "futures do nothing unless polled"]
pub struct ReleaseRequested {
    release: &'static Release,
    seen: Seq,
    life: u64,
    place: Option<Place<Seq>>,
    budget: Budget,
}

impl ReleaseRequested {
    pub(super) fn new(release: &'static Release, seen: Seq) -> Self {
        Self { release, seen, life: release.life(), place: None, budget: Budget::default() }
    }
}

impl Future for ReleaseRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let release = this.release;
        if this.life % 2 != 0 || release.life() != this.life {
            return Poll::Pending;
        }
        if !release.is_requested(this.seen) {
            let target = this.seen.next();
            release.waiting.join(&mut this.place, cx.waker(), |()| target);
            // The second look, after the waiter has joined.
            if !release.is_requested(this.seen) {
                return Poll::Pending;
            }
        }
        ready!(this.budget.poll(cx));
        release.waiting.leave(&mut this.place);
        Poll::Ready(())
    }
}

impl Drop for ReleaseRequested {
    fn drop(&mut self) {
        self.release.waiting.leave(&mut self.place);
    }
}

opaque_debug!(ReleaseRequested, "ReleaseRequested");
