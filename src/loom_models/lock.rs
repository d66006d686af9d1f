//! The global lock: batches take turns under it, and hand over the jobs that they have begun.
//!
//! tokio's lock cannot run under loom, whose cfg would change all of tokio. The models show the
//! protocol around the lock: its holder has the head of the line of jobs; the job goes back to the
//! line before the lock is released; a batch may be dropped while it waits. They use a lock of
//! their own, which is fair and handed over, as tokio's is. They trust that tokio's lock orders
//! what it guards, and wakes the next waiter.

use super::*;
use crate::dispatch::job::{BigLock, BoxFuture, Held};
use crate::sys::prim::{Mutex, UnsafeCell};
use std::any::Any;
use std::collections::VecDeque;

type Value = Vec<usize>;

struct Lock {
    state: Mutex<State>,
    /// loom checks that only the lock's holder touches this.
    value: UnsafeCell<Value>,
}

#[derive(Default)]
struct State {
    held: bool,
    /// The waiter that the lock was handed to, if it has not been polled since.
    granted: Option<usize>,
    next: usize,
    waiting: VecDeque<(usize, Waker)>,
}

// SAFETY: only the lock's holder touches `value`; loom checks that.
unsafe impl Sync for Lock {}
// SAFETY: as above.
unsafe impl Send for Lock {}

struct Guard(&'static Lock);

struct Waiting {
    lock: &'static Lock,
    id: Option<usize>,
}

impl Lock {
    fn new() -> &'static Self {
        leak(Self { state: Mutex::default(), value: UnsafeCell::new(Value::new()) })
    }

    fn try_take(&'static self) -> Option<Guard> {
        let mut state = self.state.lock();
        let free = !state.held;
        state.held = true;
        drop(state);
        free.then(|| Guard(self))
    }

    fn waiting(&'static self) -> Waiting {
        Waiting { lock: self, id: None }
    }

    /// Hands the lock to the next waiter, or releases it.
    fn hand_over(&self) {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        state.held = next.is_some();
        state.granted = next.as_ref().map(|(id, _)| *id);
        drop(state);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

impl Guard {
    fn value(&mut self) -> &mut Value {
        // SAFETY: the lock is held; loom checks that no other thread is here.
        self.0.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.hand_over();
    }
}

impl Future for Waiting {
    type Output = Guard;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Guard> {
        let lock = self.lock;
        let mut state = lock.state.lock();
        match self.id {
            None if !state.held => state.held = true,
            None => {
                state.next += 1;
                let id = state.next;
                self.id = Some(id);
                state.waiting.push_back((id, cx.waker().clone()));
                return Poll::Pending;
            }
            Some(id) if state.granted == Some(id) => state.granted = None,
            Some(id) => {
                let place = state.waiting.iter_mut().find(|(other, _)| *other == id);
                place.expect("waits").1 = cx.waker().clone();
                return Poll::Pending;
            }
        }
        self.id = None;
        drop(state);
        Poll::Ready(Guard(lock))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut state = self.lock.state.lock();
        state.waiting.retain(|(other, _)| *other != id);
        let ours = state.granted == Some(id);
        drop(state);
        if ours {
            self.lock.hand_over();
        }
    }
}

impl BigLock for &'static Lock {
    fn id(&self) -> usize {
        std::ptr::from_ref(*self).addr()
    }
    fn try_lock(&self) -> Option<Box<dyn Held>> {
        Some(Box::new(self.try_take()?))
    }
    fn lock(&self) -> BoxFuture<Box<dyn Held>> {
        let waiting = self.waiting();
        Box::pin(async move { Box::new(waiting.await) as Box<dyn Held> })
    }
}

impl Held for Guard {
    fn value(&mut self) -> &mut dyn Any {
        Guard::value(self)
    }
}

/// Returns batches under the lock, one for each list; each callback pushes one of the numbers.
fn batches<const N: usize>(
    dispatcher: &Arc<Dispatcher>,
    lock: &'static Lock,
    all: [&[usize]; N],
) -> [Batch; N] {
    let mut calling = Calling::new();
    all.map(|numbers| {
        for n in numbers.iter().copied() {
            let id = lock.id();
            calling.queue_in(move |context| {
                context.locked::<Value>(id).expect("under the lock").push(n);
            });
        }
        Batch::calls(calling.collect(), dispatcher.begin_collection())
    })
}

/// Two threads run batches while the user takes the lock. Callbacks run once, alone, in order.
#[test]
fn loom_models_batches_take_turns() {
    loom::model(|| {
        let lock = Lock::new();
        let (_, dispatcher) = dispatcher_with(Some(Box::new(lock)));
        let [first, second] = batches(dispatcher, lock, [&[1, 2], &[3]]);
        let others = [first, second].map(|batch| thread::spawn(move || batch.run()));
        let mut guard = block_on(lock.waiting(), None).unwrap();
        guard.value().reserve(1);
        drop(guard);
        join_all(others);
        assert!(!dispatcher.tickets.any_open());
        assert_eq!(*lock.try_take().expect("free").value(), [1, 2, 3]);
    });
}

/// A batch is dropped while it waits for the lock. The next waiter gets the lock, and the worker
/// gets the batch.
#[test]
fn loom_models_a_batch_that_is_dropped_while_it_waits() {
    check_with_fewer(1, || {
        let lock = Lock::new();
        let (event, dispatcher) = dispatcher_with(Some(Box::new(lock)));
        let [mut dropped, run] = batches(dispatcher, lock, [&[1], &[2]]);
        let mut guard = lock.try_take().unwrap();
        let poll = Pin::new(&mut dropped).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        let other = thread::spawn(move || run.run());
        guard.value().push(0);
        let dropper = thread::spawn(move || drop(dropped));
        drop(guard);
        join_all([other, dropper]);
        wait_until(event, || !dispatcher.tickets.watch());
        assert_eq!(*lock.try_take().expect("free").value(), [0, 1, 2]);
        stop_worker(event, dispatcher);
    });
}
