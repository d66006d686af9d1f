//! Batches: one that an executor drops goes to the worker, each callback runs once, and the worker
//! ends when it is told to.

use super::*;
use crate::dispatch::Schedule;

/// Polls a batch once, and drops it, as an executor may do.
fn poll_and_drop(mut batch: Batch) {
    let _ = Pin::new(&mut batch).poll(&mut Context::from_waker(Waker::noop()));
}

/// A thread of the executor drops an unfinished batch. The drain waits for the rest of the batch.
#[test]
fn loom_models_a_batch_that_is_dropped() {
    loom::model(|| {
        let (event, dispatcher) = dispatcher();
        let steps = [(); 2].map(|()| Step::new());
        let mut calling = Calling::new();
        steps.iter().for_each(|step| calling.queue(step.take()));
        let mut place = None;
        dispatcher.tickets.ask(&mut place, Waker::noop());
        let batch = Batch::calls(calling.collect(), dispatcher.begin_collection());
        let executor = thread::spawn(move || poll_and_drop(batch));
        let drain = poll_fn(|cx| dispatcher.tickets.poll(&mut place, cx.waker()));
        block_on(drain, None);
        assert!(steps.iter().all(|step| step.is_done()));
        executor.join().unwrap();
        stop_worker(event, dispatcher);
    });
}

/// A batch is queued on the worker just as the worker is asked to end. The worker goes on, or
/// another thread is started.
#[test]
fn loom_models_a_batch_beside_the_workers_end() {
    check_with_fewer(1, || {
        let (event, dispatcher) = dispatcher();
        let steps = [(); 2].map(|()| Step::new());
        let mut calling = Calling::new();
        let mut batch = |step: &'static Step| {
            calling.queue(step.take());
            Batch::calls(calling.collect(), dispatcher.begin_collection())
        };
        dispatcher.queue_on_worker(batch(steps[0]));
        let second = batch(steps[1]);
        let giver = thread::spawn(|| dispatcher.queue_on_worker(second));
        dispatcher.worker.stop();
        steps.iter().for_each(|step| step.wait());
        giver.join().unwrap();
        stop_worker(event, dispatcher);
    });
}
