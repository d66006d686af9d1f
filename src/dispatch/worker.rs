//! The domain's worker thread: the default executor, and where batches go that nobody finished.
//!
//! # States
//! `idle` (no thread) `-> running` by a push, under the lock; `running -> idle` by the thread itself, under the lock, when
//! it was asked to stop and nothing is queued. So a push finds a thread that will look again, or starts one.
//!
//! The thread polls the batch at the head of its queue until it is done, and beside it all async callbacks that it was
//! given, concurrently.

use super::batch::Batch;
use super::block::WakeEvent;
use super::dispatcher::Dispatcher;
use super::here;
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

#[derive(Debug)]
pub(crate) struct Worker {
    state: Mutex<State>,
    event: Arc<WakeEvent>,
}

#[derive(Debug, Default)]
struct State {
    /// All batches but those in the thread's hands: the one that it polls, and the async ones that it has begun.
    queue: VecDeque<Batch>,
    /// How many async ones are among them.
    fresh_async: usize,
    running: bool,
    stop: bool,
    /// Something is queued that only the thread may run, and it could not be started.
    stranded: bool,
    thread: Option<JoinHandle>,
}

impl State {
    /// Starts the thread where there is none. `false` where that fails.
    fn start(&mut self, dispatcher: &Arc<Dispatcher>) -> bool {
        if !self.running {
            let shared = Arc::clone(dispatcher);
            let thread = thread::spawn(format!("rcu-{}-cb", dispatcher.name), move || main(shared));
            self.running = thread.is_ok();
            self.thread = thread.ok();
        }
        self.running
    }
}

impl Worker {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            event: Arc::new(WakeEvent(Event::new())),
        }
    }

    /// Queues a batch, and starts the thread where there is none. `Err` where that fails and the batch can run elsewhere;
    /// an async one is kept, and the grace-period thread tries again.
    pub(super) fn push(dispatcher: &Arc<Dispatcher>, batch: Batch) -> Result<(), Batch> {
        let worker = &dispatcher.worker;
        let mut state = worker.state.lock();
        state.stop = false;
        if !state.start(dispatcher) && !batch.is_async() {
            return Err(batch);
        }
        state.fresh_async += usize::from(batch.is_async());
        state.queue.push_back(batch);
        state.stranded = !state.running;
        let stranded = state.stranded;
        drop(state);
        worker.event.0.set();
        if stranded {
            dispatcher.kick();
        }
        Ok(())
    }

    /// Grace-period thread: tries again to start the thread, where something waits for it. `true` where that failed again.
    pub(crate) fn retry(dispatcher: &Arc<Dispatcher>) -> bool {
        let mut state = dispatcher.worker.state.lock();
        if state.stranded {
            state.stranded = !state.start(dispatcher);
        }
        state.stranded
    }

    /// Asks the thread to end when it has nothing left; `true` where there is none. It kicks the dispatcher as it goes.
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

    /// The ended thread's handle, to wait until the system has forgotten it.
    pub(crate) fn take_thread(&self) -> Option<JoinHandle> {
        let mut state = self.state.lock();
        match state.running {
            false => state.thread.take(),
            true => None,
        }
    }

    /// In the child of a fork: there is no thread, unless it is this one.
    pub(super) fn after_fork(&self, here: bool) {
        let mut state = self.state.lock();
        state.running = here;
        state.stop &= here;
        let thread = state.thread.take();
        drop(state);
        // To join it would be to wait for ever.
        std::mem::forget(thread);
    }

    pub(super) fn for_each(&self, f: impl FnMut(&Batch)) {
        self.state.lock().queue.iter().for_each(f);
    }

    /// Queues batches without starting the thread: the grace-period thread will, where it finds any.
    pub(super) fn leave_for_later(&self, batches: Vec<Batch>) {
        let mut state = self.state.lock();
        state.queue.extend(batches);
        state.stranded = !state.running && !state.queue.is_empty();
        drop(state);
        // Where this is the thread, in the middle of an async callback, it looks again.
        self.event.0.set();
    }

    /// The async batches, and one of the others: the first.
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

    /// It is not done yet, and keeps its turn.
    fn put_back(&self, batch: Batch) {
        self.state.lock().queue.push_front(batch);
    }

    /// The thread, with nothing left in its hands: whether it ends now.
    fn end(&self) -> bool {
        let mut state = self.state.lock();
        let end = state.stop && state.queue.is_empty();
        if end {
            state.stop = false;
            state.running = false;
        }
        end
    }
}

fn main(dispatcher: Arc<Dispatcher>) {
    // All foreign code is caught closer by. What arrives here is a bug of ours, with callbacks in its hands.
    or_abort(|| work(&dispatcher));
    dispatcher.kick();
}

fn work(dispatcher: &Dispatcher) {
    here::become_worker(dispatcher.id());
    let worker = &dispatcher.worker;
    let waker = Waker::from(Arc::clone(&worker.event));
    let mut context = Context::from_waker(&waker);
    let mut futures: FuturesUnordered<Batch> = FuturesUnordered::new();
    loop {
        worker.event.0.reset();
        let mut again = false;
        if let Some(mut batch) = worker.take(&mut futures) {
            match Pin::new(&mut batch).poll(&mut context) {
                Poll::Ready(()) => again = true,
                Poll::Pending => worker.put_back(batch),
            }
        }
        if let Poll::Ready(Some(())) = futures.poll_next_unpin(&mut context) {
            again = true;
        }
        if again {
            continue;
        }
        if futures.is_empty() && worker.end() {
            return;
        }
        worker.event.0.wait(None);
    }
}
