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
    static GP_THREAD: Cell<bool> = const { Cell::new(false) };
    static BATCHES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Marks the current thread, for good, as one that detects grace periods.
pub(crate) fn become_gp_thread() {
    GP_THREAD.with(|here| here.set(true));
}

pub(crate) fn on_gp_thread() -> bool {
    GP_THREAD.with(Cell::get)
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
