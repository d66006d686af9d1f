//! The callback queue with the collector's sleep: no callback is lost or seen in part, and the
//! collector does not sleep on work.

use super::check_with_fewer;
use crate::callback::Callback;
use crate::callback::queue::{CallbackList, Queue};
use crate::reader::registry::Registry;
use crate::reader::sequence::Seq;
use crate::sys::barrier;
use crate::sys::event::Event;
use crate::sys::sleep_state::{Rouse, SleepState};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::any::Any;

type Out = Vec<usize>;

struct Shared {
    sleep_state: SleepState,
    event: Event,
    /// Written by the producer before it queues, read by the callback.
    unlinked: [UnsafeCell<usize>; 6],
}

// SAFETY: loom checks `unlinked`: it fails if two threads touch a place unordered.
unsafe impl Sync for Shared {}

fn shared() -> (&'static Queue, Arc<Shared>) {
    let sleep_state = SleepState::stopped();
    assert!(sleep_state.take_over());
    let shared = Shared {
        sleep_state,
        event: Event::new(),
        unlinked: std::array::from_fn(|_| UnsafeCell::new(0)),
    };
    (Box::leak(Box::new(Queue::new())), Arc::new(shared))
}

fn produce(queue: &'static Queue, shared: &Arc<Shared>, n: usize) {
    // SAFETY: only the producer, before it queues.
    shared.unlinked[n].with_mut(|place| unsafe { *place = n + 1 });
    let seen = Arc::clone(shared);
    let callback = Callback::new(move |out: &mut dyn Any| {
        let out: &mut Out = out.downcast_mut().unwrap();
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

fn collect(queue: &'static Queue) -> CallbackList {
    let mut list = CallbackList::new();
    // SAFETY: the one collector.
    unsafe { queue.collect(&mut list) };
    list
}

fn run(mut list: CallbackList, out: &mut Out) {
    while let Some(callback) = list.pop() {
        callback.run(out);
    }
}

/// Three callbacks cross the border of a chunk of two. The collector sleeps if it finds none.
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
            let list = collect(queue);
            if list.len() != 0 {
                run(list, &mut out);
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

/// The two spans of one chunk run on two other threads. The chunk returns to the producer.
#[test]
fn loom_models_chunks_are_used_again() {
    loom::model(|| {
        let (queue, shared) = shared();
        let mut spans = (0..2).map(|n| {
            produce(queue, &shared, n);
            collect(queue)
        });
        let finishers = [spans.next(), spans.next()].map(|list| {
            thread::spawn(move || {
                let mut out = Out::new();
                run(list.unwrap(), &mut out);
                out
            })
        });
        // Without this loom does not try that both end before the next chunk is taken.
        thread::yield_now();
        // This fills the second chunk, and takes and fills a third, which may be the first again.
        (2..6).for_each(|n| produce(queue, &shared, n));
        for (n, finisher) in finishers.into_iter().enumerate() {
            assert_eq!(finisher.join().unwrap(), [n + 1]);
        }
        let mut out = Out::new();
        run(collect(queue), &mut out);
        assert_eq!(out, [3, 4, 5, 6]);
        assert!(queue.is_idle());
    });
}

/// A thread queues and ends. Another thread begins and queues, maybe in the same record. A third
/// one wants the registry for a new domain, and gets it only if there is no work. No callback is
/// lost.
#[test]
fn loom_models_threads_that_end_with_work_queued() {
    check_with_fewer(1, || {
        let registry: &'static Registry = Registry::leak(Seq::FIRST);
        let event = Arc::new(Event::new());
        let threads = [1, 2].map(|n| {
            let event = event.clone();
            thread::spawn(move || {
                let record = registry.acquire();
                // SAFETY: this thread's record, given up after.
                unsafe {
                    let callback = Callback::new(move |out: &mut dyn Any| {
                        out.downcast_mut::<Out>().unwrap().push(n);
                    });
                    record.queue.push(callback);
                    registry.orphan(record);
                }
                event.set();
            })
        });
        registry.try_reuse();
        let mut out = Out::new();
        loop {
            event.reset();
            let mut list = CallbackList::new();
            for record in registry.records() {
                // SAFETY: the one collector.
                unsafe { record.queue.collect(&mut list) };
            }
            run(list, &mut out);
            registry.collect_orphans();
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
        assert!(registry.try_reuse());
        assert_eq!(registry.threads(), 0);
    });
}
