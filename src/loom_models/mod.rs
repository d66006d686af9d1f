//! Models that loom runs through every interleaving: `ci/loom.sh`.
//!
//! They run the crate's own code on loom's atomics, with small constants. loom knows fences and not
//! system calls, so the models show the fence mode. They cannot tell a light fence from a heavy
//! one: the asymmetric mode rests on the contract in `sys::barrier` and on `tests/explorer.rs`.
//!
//! A value that must not be used after it was freed is a loom `UnsafeCell`. Readers look with
//! `with`, the freeing thread writes with `with_mut`, and loom fails if the two are not ordered.

mod backlog;
mod batches;
mod cell;
mod domain;
mod holdout;
mod list;
mod lock;
mod map;
mod owned;
mod queue;
mod release;
mod restart;
mod section;
mod tickets;
mod vec;
mod waiters;
mod watch;

use crate::Rcu;
use crate::callback::Callback;
use crate::callback::queue::{CallbackList, Queue};
use crate::dispatch::executor::InlineExecutor;
use crate::dispatch::job::{self, BigLock};
use crate::domain::dispatcher::Dispatcher;
use crate::grace_period::Engine;
use crate::reader::record::Record;
use crate::reader::registry::Registry;
use crate::reader::sequence::Seq;
use crate::reader::word::Word;
use crate::sys::event::Event;
use crate::sys::prim::{Fences, choose_fences, fence, switch_at_fences};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use std::time::Duration;

/// Two versions behind an index that a writer moves from the first to the second.
pub(super) struct Cell {
    current: AtomicUsize,
    versions: [UnsafeCell<u32>; 2],
}

// SAFETY: loom checks `versions`: it fails if two threads touch one unordered.
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

pub(super) const ALIVE: u32 = 7;

impl Cell {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Cell {
            current: AtomicUsize::new(0),
            versions: [UnsafeCell::new(ALIVE), UnsafeCell::new(ALIVE)],
        })
    }

    /// Reads the current version. Readers call this inside a section.
    pub(super) fn look(&self) {
        let version = self.current.load(Ordering::Acquire);
        // SAFETY: shared access; loom checks that no thread writes at the same time.
        self.versions[version].with(|value| assert_eq!(unsafe { *value }, ALIVE));
    }

    /// Publishes the second version. Only the writer calls this.
    pub(super) fn unlink(&self) {
        self.current.store(1, Ordering::Release);
    }

    /// Frees the first version. The writer calls this after a grace period.
    pub(super) fn free(&self) {
        // SAFETY: loom checks that no thread reads at the same time.
        self.versions[0].with_mut(|value| unsafe { *value = 0 });
    }
}

pub(super) fn engine() -> (&'static Registry, Arc<Engine>) {
    let registry = Registry::leak(Seq::FIRST);
    (registry, Arc::new(Engine::new(registry)))
}

pub(super) fn scan_until(engine: &Engine, seq: Seq) {
    while !engine.has_elapsed(seq) {
        engine.scan();
        loom::thread::yield_now();
    }
}

pub(super) fn enter(record: &'static Record) {
    // SAFETY: one thread at a time uses the record, and the model pairs the calls.
    unsafe { record.enter(record.signals()) }
}

pub(super) fn leave(record: &'static Record) {
    // SAFETY: as in `enter`.
    unsafe { record.leave() }
}

pub(super) fn claim(record: &'static Record) -> &'static Word {
    // SAFETY: as in `enter`.
    unsafe { record.claim(record.signals()) }
}

pub(super) fn leave_owned(record: &Record, word: &Word) {
    // SAFETY: the model claims the word from this record, and leaves it once.
    unsafe { record.leave_owned(word) }
}

pub(super) fn refresh_owned(record: &Record, word: &Word) {
    // SAFETY: as in `leave_owned`. The model has no reference from the section.
    unsafe { record.refresh_owned(word) }
}

/// Starts a thread that runs `f` in one section of this record, which only this thread uses.
pub(super) fn in_section<R: 'static>(
    record: &'static Record,
    f: impl FnOnce() -> R + 'static,
) -> JoinHandle<R> {
    thread::spawn(move || {
        enter(record);
        let result = f();
        leave(record);
        result
    })
}

/// Starts a thread that reads in one section of this record.
pub(super) fn reads(record: &'static Record, cell: &Arc<Cell>) -> JoinHandle<()> {
    let cell = cell.clone();
    in_section(record, move || cell.look())
}

/// Unlinks, waits for a grace period of its own, and frees.
pub(super) fn replace(engine: &Engine, cell: &Cell) {
    cell.unlink();
    let seq = engine.start();
    scan_until(engine, seq);
    cell.free();
}

/// Runs a model with many steps, and with this many preemptions less than usual.
pub(super) fn check_with_fewer(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    let fewer = |bound: usize| bound.saturating_sub(preemptions).max(1);
    builder.preemption_bound = builder.preemption_bound.map(fewer);
    builder.check(model);
}

/// Runs a model of a whole domain, which has very many steps.
pub(super) fn check(model: impl Fn() + Send + Sync + 'static) {
    check_with_fewer(2, model);
}

/// Returns a domain whose thread is stopped, so that the model has fewer steps.
pub(super) fn stopped_rcu() -> Rcu {
    let rcu = inline_rcu();
    rcu.blocking_shutdown();
    crate::sys::thread::wait_for_all();
    rcu
}

/// Runs a model that also switches threads at fences, which loom does not do by itself.
pub(super) fn at_fences(model: fn()) {
    switch_at_fences();
    loom::model(move || {
        // The first fence makes loom's `STEP`, before another thread exists that this could order.
        fence(Ordering::SeqCst);
        model();
    });
}

/// Runs a model of a protocol that rests on SeqCst accesses, once with each side of their fences.
pub(super) fn each_way(model: fn()) {
    for fences in [Fences::Before, Fences::After] {
        choose_fences(fences);
        loom::model(model);
    }
}

/// Returns a domain whose callbacks run on its own thread.
pub(super) fn inline_rcu() -> Rcu {
    Rcu::builder()
        .name("model")
        .executor(InlineExecutor)
        .batch_interval(Duration::ZERO)
        .build()
        .unwrap()
}

/// Returns a dispatcher without a domain, and the event that the dispatcher sets.
pub(super) fn dispatcher_with(
    lock: Option<Box<dyn BigLock>>,
) -> (&'static Event, std::sync::Arc<Dispatcher>) {
    let event: &'static Event = &engine().0.signals.event;
    let executor = std::sync::Arc::new(InlineExecutor);
    (event, Dispatcher::new(event, "model".to_owned(), executor, lock, None))
}

pub(super) fn dispatcher() -> (&'static Event, std::sync::Arc<Dispatcher>) {
    dispatcher_with(None)
}

/// One thread's queue, and its collector.
pub(super) struct Calling(&'static Queue);

impl Calling {
    pub(super) fn new() -> Self {
        Self(Box::leak(Box::new(Queue::new())))
    }

    pub(super) fn queue_in(&mut self, f: impl FnOnce(&mut job::Context) + Send + 'static) {
        let callback = Callback::new(|context| f(job::Context::of(context)));
        // SAFETY: `&mut self` is the one producer.
        unsafe { self.0.push(callback) };
    }

    pub(super) fn queue(&mut self, f: impl FnOnce() + Send + 'static) {
        self.queue_in(|_| f());
    }

    pub(super) fn collect(&mut self) -> CallbackList {
        let mut calls = CallbackList::new();
        // SAFETY: `&mut self` is the one collector.
        unsafe { self.0.collect(&mut calls) };
        calls
    }
}

/// A place that one thread writes once, and that other threads look at after that.
#[derive(Clone)]
pub(super) struct WrittenOnce(Arc<(UnsafeCell<u32>,)>);

// SAFETY: loom checks the place: it fails if two threads touch it unordered.
unsafe impl Send for WrittenOnce {}
// SAFETY: as above.
unsafe impl Sync for WrittenOnce {}

impl WrittenOnce {
    pub(super) fn new() -> Self {
        Self(Arc::new((UnsafeCell::new(0),)))
    }

    pub(super) fn write(&self) {
        // SAFETY: loom checks that no other thread is here.
        self.0.0.with_mut(|place| unsafe { *place += 1 });
    }

    /// Checks that the place was written exactly once.
    pub(super) fn look(&self) {
        // SAFETY: loom checks that no thread writes.
        self.0.0.with(|place| assert_eq!(unsafe { *place }, 1));
    }
}

/// A callback that must run exactly once, and a way to wait for it.
#[derive(Clone)]
pub(super) struct Step {
    place: WrittenOnce,
    done: WrittenOnce,
    count: std::sync::Arc<AtomicUsize>,
    event: std::sync::Arc<Event>,
}

impl Step {
    pub(super) fn new() -> Self {
        Self {
            place: WrittenOnce::new(),
            done: WrittenOnce::new(),
            count: std::sync::Arc::new(AtomicUsize::new(0)),
            event: std::sync::Arc::new(Event::new()),
        }
    }

    /// Returns the callback, which checks that it sees what was written before this call.
    pub(super) fn take(&self) -> impl FnOnce() + Send + 'static {
        let step = self.clone();
        self.place.write();
        move || {
            step.place.look();
            step.done.write();
            assert_eq!(step.count.fetch_add(1, Ordering::Relaxed), 0, "run twice");
            step.event.set();
        }
    }

    /// Returns whether the callback has run, and checks that its writes are seen then.
    pub(super) fn is_done(&self) -> bool {
        let done = self.count.load(Ordering::Relaxed) == 1;
        if done {
            self.done.look();
        }
        done
    }

    pub(super) fn wait(&self) {
        self.event.wait(None);
        assert!(self.is_done());
    }
}

/// A value that loom checks. Its drop is a write.
pub(super) struct Value(UnsafeCell<u32>);

// SAFETY: loom checks the value: it fails if two threads touch it unordered.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    pub(super) fn new(number: u32) -> Self {
        let place = UnsafeCell::new(0);
        // SAFETY: not shared yet. loom checks that this write comes before every look.
        place.with_mut(|place| unsafe { *place = number });
        Self(place)
    }

    pub(super) fn look(&self) -> u32 {
        // SAFETY: shared access; loom checks that no thread writes at the same time.
        let number = self.0.with(|place| unsafe { *place });
        assert_ne!(number, 0, "freed");
        number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: loom checks that no thread looks at the same time.
        self.0.with_mut(|place| unsafe { *place = 0 });
    }
}
