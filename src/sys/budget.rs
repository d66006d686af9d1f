//! When a future that is ready at once gives the thread away all the same, so that a task that
//! waits in a loop does not keep other tasks from running.
//!
//! Inside a tokio task, the task's budget decides. tokio does not offer the budget to others
//! without a runtime's features, but its semaphore takes part in it. Elsewhere, a count of the
//! results that this thread has given out decides.

#[cfg(not(rcu_loom))]
mod platform {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll};
    use tokio::sync::Semaphore;

    /// Results between two yields where no runtime counts. Twice tokio's budget.
    const RESULTS: u32 = 256;

    thread_local! {
        static GIVEN: Cell<u32> = const { Cell::new(0) };
    }

    pub(crate) fn poll(cx: &mut Context<'_>) -> Poll<()> {
        let free = Semaphore::const_new(1);
        let budget = pin!(free.acquire()).poll(cx).map(drop);
        // A thread that ends has no count any more.
        let given = GIVEN.try_with(|given| given.replace(given.get() + 1)).unwrap_or(0);
        if budget.is_ready() && given < RESULTS {
            return Poll::Ready(());
        }
        let _ = GIVEN.try_with(|given| given.set(0));
        if budget.is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(rcu_loom)]
mod platform {
    use std::task::{Context, Poll};

    pub(crate) fn poll(_: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Called by a future that is about to be ready. Returns `Pending`, and wakes the task, if the task
/// is to give the thread away first.
pub(crate) use platform::poll;
