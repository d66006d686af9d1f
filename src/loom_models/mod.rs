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
mod stock;
mod tickets;
mod vec;
mod waiters;
mod watch;

// Models take these from here, by `use super::*`.
use crate::callback::Callback;
use crate::callback::queue::{CallbackList, Common, Queue};
use crate::dispatch::batch::Batch;
use crate::dispatch::blocking::block_on;
use crate::dispatch::executor::InlineExecutor;
use crate::dispatch::job::{self, BigLock};
use crate::domain::dispatcher::Dispatcher;
use crate::grace_period::Engine;
use crate::reader::record::Record;
use crate::reader::registry::Registry;
use crate::reader::sequence::Seq;
use crate::reader::word::Word;
use crate::sys::barrier;
use crate::sys::event::Event;
use crate::sys::prim::{Fences, choose_fences, fence, switch_at_fences};
use crate::sys::thread::wait_for_all;
use crate::{Builder, Rcu, RcuCell};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use std::future::poll_fn;
use std::mem::forget;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Runs a model with many steps, and with this many preemptions less than usual.
fn check_with_fewer(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    let fewer = |bound: usize| bound.saturating_sub(preemptions).max(1);
    builder.preemption_bound = builder.preemption_bound.map(fewer);
    builder.check(model);
}

/// Runs a model of a whole domain, which has very many steps. Its callbacks run on its own thread.
fn check(model: impl Fn(Rcu) + Send + Sync + 'static) {
    check_with_fewer(2, move || {
        model(inline_rcu());
        wait_for_all();
    });
}

/// Runs a model that also switches threads at fences, which loom does not do by itself.
fn at_fences(model: fn()) {
    switch_at_fences();
    loom::model(move || {
        // The first fence makes loom's `STEP`, before another thread exists that this could order.
        fence(Ordering::SeqCst);
        model();
    });
}

/// Runs a model of a protocol that rests on SeqCst accesses, once with each side of their fences.
fn each_way(model: fn()) {
    for fences in [Fences::Before, Fences::After] {
        choose_fences(fences);
        loom::model(model);
    }
}

/// Leaks what the threads of a run share, so that reference counts add no steps and no order.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Starts a thread with a handle of its own.
fn beside<S: Clone + 'static, R: 'static>(
    shared: &S,
    f: impl FnOnce(S) -> R + 'static,
) -> JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || f(shared))
}

fn join_all<R>(threads: impl IntoIterator<Item = JoinHandle<R>>) {
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
}

/// Drops the handles of a domain, and waits until its threads have ended.
fn end<T>(handles: T) {
    drop(handles);
    wait_for_all();
}

/// A value that loom checks. It is 0 before it is written and after it was freed.
struct Value(UnsafeCell<u32>);

// SAFETY: loom checks the value: it fails if two threads touch it unordered.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn unwritten() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn new(number: u32) -> Self {
        let value = Self::unwritten();
        value.change(|place| *place = number);
        value
    }

    fn change(&self, change: impl FnOnce(&mut u32)) {
        // SAFETY: loom checks that no other thread is here.
        self.0.with_mut(|place| change(unsafe { &mut *place }));
    }

    fn count_up(&self) {
        self.change(|place| *place += 1);
    }

    fn free(&self) {
        self.change(|place| *place = 0);
    }

    fn look(&self) -> u32 {
        // SAFETY: shared access; loom checks that no thread writes at the same time.
        let number = self.0.with(|place| unsafe { *place });
        assert_ne!(number, 0, "not yet written, or freed");
        number
    }

    fn was_counted_once(&self) -> bool {
        self.look() == 1
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.free();
    }
}

/// Two versions behind an index that a writer moves from the first to the second.
struct Cell {
    current: AtomicUsize,
    versions: [Value; 2],
}

impl Cell {
    /// Reads the current version. Readers call this inside a section.
    fn look(&self) {
        self.versions[self.current.load(Ordering::Acquire)].look();
    }

    /// Publishes the second version. Only the writer calls this.
    fn unlink(&self) {
        self.current.store(1, Ordering::Release);
    }

    /// Frees the first version. The writer calls this after a grace period.
    fn free(&self) {
        self.versions[0].free();
    }
}

fn engine() -> (&'static Registry, &'static Engine) {
    let registry = Registry::leak(Seq::FIRST);
    (registry, leak(Engine::new(registry)))
}

fn engine_and_cell() -> (&'static Registry, &'static Engine, &'static Cell) {
    let (registry, engine) = engine();
    let cell = Cell { current: AtomicUsize::new(0), versions: [1, 2].map(Value::new) };
    (registry, engine, leak(cell))
}

fn scan_until(engine: &Engine, seq: Seq) {
    while !engine.has_elapsed(seq) {
        engine.scan();
        thread::yield_now();
    }
}

fn grace_period(engine: &Engine) {
    scan_until(engine, engine.start());
}

/// Unlinks, waits for a grace period of its own, and frees.
fn replace(engine: &Engine, cell: &Cell) {
    cell.unlink();
    grace_period(engine);
    cell.free();
}

/// Runs `reads` on another thread, while this thread replaces the version.
fn replace_beside(reads: impl FnOnce(&'static Registry, &'static Cell) + 'static) {
    let (registry, engine, cell) = engine_and_cell();
    let reader = thread::spawn(move || reads(registry, cell));
    replace(engine, cell);
    reader.join().unwrap();
}

fn enter(record: &'static Record) {
    // SAFETY: one thread at a time uses the record, and the model pairs the calls.
    unsafe { record.enter(record.signals()) }
}

fn leave(record: &'static Record) {
    // SAFETY: as in `enter`.
    unsafe { record.leave() }
}

fn claim(record: &'static Record) -> &'static Word {
    // SAFETY: as in `enter`.
    unsafe { record.claim(record.signals()) }
}

fn leave_owned(record: &Record, word: &Word) {
    // SAFETY: the model claims the word from this record, and leaves it once.
    unsafe { record.leave_owned(word) }
}

fn refresh_owned(record: &Record, word: &Word) {
    // SAFETY: as in `leave_owned`. The model has no reference from the section.
    unsafe { record.refresh_owned(word) }
}

fn section<R>(record: &'static Record, f: impl FnOnce() -> R) -> R {
    enter(record);
    let result = f();
    leave(record);
    result
}

/// Starts a thread that runs `f` in one section of this record, which only this thread uses.
fn in_section<R: 'static>(
    record: &'static Record,
    f: impl FnOnce() -> R + 'static,
) -> JoinHandle<R> {
    thread::spawn(move || section(record, f))
}

fn inline_rcu() -> Rcu {
    inline_builder().build().unwrap()
}

/// Begins a domain whose callbacks run on its own thread.
fn inline_builder() -> Builder {
    Rcu::builder().name("model").executor(InlineExecutor).batch_interval(Duration::ZERO)
}

/// Returns a domain whose thread is stopped, so that the model has fewer steps.
fn stopped_rcu() -> Rcu {
    let rcu = inline_rcu();
    rcu.blocking_shutdown();
    wait_for_all();
    rcu
}

/// Makes a cell whose domain's thread stays stopped, so nothing is freed.
fn stopped_cell() -> &'static RcuCell<Value> {
    leak(RcuCell::new_in(&stopped_rcu(), Value::new(1)))
}

/// Returns a dispatcher without a domain, and the event that the dispatcher sets.
fn dispatcher_with(lock: Option<Box<dyn BigLock>>) -> (&'static Event, &'static Arc<Dispatcher>) {
    let event: &'static Event = &engine().0.signals.event;
    let executor = Arc::new(InlineExecutor);
    (event, leak(Dispatcher::new(event, "model".to_owned(), executor, lock, None, false, None)))
}

fn dispatcher() -> (&'static Event, &'static Arc<Dispatcher>) {
    dispatcher_with(None)
}

/// Sleeps until `is_over`, which the thread that sets the event makes true.
fn wait_until(event: &Event, mut is_over: impl FnMut() -> bool) {
    loop {
        event.reset();
        if is_over() {
            return;
        }
        event.wait(None);
    }
}

fn stop_worker(event: &Event, dispatcher: &Dispatcher) {
    wait_until(event, || dispatcher.worker.stop());
    wait_for_all();
}

fn collect(queue: &'static Queue) -> CallbackList {
    let mut calls = CallbackList::new();
    // SAFETY: a model has one collector.
    unsafe { queue.collect(&mut calls) };
    calls
}

/// One thread's queue, and its collector.
struct Calling(&'static Queue);

impl Calling {
    fn new() -> Self {
        Self(leak(Queue::new(leak(Common::default()), leak(Event::new()))))
    }

    fn queue_in(&mut self, f: impl FnOnce(&mut job::Context) + Send + 'static) {
        let callback = Callback::new(|context| f(job::Context::of(context)));
        // SAFETY: `&mut self` is the one producer.
        unsafe { self.0.push(callback) };
    }

    fn queue(&mut self, f: impl FnOnce() + Send + 'static) {
        self.queue_in(|_| f());
    }

    fn collect(&mut self) -> CallbackList {
        collect(self.0)
    }
}

/// Makes a waker that runs one function when it is woken, and the other when it is dropped. Each
/// may come back to a list of waiters. If the waker runs under the list's lock, it hangs.
fn waker(
    woken: impl Fn() + Send + Sync + 'static,
    dropped: impl Fn() + Send + Sync + 'static,
) -> Waker {
    struct Functions<W, D: Fn()>(W, D);
    impl<W: Fn(), D: Fn()> Wake for Functions<W, D> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    impl<W, D: Fn()> Drop for Functions<W, D> {
        fn drop(&mut self) {
            (self.1)();
        }
    }
    Waker::from(Arc::new(Functions(woken, dropped)))
}

/// A callback that must run exactly once, and a way to wait for it.
struct Step {
    taken: Value,
    done: Value,
    count: AtomicUsize,
    event: Event,
}

impl Step {
    fn new() -> &'static Self {
        leak(Self {
            taken: Value::unwritten(),
            done: Value::unwritten(),
            count: AtomicUsize::new(0),
            event: Event::new(),
        })
    }

    /// Returns the callback, which checks that it sees what was written before this call.
    fn take(&'static self) -> impl FnOnce() + Send + 'static {
        self.taken.count_up();
        move || {
            assert!(self.taken.was_counted_once());
            self.done.count_up();
            assert_eq!(self.count.fetch_add(1, Ordering::Relaxed), 0, "run twice");
            self.event.set();
        }
    }

    /// Returns whether the callback has run, and checks that its writes are seen then.
    fn is_done(&self) -> bool {
        let done = self.count.load(Ordering::Relaxed) == 1;
        assert!(!done || self.done.was_counted_once());
        done
    }

    fn wait(&self) {
        self.event.wait(None);
        assert!(self.is_done());
    }
}
