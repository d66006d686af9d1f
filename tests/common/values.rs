//! Values and callbacks that count what happens to them.

use super::until;
use async_rcu::Rcu;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// One counter for each of a number of callbacks.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Arc<[AtomicUsize]>);

impl Tally {
    pub(crate) fn new(len: usize) -> Self {
        Self((0..len).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(crate) fn hit(&self, index: usize) {
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a callback that counts its run.
    pub(crate) fn callback(&self, index: usize) -> impl FnOnce() + Send + 'static {
        let tally = self.clone();
        move || tally.hit(index)
    }

    /// Returns the number of callbacks that have run at least once.
    pub(crate) fn ran(&self) -> usize {
        self.0.iter().filter(|n| n.load(Ordering::Relaxed) > 0).count()
    }

    #[track_caller]
    pub(crate) fn assert_each_once(&self) {
        let len = self.0.len();
        for (index, count) in self.0.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            assert_eq!(count, 1, "callback {index} of {len} ran {count} times");
        }
    }

    #[track_caller]
    pub(crate) fn assert_none(&self) {
        assert_eq!(self.ran(), 0, "callbacks ran too early");
    }
}

/// A counter of the drops of the values that it has made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// Makes a value.
    pub(crate) fn value(&self, label: u32) -> Tracked {
        Tracked { stamp: AtomicU64::new(ALIVE), label, drops: self.clone() }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until `count` values have been dropped. Fails if more have been dropped by then.
    #[track_caller]
    pub(crate) fn reach(&self, count: usize) {
        until("a drop", || self.count() >= count);
        assert_eq!(self.count(), count);
    }
}

const ALIVE: u64 = 0x0a11_7e5f_0a11_7e5f;

/// A value whose drop is counted and poisons the value.
#[derive(Debug)]
pub(crate) struct Tracked {
    stamp: AtomicU64,
    label: u32,
    drops: Drops,
}

impl Tracked {
    /// Returns the label. Fails if the value has been dropped.
    #[track_caller]
    pub(crate) fn label(&self) -> u32 {
        let stamp = self.stamp.load(Ordering::Relaxed);
        assert_eq!(stamp, ALIVE, "read after the drop");
        self.label
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let stamp = self.stamp.swap(0, Ordering::Relaxed);
        assert_eq!(stamp, ALIVE, "dropped twice");
        self.drops.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A value whose drop panics with its text.
#[derive(Debug)]
pub(crate) struct Bomb(pub(crate) &'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// A value whose drop panics if its flag says so.
#[derive(Debug)]
pub(crate) struct Fragile(pub(crate) Tracked, pub(crate) bool);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.1, "bomb {}", self.0.label());
    }
}

/// Queues a callback that queues itself again until the test sets `stop`. Until then a callback is
/// always pending.
pub(crate) fn perpetual(rcu: &Rcu, stop: &Arc<AtomicBool>) {
    let (again, stop) = (rcu.clone(), Arc::clone(stop));
    rcu.call(move || {
        if !stop.load(Ordering::Relaxed) {
            perpetual(&again, &stop);
        }
    });
}

/// A future that counts its first poll.
#[derive(Debug)]
pub(crate) struct CountFirstPoll<F> {
    inner: F,
    polled: Option<Arc<AtomicUsize>>,
}

impl<F> CountFirstPoll<F> {
    pub(crate) fn new(inner: F, polled: &Arc<AtomicUsize>) -> Self {
        Self { inner, polled: Some(Arc::clone(polled)) }
    }
}

impl<F: Future + Unpin> Future for CountFirstPoll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let result = Pin::new(&mut self.inner).poll(cx);
        if let Some(polled) = self.polled.take() {
            polled.fetch_add(1, Ordering::SeqCst);
        }
        result
    }
}
