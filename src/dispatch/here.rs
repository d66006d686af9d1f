//! Where the current thread is: on a grace-period thread, inside which batches. What blocking calls ask before they block.

use crate::sys::prim::thread_local;
use std::cell::{Cell, RefCell};

#[derive(Clone, Copy)]
struct Frame {
    /// Address of the dispatcher whose batch runs.
    dispatcher: usize,
    /// Address of the global lock that it holds, or 0.
    lock: usize,
    /// Number of its ticket.
    ticket: u64,
    is_async: bool,
}

thread_local! {
    /// Address of the dispatcher whose grace-period thread this is, or 0.
    static GP_THREAD: Cell<usize> = const { Cell::new(0) };
    /// Address of the dispatcher whose worker this is, or 0.
    static WORKER: Cell<usize> = const { Cell::new(0) };
    static BATCHES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Marks the current thread, until it goes, as the one that detects grace periods for this dispatcher's domain.
pub(crate) fn become_gp_thread(dispatcher: usize) {
    GP_THREAD.with(|here| here.set(dispatcher));
}

/// The thread goes, and there may be another one by now: what it still runs is not of the domain's any more.
pub(crate) fn leave_gp_thread() {
    GP_THREAD.with(|here| here.set(0));
}

/// The dispatcher whose grace-period thread this is, or 0.
pub(crate) fn gp_thread_of() -> usize {
    GP_THREAD.with(Cell::get)
}

pub(crate) fn on_gp_thread() -> bool {
    gp_thread_of() != 0
}

/// Marks the current thread, for good, as the worker of this dispatcher.
pub(super) fn become_worker(dispatcher: usize) {
    WORKER.with(|here| here.set(dispatcher));
}

/// Whether it is.
pub(super) fn is_worker_of(dispatcher: usize) -> bool {
    WORKER.with(Cell::get) == dispatcher
}

/// Until it is dropped, the current thread is inside a batch.
pub(crate) struct InBatch(());

impl InBatch {
    /// Callbacks of a collection, under a lock or under none.
    pub(super) fn calls(dispatcher: usize, lock: usize, ticket: u64) -> Self {
        Self::push(Frame {
            dispatcher,
            lock,
            ticket,
            is_async: false,
        })
    }

    /// An async callback.
    pub(super) fn future(dispatcher: usize, ticket: u64) -> Self {
        Self::push(Frame {
            dispatcher,
            lock: 0,
            ticket,
            is_async: true,
        })
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
    BATCHES
        .try_with(|batches| batches.borrow().iter().any(what))
        .unwrap_or(false)
}

/// The ticket of every batch of this dispatcher that the current thread runs, and whether that is an async callback.
pub(super) fn tickets_of(dispatcher: usize) -> Vec<(u64, bool)> {
    let tickets = |batches: &RefCell<Vec<Frame>>| {
        let batches = batches.borrow();
        let own = batches
            .iter()
            .filter(|frame| frame.dispatcher == dispatcher);
        own.map(|frame| (frame.ticket, frame.is_async)).collect()
    };
    BATCHES.try_with(tickets).unwrap_or_default()
}

/// Whether the current thread runs a batch of this dispatcher.
pub(crate) fn in_batch_of(dispatcher: usize) -> bool {
    any(|frame| frame.dispatcher == dispatcher)
}

/// Whether the current thread runs a batch that holds this lock.
pub(crate) fn in_batch_under(lock: usize) -> bool {
    any(|frame| frame.lock == lock)
}
