//! The torture run, shared by `examples/torture.rs` and `tests/torture.rs`.
//!
//! Several domains, each with cells and plain pointers to values that poison themselves when dropped. Threads and tasks read
//! them in every way there is and look at each value again and again until they leave, while others replace them
//! and free the old ones in every way there is. At the end nobody may have seen poison, and every value that was ever made
//! must have been dropped, once. The last quarter of the time is for one reader and one writer alone: see `late_stores`.

mod late_stores;
mod readers;
mod value;
mod world;
mod writers;

use readers::{read, read_async};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::World;
use writers::Writer;

/// What to run, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) time: Duration,
    /// Plain threads; one more starts short-lived ones all the time.
    pub(crate) threads: usize,
    /// Tasks on the runtime that is also the executor of one of the domains.
    pub(crate) tasks: usize,
    /// Workers of that runtime.
    pub(crate) workers: usize,
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) time: Duration,
    pub(crate) reads: u64,
    pub(crate) updates: u64,
    pub(crate) grace_periods: u64,
    pub(crate) callbacks: u64,
    pub(crate) values: u64,
    /// Must be empty.
    pub(crate) violations: Vec<String>,
}

impl Report {
    fn expect(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }
}

/// Xorshift: what is tortured is not the generator.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: usize) -> Self {
        let stream = stream as u64 + 1;
        Self(seed.wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % limit
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

type Worlds = Arc<[World]>;

/// A mixture of everything, on a thread, until `go_on` says no.
fn thread_body(worlds: &[World], mut random: Random, mut go_on: impl FnMut() -> bool) {
    let mut writer = Writer::default();
    while go_on() {
        let world = random.pick(worlds);
        if random.one_in(4) {
            writer.update(world, &mut random);
        } else {
            read(world, &mut random);
        }
    }
    writer.finish();
}

async fn task_body(worlds: Worlds, mut random: Random, stop: Arc<AtomicBool>) {
    let mut writer = Writer::default();
    while !stop.load(Ordering::Relaxed) {
        let world = random.pick(&worlds);
        if random.one_in(4) {
            writer.update_async(world, &mut random).await;
        } else {
            read_async(world, &mut random).await;
        }
    }
    writer.finish_async().await;
}

/// Threads that register, do a little, and end with callbacks pending.
fn churn(worlds: &Worlds, config: &Config, stop: &AtomicBool) {
    let mut stream = 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        stream += 1;
        let (worlds, random) = (Arc::clone(worlds), Random::new(config.seed, stream));
        let mut left = 20;
        let short = thread::spawn(move || {
            thread_body(&worlds, random, || {
                left -= 1;
                left > 0
            });
        });
        if short.join().is_err() {
            return;
        }
    }
}

/// Runs it.
pub(crate) fn run(config: Config) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .expect("a runtime");
    let worlds: Worlds = World::one_of_each(runtime.handle()).into();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();

    let tasks: Vec<_> = (0..config.tasks)
        .map(|task| {
            let random = Random::new(config.seed, 1_000 + task);
            runtime.spawn(task_body(Arc::clone(&worlds), random, Arc::clone(&stop)))
        })
        .collect();
    let mut failed = 0;
    thread::scope(|scope| {
        let (worlds, stop) = (&worlds, &*stop);
        let mut threads: Vec<_> = (0..config.threads)
            .map(|thread| {
                let random = Random::new(config.seed, thread);
                scope.spawn(move || {
                    thread_body(worlds, random, || !stop.load(Ordering::Relaxed));
                })
            })
            .collect();
        threads.push(scope.spawn(|| churn(worlds, &config, stop)));
        thread::sleep(config.time * 3 / 4);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            failed += usize::from(thread.join().is_err());
        }
    });
    runtime.block_on(async {
        for task in tasks {
            failed += usize::from(task.await.is_err());
        }
    });
    let mut report = Report::default();
    report.expect(failed == 0, || {
        format!("{failed} threads or tasks panicked")
    });
    for world in worlds.iter() {
        world.finish(&mut report);
    }
    late_stores::run(config.time / 4, &mut report);
    report.time = start.elapsed();
    report
}
