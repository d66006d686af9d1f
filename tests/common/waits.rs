//! Waits that fail a test that hangs. They assert no other time.

use super::patience;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The time after which an expected event counts as lost. A test that passes never waits so long.
pub(crate) const HANG_GUARD: Duration = patience::seconds(30);

/// Runs `body` on a thread of its own. Fails if `body` does not end, or panics.
#[track_caller]
pub(crate) fn within<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || done.send(body()).is_ok());
    match result.recv_timeout(HANG_GUARD) {
        Ok(result) => {
            thread.join().expect("the body has ended");
            result
        }
        Err(RecvTimeoutError::Timeout) => panic!("the test has not ended after {HANG_GUARD:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(_) => unreachable!("the body either sends or panics"),
        },
    }
}

/// Waits until `reached` returns true, for a state that no event announces.
#[track_caller]
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    const YIELDS: u32 = 1000;
    let start = Instant::now();
    let mut looks = 0;
    while !reached() {
        assert!(
            start.elapsed() < HANG_GUARD,
            "after {HANG_GUARD:?} the test still waits for: {what}"
        );
        // Most states come soon. A longer wait leaves the processor to other threads.
        if looks < YIELDS {
            looks += 1;
            thread::yield_now();
        } else {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Returns the next message. Fails if none comes.
#[track_caller]
pub(crate) fn receive<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(HANG_GUARD).expect("no message has come, or the sender is gone")
}

/// Drives `future` to its end on a runtime of its own.
#[track_caller]
pub(crate) fn settle<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(HANG_GUARD, future).await })
        .expect("the future has not ended")
}

/// Returns the message that `f` panics with. Fails if `f` does not panic.
#[track_caller]
pub(crate) fn panic_message(f: impl FnOnce()) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("the call has not panicked");
    };
    payload
        .downcast_ref::<&'static str>()
        .map(|message| (*message).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("the panic carries a text")
}
