//! The domain's worker thread: the default executor, and where dropped batches go.
//!
//! # States
//! A push starts the thread if there is none, under the lock. The thread ends, under the lock, if
//! it was asked to stop and nothing is queued. So a push finds a thread that looks again, or starts
//! one.
//!
//! The thread polls the batch at the head of its queue until it is done, and all async callbacks
//! concurrently.

use super::batch::Batch;
use super::blocking::{self, WakeEvent};
use crate::sys::event::Event;
use crate::sys::prim::Mutex;
use crate::sys::thread::{self, JoinHandle};
use crate::sys::unwind::or_abort;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) struct Worker {
    /// The bytes of the stack of the domain's threads, if they are set.
    pub(crate) stack: Option<usize>,
    name: String,
    gp_event: &'static Event,
    state: Mutex<State>,
    event: Arc<WakeEvent>,
}

#[derive(Default)]
struct State {
    /// All batches but the one that the thread polls now, and the async callbacks that have begun.
    queue: VecDeque<Batch>,
    /// How many async callbacks are in the queue.
    fresh_async: usize,
    running: bool,
    stop: bool,
    /// Batches are queued, and there is no thread: the grace-period thread tries to start it.
    stranded: bool,
    thread: Option<JoinHandle>,
}

impl Worker {
    /// Returns the worker of a domain. `gp_event` wakes the grace-period thread.
    pub(crate) fn new(name: String, stack: Option<usize>, gp_event: &'static Event) -> Arc<Self> {
        Arc::new(Self {
            name,
            stack,
            gp_event,
            state: Mutex::new(State::default()),
            event: Arc::new(WakeEvent(Event::new())),
        })
    }

    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Starts the thread if there is none. Returns `false` if that fails.
    fn start(self: &Arc<Self>, state: &mut State) -> bool {
        if !state.running {
            let worker = Arc::clone(self);
            let name = format!("rcu-{}-cb", self.name);
            let thread = thread::spawn(name, self.stack, move || worker.main());
            state.running = thread.is_ok();
            state.thread = thread.ok();
        }
        state.running
    }

    /// Queues a batch, and starts the thread if there is none. If that fails, gives the batch back,
    /// or keeps an async callback, for which the grace-period thread tries again.
    pub(crate) fn push(self: &Arc<Self>, batch: Batch) -> Result<(), Batch> {
        let mut state = self.state.lock();
        state.stop = false;
        if !self.start(&mut state) && !batch.is_async() {
            return Err(batch);
        }
        state.fresh_async += usize::from(batch.is_async());
        state.queue.push_back(batch);
        state.stranded = !state.running;
        let stranded = state.stranded;
        drop(state);
        self.event.0.set();
        if stranded {
            self.gp_event.set();
        }
        Ok(())
    }

    /// By the grace-period thread: starts the thread if batches wait. Returns `true` on failure.
    pub(crate) fn retry(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if state.stranded {
            state.stranded = !self.start(&mut state);
        }
        state.stranded
    }

    /// Returns `true` if there is no thread. Otherwise asks the thread to end when it is idle, and
    /// to wake the grace-period thread then.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.state.lock();
        if state.running {
            state.stop = true;
            drop(state);
            self.event.0.set();
            return false;
        }
        true
    }

    /// Takes the handle of a thread that has ended, to join it.
    pub(crate) fn take_thread(&self) -> Option<JoinHandle> {
        let mut state = self.state.lock();
        match state.running {
            false => state.thread.take(),
            true => None,
        }
    }

    /// In the child of a fork: forgets the thread, unless it is the current one.
    pub(crate) fn after_fork(&self) {
        let here = blocking::is_worker(self.id());
        let mut state = self.state.lock();
        state.running = here;
        state.stop &= here;
        let thread = state.thread.take();
        drop(state);
        // A join would wait for ever.
        std::mem::forget(thread);
    }

    pub(crate) fn for_each(&self, f: impl FnMut(&Batch)) {
        self.state.lock().queue.iter().for_each(f);
    }

    /// Queues batches, for which the grace-period thread starts the thread.
    pub(crate) fn leave_for_later(&self, batches: Vec<Batch>) {
        let mut state = self.state.lock();
        state.queue.extend(batches);
        state.stranded = !state.running && !state.queue.is_empty();
        drop(state);
        // The current thread may be the worker, inside an async callback: it looks again.
        self.event.0.set();
    }

    /// Takes all async callbacks out of the queue, and the first of the other batches.
    fn take(&self, futures: &mut FuturesUnordered<Batch>) -> Option<Batch> {
        let mut state = self.state.lock();
        if state.fresh_async != 0 {
            state.fresh_async = 0;
            let queue = std::mem::take(&mut state.queue);
            for batch in queue {
                match batch.is_async() {
                    true => futures.push(batch),
                    false => state.queue.push_back(batch),
                }
            }
        }
        state.queue.pop_front()
    }

    /// By the thread, when it has nothing left to do: returns whether it ends now.
    fn end(&self) -> bool {
        let mut state = self.state.lock();
        let end = state.stop && state.queue.is_empty();
        if end {
            state.stop = false;
            state.running = false;
        }
        end
    }

    fn main(&self) {
        blocking::become_worker(self.id());
        // Batches catch the panics of foreign code. A panic here is a bug of this crate.
        or_abort(|| self.work());
        self.gp_event.set();
    }

    fn work(&self) {
        let waker = Waker::from(Arc::clone(&self.event));
        let mut context = Context::from_waker(&waker);
        let mut futures: FuturesUnordered<Batch> = FuturesUnordered::new();
        loop {
            self.event.0.reset();
            let mut again = false;
            if let Some(mut batch) = self.take(&mut futures) {
                match Pin::new(&mut batch).poll(&mut context) {
                    Poll::Ready(()) => again = true,
                    Poll::Pending => self.state.lock().queue.push_front(batch),
                }
            }
            if let Poll::Ready(Some(())) = futures.poll_next_unpin(&mut context) {
                again = true;
            }
            if again {
                continue;
            }
            if futures.is_empty() && self.end() {
                return;
            }
            self.event.0.wait(None);
        }
    }
}
