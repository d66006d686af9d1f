//! Where the current thread is: on a grace-period thread, inside which batches. What blocking calls ask before they block.

use std::cell::{Cell, RefCell};

#[derive(Clone, Copy)]
struct Frame {
    /// Address of the office whose batch runs.
    office: usize,
    /// Address of the global lock that it holds, or 0.
    lock: usize,
}

thread_local! {
    /// Address of the office whose grace-period thread this is, or 0.
    static GP_THREAD: Cell<usize> = const { Cell::new(0) };
    /// Address of the office whose worker this is, or 0.
    static WORKER: Cell<usize> = const { Cell::new(0) };
    static BATCHES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Marks the current thread, for good, as the one that detects grace periods for this office's domain.
pub(crate) fn become_gp_thread(office: usize) {
    GP_THREAD.set(office);
}

/// The office whose grace-period thread this is, or 0.
pub(crate) fn gp_thread_of() -> usize {
    GP_THREAD.get()
}

pub(crate) fn on_gp_thread() -> bool {
    gp_thread_of() != 0
}

/// Marks the current thread, for good, as the worker of this office.
pub(super) fn become_worker(office: usize) {
    WORKER.set(office);
}

/// Whether it is.
pub(super) fn is_worker_of(office: usize) -> bool {
    WORKER.get() == office
}

/// Until it is dropped, the current thread is inside a batch.
pub(crate) struct InBatch(());

impl InBatch {
    pub(crate) fn of(office: usize, lock: usize) -> Self {
        let _ = BATCHES.try_with(|batches| batches.borrow_mut().push(Frame { office, lock }));
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

/// Whether the current thread runs a batch of this office.
pub(crate) fn in_batch_of(office: usize) -> bool {
    any(|frame| frame.office == office)
}

/// Whether the current thread runs a batch that holds this lock.
pub(crate) fn in_batch_under(lock: usize) -> bool {
    any(|frame| frame.lock == lock)
}
