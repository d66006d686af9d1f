//! Blocking a thread until a future is ready, and whether the thread may block.

use crate::sys::budget;
use crate::sys::clock::Instant;
use crate::sys::event::Event;
use crate::sys::prim::thread_local;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A batch that the current thread runs.
#[derive(Clone, Copy)]
struct Frame {
    /// The addresses of the batch's dispatcher, and of the global lock that the batch holds, or 0.
    dispatcher: usize,
    lock: usize,
    ticket: u64,
    is_async: bool,
}

thread_local! {
    /// The address of the dispatcher whose grace-period thread this is, or 0.
    static GP_THREAD: Cell<usize> = const { Cell::new(0) };
    /// The address of the worker whose thread this is, or 0.
    static WORKER: Cell<usize> = const { Cell::new(0) };
    static BATCHES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn become_gp_thread(dispatcher: usize) {
    GP_THREAD.with(|here| here.set(dispatcher));
}

/// Removes the mark from a thread that ends: the domain may have another thread by now.
pub(crate) fn leave_gp_thread() {
    GP_THREAD.with(|here| here.set(0));
}

pub(crate) fn gp_thread_of() -> usize {
    GP_THREAD.with(Cell::get)
}

pub(crate) fn on_gp_thread() -> bool {
    gp_thread_of() != 0
}

pub(super) fn become_worker(worker: usize) {
    WORKER.with(|here| here.set(worker));
}

pub(super) fn is_worker(worker: usize) -> bool {
    WORKER.with(Cell::get) == worker
}

/// Marks the current thread as inside a batch, until it is dropped.
pub(super) struct InBatch(());

impl InBatch {
    pub(super) fn calls(dispatcher: usize, lock: usize, ticket: u64) -> Self {
        Self::push(Frame { dispatcher, lock, ticket, is_async: false })
    }

    pub(super) fn async_callback(dispatcher: usize, ticket: u64) -> Self {
        Self::push(Frame { dispatcher, lock: 0, ticket, is_async: true })
    }

    fn push(frame: Frame) -> Self {
        let _ = BATCHES.try_with(|batches| batches.borrow_mut().push(frame));
        InBatch(())
    }
}

impl Drop for InBatch {
    fn drop(&mut self) {
        let _ = BATCHES.try_with(|batches| batches.borrow_mut().pop());
    }
}

fn any(what: impl Fn(&Frame) -> bool) -> bool {
    BATCHES.try_with(|batches| batches.borrow().iter().any(what)).unwrap_or(false)
}

/// Returns the ticket of each batch that this thread runs, and whether it is an async callback.
pub(crate) fn tickets_of(dispatcher: usize) -> Vec<(u64, bool)> {
    let tickets = |batches: &RefCell<Vec<Frame>>| {
        let batches = batches.borrow();
        let own = batches.iter().filter(|f| f.dispatcher == dispatcher);
        own.map(|frame| (frame.ticket, frame.is_async)).collect()
    };
    BATCHES.try_with(tickets).unwrap_or_default()
}

pub(super) fn in_batch() -> bool {
    any(|_| true)
}

pub(crate) fn in_batch_of(dispatcher: usize) -> bool {
    any(|frame| frame.dispatcher == dispatcher)
}

pub(crate) fn in_batch_under(lock: usize) -> bool {
    any(|frame| frame.lock == lock)
}

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

/// Panics in an async context, where tokio does not allow a thread to block. The check takes a free
/// lock.
#[track_caller]
pub(crate) fn assert_blocking_allowed() {
    let free = tokio::sync::Mutex::const_new(());
    drop(free.blocking_lock());
}

/// Blocks the thread until the future is ready. Returns `None` after `timeout`.
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
        budget::renew();
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
