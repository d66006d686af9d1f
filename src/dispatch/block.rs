//! The blocking face of a future.

use crate::sys::clock::Instant;
use crate::sys::event::Event;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// An event as a waker.
#[derive(Debug)]
pub(crate) struct WakeEvent(pub(crate) Event);

impl Wake for WakeEvent {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.set();
    }
}

/// Panics where tokio would refuse to block: in an async context. By blocking on a lock that is free, so that the panic does
/// not depend on whether there is something to wait for, and nothing is allocated.
#[track_caller]
pub(crate) fn assert_blocking_allowed() {
    let free = tokio::sync::Mutex::const_new(());
    drop(free.blocking_lock());
}

/// Polls until ready, sleeping in between, for `timeout` at the most.
pub(crate) fn block_on<F: Future + Unpin>(
    mut future: F,
    timeout: Option<Duration>,
) -> Option<F::Output> {
    let event = Arc::new(WakeEvent(Event::new()));
    let waker = Waker::from(Arc::clone(&event));
    let mut context = Context::from_waker(&waker);
    let deadline = timeout.and_then(|d| Instant::now().checked_add(d));
    loop {
        event.0.reset();
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
            return Some(output);
        }
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        event.0.wait(left);
    }
}
