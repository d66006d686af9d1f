//! Batches on their way: what an executor drops goes to the worker, each callback runs once, and the worker ends when told.

use super::{Calling, Step, check_with_fewer, dispatcher};
use crate::dispatch::batch::Batch;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::tickets::Ticket;
use crate::sys::event::Event;
use crate::sys::thread::wait_for_all;
use loom::thread;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

/// Until the worker has ended.
fn stop_worker(event: &Event, dispatcher: &Arc<Dispatcher>) {
    loop {
        event.reset();
        if dispatcher.worker.stop() {
            return;
        }
        event.wait(None);
    }
}

/// An executor polls a batch and drops it, wherever it is by then.
fn poll_and_drop(mut batch: Batch) {
    let _ = Pin::new(&mut batch).poll(&mut Context::from_waker(Waker::noop()));
}

/// Dropped before its end, on a thread of the executor's; the drain waits for what is left.
#[test]
fn loom_models_a_batch_that_is_dropped() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let steps = [(); 2].map(|()| Step::new());
        let mut calling = Calling::new();
        for step in &steps {
            calling.queue(step.take());
        }
        let batch = Batch::calls(calling.collect(), Ticket::open(&dispatcher, 1));
        let executor = thread::spawn(move || poll_and_drop(batch));
        let id = dispatcher.tickets.ask(Waker::noop());
        dispatcher
            .tickets
            .assign(&dispatcher.tickets.take_asked(), 1);
        crate::dispatch::block::block_on(
            std::future::poll_fn(|cx| dispatcher.tickets.poll(id, cx.waker())),
            None,
        );
        assert!(steps.iter().all(Step::is_done));
        executor.join().unwrap();
        stop_worker(event, &dispatcher);
        wait_for_all();
    });
}

/// Handed to the worker just as it is asked to end: it goes on, or another one is started.
#[test]
fn loom_models_a_batch_beside_the_workers_end() {
    check_with_fewer(1, || {
        let (event, dispatcher) = dispatcher();
        let steps = [(); 2].map(|()| Step::new());
        let mut calling = Calling::new();
        let batches = [1, 2].map(|n: u64| {
            calling.queue(steps[n as usize - 1].take());
            Batch::calls(calling.collect(), Ticket::open(&dispatcher, n))
        });
        let [first, second] = batches;
        dispatcher.rescue(first);
        let giver = {
            let dispatcher = Arc::clone(&dispatcher);
            thread::spawn(move || dispatcher.rescue(second))
        };
        dispatcher.worker.stop();
        steps.iter().for_each(Step::wait);
        giver.join().unwrap();
        stop_worker(event, &dispatcher);
        wait_for_all();
    });
}
