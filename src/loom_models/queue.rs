//! The callback queue with the collector's sleep: no callback is lost or seen in part, and the
//! collector does not sleep on work.

use super::*;
use crate::sys::sleep_state::{Rouse, SleepState};
use std::any::Any;

type Out = Vec<usize>;

struct Shared {
    queue: Queue,
    sleep_state: SleepState,
    event: Event,
    /// Written by the producer before it queues, read by the callback.
    unlinked: [Value; 6],
}

fn shared() -> &'static Shared {
    let sleep_state = SleepState::stopped();
    assert!(sleep_state.take_over());
    let unlinked = std::array::from_fn(|_| Value::unwritten());
    leak(Shared {
        queue: Queue::new(leak(Common::default()), leak(Event::new())),
        sleep_state,
        event: Event::new(),
        unlinked,
    })
}

fn push(out: &mut dyn Any, n: usize) {
    out.downcast_mut::<Out>().unwrap().push(n);
}

impl Shared {
    fn produce(&'static self, n: usize) {
        self.unlinked[n].count_up();
        let callback = Callback::new(move |out| {
            assert!(self.unlinked[n].was_counted_once());
            push(out, n);
        });
        // SAFETY: the one producer.
        unsafe { self.queue.push(callback) };
        barrier::light();
        if !self.sleep_state.is_awake() && self.sleep_state.rouse() == Rouse::Wake {
            self.event.set();
        }
    }
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
        let shared = shared();
        let producer = thread::spawn(|| (0..3).for_each(|n| shared.produce(n)));
        let mut out = Out::new();
        while out.len() < 3 {
            shared.event.reset();
            let list = collect(&shared.queue);
            if list.len() != 0 {
                run(list, &mut out);
                continue;
            }
            shared.sleep_state.fall_asleep();
            barrier::heavy();
            // SAFETY: the one collector.
            if !unsafe { shared.queue.has_more() } {
                shared.event.wait(None);
            }
            shared.sleep_state.wake_up();
        }
        assert_eq!(out, [0, 1, 2]);
        producer.join().unwrap();
        assert!(shared.queue.is_idle());
    });
}

/// The two spans of one chunk run on two other threads. The chunk returns to the producer.
#[test]
fn loom_models_chunks_are_used_again() {
    loom::model(|| {
        let shared = shared();
        let lists = [0, 1].map(|n| {
            shared.produce(n);
            collect(&shared.queue)
        });
        let finishers = lists.map(|list| {
            thread::spawn(move || {
                let mut out = Out::new();
                run(list, &mut out);
                out
            })
        });
        // Without this loom does not try that both end before the next chunk is taken.
        thread::yield_now();
        // This fills the second chunk, and takes and fills a third, which may be the first again.
        (2..6).for_each(|n| shared.produce(n));
        for (n, finisher) in finishers.into_iter().enumerate() {
            assert_eq!(finisher.join().unwrap(), [n]);
        }
        let mut out = Out::new();
        run(collect(&shared.queue), &mut out);
        assert_eq!(out, [2, 3, 4, 5]);
        assert!(shared.queue.is_idle());
    });
}

/// A thread queues and ends. Another thread begins and queues, maybe in the same record. A third
/// one wants the registry for a new domain, and gets it only if there is no work. No callback is
/// lost.
#[test]
fn loom_models_threads_that_end_with_work_queued() {
    check_with_fewer(1, || {
        let registry = Registry::leak(Seq::FIRST);
        let event = leak(Event::new());
        let threads = [1, 2].map(|n| {
            thread::spawn(move || {
                let record = registry.acquire();
                // SAFETY: this thread's record, given up after.
                unsafe {
                    record.queue.push(Callback::new(move |out| push(out, n)));
                    registry.orphan(record);
                }
                event.set();
            })
        });
        registry.try_reuse();
        let mut out = Out::new();
        wait_until(event, || {
            let mut list = CallbackList::new();
            for record in registry.records() {
                // SAFETY: the one collector.
                unsafe { record.queue.collect(&mut list) };
            }
            run(list, &mut out);
            registry.collect_orphans();
            out.len() == 2
        });
        join_all(threads);
        out.sort_unstable();
        assert_eq!(out, [1, 2]);
        assert!(registry.try_reuse());
        assert_eq!(registry.threads(), 0);
    });
}
