//! Readers whose first store is late.
//!
//! On entering a section, a reader stores its word and then loads pointers. A processor may run the
//! load first: the store waits in a buffer until its cache line arrives. A grace period that
//! ignores this ends too early. On most machines the store is rarely late enough for a test to
//! notice. Here the store is always late: right before it, the reader writes to memory that no
//! cache holds, and stores leave the buffer in order.
//!
//! If the process-wide barrier is left out, or the fence in fence mode, readers see poison on
//! x86-64 in an optimised build. They see poison often if each thread has a processor of its own,
//! and rarely or never on busy processors. In a build without optimisation the store is early
//! enough.

use super::crew::Crew;
use super::run::Run;
use super::world::NO_STALLS;
use async_rcu::{Rcu, error::BuildError};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const POISON: u64 = u64::MAX;

/// Larger than most caches.
const COLD: usize = 64 << 20;

/// The bytes that are written before each section.
const WRITTEN: usize = 4096;

/// How often a reader looks before it leaves its section.
const LOOKS: usize = 1_000;

/// The number of sections that are added to the counts at once.
const COUNTED: u64 = 1_000;

const STREAM: u64 = 1 << 24;

/// The least number of sections in which the element was replaced. With fewer, the two threads have
/// hardly run at the same time, since the machine is busy; then the test goes on for up to
/// `LONGER` times as long.
const MET: u64 = 200_000;
const LONGER: u32 = 3;

/// A value on cache lines of its own, so that other stores are not slow.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Debug)]
pub(super) struct Duel {
    rcu: Rcu,
    versions: [Apart<AtomicU64>; 2],
    current: Apart<AtomicUsize>,
    met: Apart<AtomicU64>,
    over: Apart<AtomicBool>,
}

impl Duel {
    pub(super) fn new() -> Result<Self, BuildError> {
        Ok(Duel {
            rcu: Rcu::builder().name("late").stall_timeout(NO_STALLS).build()?,
            versions: [Apart(AtomicU64::new(0)), Apart(AtomicU64::new(POISON))],
            current: Apart(AtomicUsize::new(0)),
            met: Apart(AtomicU64::new(0)),
            over: Apart(AtomicBool::new(false)),
        })
    }

    pub(super) fn rcu(&self) -> &Rcu {
        &self.rcu
    }

    fn read(&self, run: &Run) {
        let mut sections = 0;
        let mut cold = vec![1_u8; COLD];
        let mut random = run.random(STREAM);
        loop {
            let at = random.below(COLD - WRITTEN);
            cold[at..at + WRITTEN].fill(sections as u8);
            let guard = self.rcu.read();
            let current = self.current.0.load(Ordering::Acquire);
            let version = &self.versions[current].0;
            let dead = (0..LOOKS).any(|_| version.load(Ordering::Relaxed) == POISON);
            let met = self.current.0.load(Ordering::Relaxed) != current;
            drop(guard);
            if dead {
                run.board.report("late stores: a reader saw poison");
            }
            if met {
                self.met.0.fetch_add(1, Ordering::Relaxed);
            }
            sections += 1;
            if sections % COUNTED == 0 {
                run.reads.fetch_add(COUNTED, Ordering::Relaxed);
            }
            if self.over.0.load(Ordering::Relaxed) {
                black_box(&cold);
                return;
            }
        }
    }

    fn write(&self, run: &Run) {
        let mut version = 0;
        while !self.over.0.load(Ordering::Relaxed) {
            version += 1;
            let old = self.current.0.load(Ordering::Relaxed);
            self.versions[1 - old].0.store(version, Ordering::Relaxed);
            // The delay comes before the store: the time between the store and the scan must be
            // short.
            let waits = run.waits_for("late", "synchronize", None);
            self.current.0.store(1 - old, Ordering::Release);
            self.rcu.blocking_synchronize();
            drop(waits);
            self.versions[old].0.store(POISON, Ordering::Relaxed);
            run.updated();
        }
    }

    /// Runs the two threads for this long. No other thread of the run should be active: it would
    /// push the reader's stores out of the buffer.
    pub(super) fn run(&self, run: &Arc<Run>, wait: impl Fn(Instant), time: Duration) {
        thread::scope(|scope| {
            let mut crew = Crew::new(scope, run);
            crew.start("late-reader", || self.read(run));
            crew.start("late-writer", || self.write(run));
            for _ in 0..=LONGER {
                wait(Instant::now() + time);
                if self.met.0.load(Ordering::Relaxed) >= MET || run.board.errors() != 0 {
                    break;
                }
            }
            self.over.0.store(true, Ordering::Relaxed);
            crew.join();
        });
    }
}
