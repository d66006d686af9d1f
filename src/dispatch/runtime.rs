//! tokio's runtime: as an executor, and as the home of async callbacks.

use super::batch::{Batch, OnRuntime};
use super::executor::Executor;
use std::fmt::{self, Write};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Batches run as tasks of the runtime. Those that it drops, because it was shut down, go to the domain's worker thread.
impl Executor for Handle {
    fn execute(&self, batch: Batch) {
        drop(self.spawn(Task(batch)));
    }
}

/// A batch as a task that yields the way tokio's own tasks do: to the other tasks and to the I/O and time drivers. A task
/// that only wakes itself keeps the run queue from being empty, and with that the drivers from being polled but every
/// 61 turns, which are twelve milliseconds of ours.
///
/// Only for what is spawned here: inside somebody's own `block_on` on a worker, tokio would not come back to it.
struct Task(Batch);

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_by(cx, |cx| {
            // Its first poll hands the waker to the runtime, and that is all that is wanted of it.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        })
    }
}

/// The number of the task that runs here. tokio tells it in writing only.
pub(super) fn current_task() -> Option<u64> {
    struct Number(u64);
    impl fmt::Write for Number {
        fn write_str(&mut self, digits: &str) -> fmt::Result {
            for digit in digits.chars() {
                let digit = digit.to_digit(10).ok_or(fmt::Error)?;
                self.0 = self.0.wrapping_mul(10).wrapping_add(u64::from(digit));
            }
            Ok(())
        }
    }
    let mut number = Number(0);
    write!(number, "{}", tokio::task::try_id()?).ok()?;
    Some(number.0)
}

/// A runtime that was current at some call.
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    pub(super) fn spawn(self, task: OnRuntime) {
        drop(self.0.spawn(task));
    }
}
