//! Replacing a value: allocate the new value, exchange it, retire the old one.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit, consume};
use crate::common::timed;
use crate::urcu::{self, Flavour, flavours};
use arc_swap::ArcSwap;
use async_rcu::{Rcu, RcuCell};
use crossbeam_epoch as epoch;
use haphazard::HazardPointer;
use seize::Guard as _;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Barrier, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const GOALS: &[Goal] = &[
    Goal::AtMost(0.4, "crossbeam-epoch"),
    Goal::AtMost(0.6, "seize"),
    Goal::AtMost(2.0, "exchange and free (nothing protects it)"),
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "replace",
        about: "Replace a boxed word and retire the old one again and again, without a reader; the \
                cost for the writer's thread.",
        unit: Unit::Nanoseconds,
        goals: GOALS,
        most_rounds: usize::MAX,
        set_up: || candidates(false),
    },
    Entry {
        name: "replace, 1 reader",
        about: "The same while another thread reads all the time.",
        unit: Unit::Nanoseconds,
        goals: &[Goal::AtMost(0.75, "crossbeam-epoch"), Goal::AtMost(0.75, "seize")],
        most_rounds: usize::MAX,
        set_up: || candidates(true),
    },
    Entry {
        name: "read, 1 writer",
        about: "Reads of one thread while another thread replaces the word at full speed.",
        unit: Unit::MillionsPerSecond,
        goals: &[Goal::AtLeast(1.5, "crossbeam-epoch"), Goal::AtLeast(1.5, "arc-swap")],
        most_rounds: usize::MAX,
        set_up: beside_a_writer,
    },
    Entry {
        name: "replace, until freed",
        about: "The same 100,000 times without a reader, and the wait until all are freed; the \
                time of one replacement.",
        unit: Unit::Nanoseconds,
        goals: &[],
        most_rounds: usize::MAX,
        set_up: until_freed,
    },
];

/// A word that one thread replaces and others read.
trait Exchange: Send + Sync + 'static {
    fn name(&self) -> String;
    fn replace(&self, n: u64) -> Duration;
    /// Calls `ready` and then reads until `stop`. Returns how often, or 0 if that is not known.
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64;
    /// Waits until all replaced values are freed, if the library has such a wait.
    fn settle(&self) {}
}

fn candidates(with_reader: bool) -> Vec<Candidate> {
    let looped = |exchange: Arc<dyn Exchange>| {
        Candidate::looped(exchange.name(), move |n| {
            let took = match with_reader {
                false => exchange.replace(n),
                true => beside_a_reader(&*exchange, n),
            };
            exchange.settle();
            took
        })
    };
    all().into_iter().map(looped).collect()
}

fn beside_a_reader(exchange: &dyn Exchange, n: u64) -> Duration {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let ready = || {
                start.wait();
            };
            exchange.read_until(&ready, &stop);
        });
        start.wait();
        let took = exchange.replace(n);
        stop.store(true, Ordering::Relaxed);
        took
    })
}

fn beside_a_writer() -> Vec<Candidate> {
    const TURN: Duration = Duration::from_millis(20);
    let one = |exchange: Arc<dyn Exchange>| {
        Candidate::new(exchange.name(), move || {
            let (stop, start) = (AtomicBool::new(false), Barrier::new(2));
            let (reads, took) = thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let ready = || {
                        start.wait();
                    };
                    exchange.read_until(&ready, &stop)
                });
                start.wait();
                let begin = Instant::now();
                while begin.elapsed() < TURN {
                    exchange.replace(100);
                }
                let took = begin.elapsed();
                stop.store(true, Ordering::Relaxed);
                (reader.join().expect("the reader does not panic"), took)
            });
            exchange.settle();
            reads as f64 / 1e6 / took.as_secs_f64()
        })
    };
    let all = all().into_iter().filter(|exchange| !exchange.name().starts_with("liburcu"));
    all.map(one).collect()
}

fn until_freed() -> Vec<Candidate> {
    const MANY: u64 = 100_000;
    all()
        .into_iter()
        // A library without such a wait frees all but a few on the way.
        .map(|exchange| {
            Candidate::new(exchange.name(), move || {
                let took = timed(1, || {
                    exchange.replace(MANY);
                    exchange.settle();
                });
                took.as_secs_f64() * 1e9 / MANY as f64
            })
        })
        .collect()
}

fn all() -> Vec<Arc<dyn Exchange>> {
    let mut all: Vec<Arc<dyn Exchange>> = vec![Arc::new(Ours::new())];
    for flavour in flavours() {
        all.push(Arc::new(Urcu { flavour, cell: flavour.cell() }));
    }
    all.push(Arc::new(Epoch(epoch::Atomic::new(1))));
    all.push(Arc::new(Seize(seize::Collector::new(), pointer())));
    all.push(Arc::new(Hazard(haphazard::AtomicPtr::from(Box::new(1)))));
    all.push(Arc::new(Sdd(sdd::AtomicOwned::new(1))));
    all.push(Arc::new(Swap(ArcSwap::from_pointee(1))));
    let (sender, receiver) = watch::channel(Box::new(1));
    all.push(Arc::new(Watch(sender, receiver)));
    all.push(Arc::new(StdLock(RwLock::new(Box::new(1)))));
    all.push(Arc::new(Lock(parking_lot::RwLock::new(Box::new(1)))));
    all.push(Arc::new(Unprotected(pointer())));
    all
}

fn pointer() -> AtomicPtr<u64> {
    AtomicPtr::new(Box::into_raw(Box::new(1)))
}

fn boxed(value: u64) -> *mut u64 {
    Box::into_raw(Box::new(value))
}

fn until(ready: &dyn Fn(), stop: &AtomicBool, mut read: impl FnMut()) -> u64 {
    // Registers the thread with libraries that need it.
    read();
    ready();
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        read();
        reads += 1;
    }
    reads
}

struct Ours(Rcu, RcuCell<u64>);

impl Ours {
    fn new() -> Self {
        let rcu = Rcu::new();
        let cell = RcuCell::new_in(&rcu, 1);
        Self(rcu, cell)
    }
}

impl Exchange for Ours {
    fn name(&self) -> String {
        OURS.into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || self.1.store(n))
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || self.1.with(|value| consume(*value)))
    }
    fn settle(&self) {
        self.0.blocking_drain();
    }
}

struct Urcu {
    flavour: Flavour,
    cell: urcu::Cell,
}

impl Exchange for Urcu {
    fn name(&self) -> String {
        self.flavour.name.into()
    }
    fn replace(&self, n: u64) -> Duration {
        self.flavour.on_thread(|thread| timed(1, || self.cell.replace_loop(thread, n)))
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        self.flavour.on_thread(|thread| {
            self.cell.read_loop(thread, 1);
            ready();
            self.cell.read_until(thread, stop);
        });
        0
    }
    fn settle(&self) {
        self.flavour.barrier();
    }
}

struct Epoch(epoch::Atomic<u64>);

impl Exchange for Epoch {
    fn name(&self) -> String {
        "crossbeam-epoch".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let guard = epoch::pin();
            let old = self.0.swap(epoch::Owned::new(n), Ordering::AcqRel, &guard);
            // SAFETY: the value was taken out here, once.
            unsafe { guard.defer_destroy(old) };
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || {
            let guard = epoch::pin();
            // SAFETY: never null, and loaded under the guard.
            consume(*unsafe { self.0.load(Ordering::Acquire, &guard).deref() });
        })
    }
}

struct Seize(seize::Collector, AtomicPtr<u64>);

impl Exchange for Seize {
    fn name(&self) -> String {
        "seize".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let old = self.1.swap(boxed(n), Ordering::AcqRel);
            // SAFETY: the value comes from a box, and was taken out here, once.
            unsafe { self.0.retire(old, seize::reclaim::boxed) };
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || {
            let guard = self.0.enter();
            // SAFETY: never null, and protected by the guard.
            consume(unsafe { *guard.protect(&self.1, Ordering::Acquire) });
        })
    }
}

struct Hazard(haphazard::AtomicPtr<u64>);

impl Exchange for Hazard {
    fn name(&self) -> String {
        "haphazard".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let old = self.0.swap(Box::new(n)).expect("never null");
            // SAFETY: the value was taken out here, once.
            unsafe { old.retire() };
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        let mut hazard = HazardPointer::new();
        until(ready, stop, || {
            consume(*self.0.safe_load(&mut hazard).expect("never null"));
            hazard.reset_protection();
        })
    }
    fn settle(&self) {
        haphazard::Domain::global().eager_reclaim();
    }
}

struct Sdd(sdd::AtomicOwned<u64>);

impl Exchange for Sdd {
    fn name(&self) -> String {
        "sdd".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            drop(self.0.swap((Some(sdd::Owned::new(n)), sdd::Tag::None), Ordering::AcqRel));
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || {
            let guard = sdd::Guard::new();
            consume(*self.0.load(Ordering::Acquire, &guard).as_ref().expect("never null"));
        })
    }
}

struct Swap(ArcSwap<u64>);

impl Exchange for Swap {
    fn name(&self) -> String {
        "arc-swap".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || self.0.store(Arc::new(n)))
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || consume(**self.0.load()))
    }
}

struct Watch(watch::Sender<Box<u64>>, watch::Receiver<Box<u64>>);

impl Exchange for Watch {
    fn name(&self) -> String {
        "tokio watch".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || drop(self.0.send_replace(Box::new(n))))
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        let receiver = self.1.clone();
        until(ready, stop, || consume(**receiver.borrow()))
    }
}

struct StdLock(RwLock<Box<u64>>);

impl Exchange for StdLock {
    fn name(&self) -> String {
        "std RwLock".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let new = Box::new(n);
            // The old value is dropped after the lock is released.
            let _old = std::mem::replace(&mut *self.0.write().expect("no poison"), new);
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || consume(**self.0.read().expect("no poison")))
    }
}

struct Lock(parking_lot::RwLock<Box<u64>>);

impl Exchange for Lock {
    fn name(&self) -> String {
        "parking_lot RwLock".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let new = Box::new(n);
            let _old = std::mem::replace(&mut *self.0.write(), new);
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        until(ready, stop, || consume(**self.0.read()))
    }
}

/// The cost of the allocator and the exchange.
struct Unprotected(AtomicPtr<u64>);

impl Exchange for Unprotected {
    fn name(&self) -> String {
        "exchange and free (nothing protects it)".into()
    }
    fn replace(&self, n: u64) -> Duration {
        timed(n, || {
            let old = self.0.swap(boxed(n), Ordering::AcqRel);
            // SAFETY: the value was taken out here, once; `read_until` does not look at values.
            drop(unsafe { Box::from_raw(old) });
        })
    }
    fn read_until(&self, ready: &dyn Fn(), stop: &AtomicBool) -> u64 {
        // Reads the pointer only: the word that it points to may be freed.
        until(ready, stop, || consume(self.0.load(Ordering::Acquire).addr() as u64))
    }
}
