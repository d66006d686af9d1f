//! Writers against readers, for a second, or for as many seconds as `ASYNC_RCU_TORTURE_SECONDS`
//! says.

use super::patience;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The number of values that readers have to see, even on a busy machine.
const ENOUGH: u64 = 1_000;
/// The additional time that readers get to see that many values.
const EXTRA_TIME: Duration = patience::seconds(60);

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    began: Instant,
    time: Duration,
    seen: AtomicU64,
    stop: AtomicBool,
}

impl Run {
    /// Returns the numbers of a writer's rounds, until it is time to stop.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = u32> {
        (0..).take_while(|_| {
            let time = self.began.elapsed();
            assert!(time < self.time + EXTRA_TIME, "readers have seen too few values");
            time < self.time || self.seen.load(Ordering::Relaxed) < ENOUGH
        })
    }

    /// Returns whether a reader is to look again.
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Counts values that a reader has seen whole.
    pub(crate) fn saw(&self, values: usize) {
        self.seen.fetch_add(values as u64, Ordering::Relaxed);
    }
}

/// Runs `read` on two threads and `write`, with the writer's number, on `writers` threads. Passes
/// on the panic of a thread.
#[track_caller]
pub(crate) fn torture(writers: u32, read: impl Fn(&Run) + Sync, write: impl Fn(&Run, u32) + Sync) {
    let seconds = std::env::var("ASYNC_RCU_TORTURE_SECONDS");
    let seconds = seconds.map_or(1, |text| text.parse().expect("a number of seconds"));
    let run = Run {
        began: Instant::now(),
        time: Duration::from_secs(seconds),
        seen: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let (run, read, write) = (&run, &read, &write);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(move || read(run)));
        let writers: Vec<_> =
            (0..writers).map(|writer| scope.spawn(move || write(run, writer))).collect();
        let wrote: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        run.stop.store(true, Ordering::Relaxed);
        let read: Vec<_> = readers.map(|reader| reader.join()).into_iter().collect();
        for ended in read.into_iter().chain(wrote) {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}
