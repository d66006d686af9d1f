//! When a future that is ready at once gives the thread away all the same, so that a task that
//! waits in a loop does not keep other tasks from running.
//!
//! Inside a tokio task, the task's budget decides. tokio offers the budget only with its runtime's
//! features, but its semaphore takes part in it. Besides, every [`RESULTS`]th result of a thread
//! gives the thread away, for tasks of other runtimes. A future gives the thread away once, and is
//! ready at the next poll, whoever polls it: the budget of an outer task may stay empty.

use std::task::{Context, Poll};

/// A future's part: whether it has given the thread away for the result that it is about to give.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    has_yielded: bool,
}

impl Budget {
    /// Called by a future that is about to be ready. Returns `Pending`, and wakes the task, if the
    /// task is to give the thread away first.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.has_yielded = !self.has_yielded && platform::is_spent(cx);
        if self.has_yielded {
            // tokio would wake the task only after the outermost poll.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

pub(crate) use platform::renew;

#[cfg(not(rcu_loom))]
mod platform {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;
    use tokio::sync::Semaphore;

    /// Results between two yields where no runtime counts. Twice tokio's budget.
    const RESULTS: u32 = 256;

    thread_local! {
        static GIVEN: Cell<u32> = const { Cell::new(0) };
    }

    pub(super) fn is_spent(cx: &mut Context<'_>) -> bool {
        let free = Semaphore::const_new(1);
        let has_budget = pin!(free.acquire()).poll(cx).is_ready();
        // A thread that ends has no count any more.
        let given = GIVEN.try_with(|given| given.replace(given.get() + 1)).unwrap_or(0);
        let spent = !has_budget || given >= RESULTS;
        if spent {
            renew();
        }
        spent
    }

    /// Begins to count again, for a thread that has given itself away, or that blocks.
    pub(crate) fn renew() {
        let _ = GIVEN.try_with(|given| given.set(0));
    }
}

#[cfg(rcu_loom)]
mod platform {
    use std::task::Context;

    pub(super) fn is_spent(_: &mut Context<'_>) -> bool {
        false
    }

    pub(crate) fn renew() {}
}
