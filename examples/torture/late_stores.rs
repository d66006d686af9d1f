//! Readers whose first store is late.
//!
//! On entering a section a reader stores its word and then loads pointers. Processors let the load go first: the store
//! waits in a buffer until its cache line has come. A grace period that does not reckon with this ends too early. It is seldom
//! that the store is late enough to be caught; here it is always: right before, the reader writes to memory that no cache
//! holds, and stores leave the buffer in order. Without the process-wide barrier (or, in that mode, without the fence)
//! the poison is seen many thousand times in a second on x86-64, in an optimised build. Without optimisation the store
//! has time enough to arrive.

use super::Report;
use async_rcu::Rcu;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const POISON: u64 = u64::MAX;

/// More than most caches have.
const COLD: usize = 64 << 20;

/// Written before each section.
const WRITTEN: usize = 4096;

/// How often a reader looks before it leaves.
const LOOKS: usize = 1_000;

/// On cache lines of its own, so that nothing else is slow.
#[repr(align(128))]
struct Apart<T>(T);

struct Duel {
    rcu: Rcu,
    versions: [Apart<AtomicU64>; 2],
    current: Apart<AtomicUsize>,
    over: Apart<AtomicBool>,
}

impl Duel {
    /// Sections, and how many of them saw the poison.
    fn read(&self) -> (u64, u64) {
        let (mut sections, mut poisoned) = (0, 0);
        let mut cold = vec![1_u8; COLD];
        let mut random = super::Random::new(1, 0);
        while !self.over.0.load(Ordering::Relaxed) {
            let at = random.below(COLD - WRITTEN);
            cold[at..at + WRITTEN].fill(sections as u8);
            let guard = self.rcu.read();
            let version = &self.versions[self.current.0.load(Ordering::Acquire)].0;
            let dead = (0..LOOKS).any(|_| version.load(Ordering::Relaxed) == POISON);
            drop(guard);
            poisoned += u64::from(dead);
            sections += 1;
        }
        black_box(&cold);
        (sections, poisoned)
    }

    fn write(&self, time: Duration) -> u64 {
        let start = Instant::now();
        let mut version = 0;
        while start.elapsed() < time {
            version += 1;
            let old = self.current.0.load(Ordering::Relaxed);
            self.versions[1 - old].0.store(version, Ordering::Relaxed);
            self.current.0.store(1 - old, Ordering::Release);
            self.rcu.blocking_synchronize();
            self.versions[old].0.store(POISON, Ordering::Relaxed);
        }
        self.over.0.store(true, Ordering::Relaxed);
        version
    }
}

pub(super) fn run(time: Duration, report: &mut Report) {
    let duel = Duel {
        rcu: Rcu::new(),
        versions: [Apart(AtomicU64::new(0)), Apart(AtomicU64::new(POISON))],
        current: Apart(AtomicUsize::new(0)),
        over: Apart(AtomicBool::new(false)),
    };
    let (updates, (reads, poisoned)) = thread::scope(|scope| {
        let reader = scope.spawn(|| duel.read());
        (duel.write(time), reader.join().expect("the reader"))
    });
    report.expect(poisoned == 0, || {
        format!("late stores: poison was seen in {poisoned} of {reads} sections")
    });
    report.expect(reads > 0 && updates > 0, || {
        format!("late stores: {reads} reads, {updates} updates")
    });
    report.reads += reads;
    report.updates += updates;
    report.grace_periods += duel.rcu.stats().grace_periods;
}
