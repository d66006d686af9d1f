//! The callback queue with the collector's sleep: nothing is lost, nothing is seen half, nobody sleeps on work.

use super::check_with_fewer;
use crate::callback::calls::Calls;
use crate::callback::erased::Callback;
use crate::callback::queue::Queue;
use crate::reader::registry::{Core, Local};
use crate::reader::sequence::Seq;
use crate::sys::barrier;
use crate::sys::event::Event;
use crate::sys::sleep_state::{Rouse, SleepState};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

type Out = Vec<usize>;

struct Shared {
    sleep_state: SleepState,
    event: Event,
    /// Written by the producer before it queues, read by the callback.
    unlinked: [UnsafeCell<usize>; 6],
}

// SAFETY: `unlinked` is what loom watches: it fails where two threads touch a place unordered.
unsafe impl Sync for Shared {}

fn shared() -> (&'static Queue<Out>, Arc<Shared>) {
    let sleep_state = SleepState::stopped();
    assert!(sleep_state.take_over());
    let shared = Shared {
        sleep_state,
        event: Event::new(),
        unlinked: std::array::from_fn(|_| UnsafeCell::new(0)),
    };
    (Box::leak(Box::new(Queue::new())), Arc::new(shared))
}

fn produce(queue: &'static Queue<Out>, shared: &Arc<Shared>, n: usize) {
    // SAFETY: only the producer, before it queues.
    shared.unlinked[n].with_mut(|place| unsafe { *place = n + 1 });
    let seen = Arc::clone(shared);
    let callback = Callback::new(move |out: &mut Out| {
        // SAFETY: after the queue handed the callback over; loom checks it.
        out.push(seen.unlinked[n].with(|place| unsafe { *place }));
    });
    // SAFETY: the one producer.
    unsafe { queue.push(callback) };
    barrier::light();
    if !shared.sleep_state.is_awake() && shared.sleep_state.rouse() == Rouse::Wake {
        shared.event.set();
    }
}

/// Three callbacks cross the border of a chunk of two; the collector sleeps whenever it finds nothing.
#[test]
fn loom_models_call_wakes_the_collector() {
    loom::model(|| {
        let (queue, shared) = shared();
        let producer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (0..3).for_each(|n| produce(queue, &shared, n)))
        };
        let mut out = Out::new();
        while out.len() < 3 {
            shared.event.reset();
            let mut calls = Calls::new();
            // SAFETY: the one collector.
            unsafe { queue.collect(|span| calls.push(span)) };
            if calls.len() != 0 {
                while let Some(call) = calls.pop() {
                    call.run(&mut out);
                }
                continue;
            }
            shared.sleep_state.fall_asleep();
            barrier::heavy();
            // SAFETY: the one collector.
            if !unsafe { queue.has_more() } {
                shared.event.wait(None);
            }
            shared.sleep_state.wake_up();
        }
        assert_eq!(out, [1, 2, 3]);
        producer.join().unwrap();
        assert!(queue.is_idle());
    });
}

/// The two spans of one chunk run on two other threads, and the chunk comes back to the producer.
#[test]
fn loom_models_chunks_are_used_again() {
    loom::model(|| {
        let (queue, shared) = shared();
        let mut spans = (0..2).map(|n| {
            produce(queue, &shared, n);
            let mut calls = Calls::new();
            // SAFETY: this thread is producer and collector.
            unsafe { queue.collect(|span| calls.push(span)) };
            calls
        });
        let finishers = [spans.next(), spans.next()].map(|calls| {
            thread::spawn(move || {
                let mut out = Out::new();
                let mut calls = calls.unwrap();
                while let Some(call) = calls.pop() {
                    call.run(&mut out);
                }
                out
            })
        });
        // Their turn, without a preemption: else loom does not try that both are done before the next chunk is taken.
        thread::yield_now();
        // Fills the second chunk, takes a third, which may be the first again, and writes all over it.
        (2..6).for_each(|n| produce(queue, &shared, n));
        for (n, finisher) in finishers.into_iter().enumerate() {
            assert_eq!(finisher.join().unwrap(), [n + 1]);
        }
        let mut calls = Calls::new();
        // SAFETY: this thread is producer and collector.
        unsafe { queue.collect(|span| calls.push(span)) };
        let mut out = Out::new();
        while let Some(call) = calls.pop() {
            call.run(&mut out);
        }
        assert_eq!(out, [3, 4, 5, 6]);
        assert!(queue.is_idle());
    });
}

/// A thread queues and ends, another begins and queues, perhaps in the same record; and somebody wants the whole core for a new
/// domain. It is not given as long as there is work, and nothing is lost.
#[test]
fn loom_models_threads_that_end_with_work_queued() {
    check_with_fewer(1, || {
        let core: &'static Core<Queue<Out>> = Core::leak(Seq::FIRST);
        let event = Arc::new(Event::new());
        let threads = [1, 2].map(|n| {
            let event = event.clone();
            thread::spawn(move || {
                let record = core.acquire();
                // SAFETY: this thread's record, given up after.
                unsafe {
                    let callback = Callback::new(move |out: &mut Out| out.push(n));
                    record.local.push(callback);
                    record.orphan();
                }
                event.set();
            })
        });
        core.try_reuse();
        let mut out = Out::new();
        loop {
            event.reset();
            let mut calls = Calls::new();
            for record in core.records() {
                // SAFETY: the one collector.
                unsafe { record.local.collect(|span| calls.push(span)) };
            }
            while let Some(call) = calls.pop() {
                call.run(&mut out);
            }
            core.collect_orphans();
            if out.len() == 2 {
                break;
            }
            event.wait(None);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        out.sort_unstable();
        assert_eq!(out, [1, 2]);
        assert!(core.try_reuse());
        assert_eq!(core.threads(), 0);
    });
}
