//! Empty boxes on their way back: one holder at a time has the stock of a thread, whatever the
//! thread, the collector and the registry do with it at the same time.
//!
//! loom knows the cell that only the holder touches, and the words of the chunks. It does not know
//! the memory of boxes, which `tests/boxes.rs` watches.

use super::*;
use std::alloc::Layout;

fn retire(record: &'static Record) {
    // SAFETY: the record is this thread's. A box of a `u64`, given away.
    unsafe {
        let taken = record.queue.stock.take_box(Layout::new::<u64>());
        let at = taken.map_or_else(|| Box::into_raw(Box::new(0)), |at| at.cast::<u64>().as_ptr());
        at.write(7);
        record.queue.push(Callback::emptying(at));
    }
}

/// Collects and runs what is queued.
fn run(registry: &'static Registry) {
    let mut list = CallbackList::new();
    for record in registry.records() {
        // SAFETY: the one collector.
        unsafe { record.queue.collect(&mut list) };
    }
    while let Some(callback) = list.pop() {
        callback.run(&mut ());
    }
}

fn empty(registry: &'static Registry) {
    if registry.close_stocks() {
        barrier::heavy();
        // SAFETY: the one collector.
        drop(unsafe { registry.empty_stocks() });
    }
}

fn kept(registry: &'static Registry) -> u64 {
    registry.records().map(|record| record.queue.kept_bytes()).sum()
}

/// The thread takes boxes and chunks that have come back, while the collector empties the stock.
#[test]
fn loom_models_a_stock_is_emptied_beside_its_producer() {
    check_with_fewer(0, || {
        let registry = Registry::leak(Seq::FIRST);
        let record = registry.acquire();
        // A chunk has room for two.
        (0..3).for_each(|_| retire(record));
        run(registry);
        let producer = thread::spawn(move || (0..2).for_each(|_| retire(record)));
        empty(registry);
        producer.join().unwrap();
        run(registry);
        empty(registry);
        assert_eq!(kept(registry), 0);
    });
}

/// A thread ends while its boxes come back, and while the collector empties the stocks. Another
/// thread begins, maybe in the same record.
#[test]
fn loom_models_a_stock_is_emptied_while_its_thread_ends() {
    check_with_fewer(1, || {
        let registry = Registry::leak(Seq::FIRST);
        let record = registry.acquire();
        (0..3).for_each(|_| retire(record));
        run(registry);
        let ends = thread::spawn(move || {
            // SAFETY: the record was this thread's from its start on.
            unsafe { registry.orphan(record) };
            let record = registry.acquire();
            retire(record);
            // SAFETY: this thread's record.
            unsafe { registry.orphan(record) };
        });
        empty(registry);
        ends.join().unwrap();
        run(registry);
        registry.collect_orphans();
        assert!(registry.try_reuse());
        assert_eq!(kept(registry), 0);
    });
}

/// A finisher gives a chunk back while the collector empties the stock of its producer.
#[test]
fn loom_models_a_chunk_comes_back_beside_a_stock_that_is_emptied() {
    check_with_fewer(0, || {
        let registry = Registry::leak(Seq::FIRST);
        let record = registry.acquire();
        (0..2).for_each(|_| retire(record));
        run(registry);
        (0..2).for_each(|_| retire(record));
        let mut list = collect(&record.queue);
        let finisher = thread::spawn(move || {
            while let Some(callback) = list.pop() {
                callback.run(&mut ());
            }
        });
        empty(registry);
        retire(record);
        finisher.join().unwrap();
        run(registry);
        empty(registry);
        assert_eq!(kept(registry), 0);
    });
}

/// A thread ends while the collector empties the stocks. No stock stays closed.
#[test]
fn loom_models_a_stock_is_open_when_it_was_emptied() {
    check_with_fewer(0, || {
        let registry = Registry::leak(Seq::FIRST);
        let record = registry.acquire();
        (0..3).for_each(|_| retire(record));
        run(registry);
        let ends = thread::spawn(move || {
            // SAFETY: the record was this thread's from its start on.
            unsafe { registry.orphan(record) };
        });
        empty(registry);
        ends.join().unwrap();
        registry.collect_orphans();
        assert!(registry.try_reuse());
        assert_eq!(kept(registry), 0);
        assert!(registry.records().all(|record| !record.queue.stock.is_closed()));
    });
}

/// A callback is queued while the collector empties the stocks. The boxes that it misses are found
/// at the next idle time.
#[test]
fn loom_models_boxes_that_were_missed_are_found_later() {
    check_with_fewer(0, || {
        let registry = Registry::leak(Seq::FIRST);
        let record = registry.acquire();
        retire(record);
        run(registry);
        let caller = thread::spawn(move || {
            // SAFETY: the record was this thread's from its start on.
            unsafe { record.queue.push(Callback::new(|_| ())) };
        });
        empty(registry);
        caller.join().unwrap();
        run(registry);
        empty(registry);
        assert_eq!(kept(registry), 0);
    });
}
