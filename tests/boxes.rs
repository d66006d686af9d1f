//! The memory of retired boxes comes back to the thread that retired them.
#![cfg(not(rcu_free_boxes))]

mod common;

use async_rcu::{Batch, Builder, OwnedReadGuard, Rcu, RcuCell, RcuList, RcuMap, RcuPtr};
use common::allocator::Counting;
use common::{alone, inline, receive, until};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MANY: usize = 2000;

/// A domain whose batches this thread runs. A section holds up a grace period while this thread
/// looks, so that the domain is not idle: it would free what is kept.
struct ByHand {
    rcu: Rcu,
    batches: mpsc::Receiver<Batch>,
    section: Cell<Option<OwnedReadGuard>>,
}

impl ByHand {
    fn new(builder: Builder) -> Self {
        let (send, batches) = mpsc::channel();
        let executor = move |batch: Batch| drop(send.send(batch));
        let rcu = builder.executor(executor).build().unwrap();
        let domain = Self { rcu, batches, section: Cell::new(None) };
        domain.hold();
        domain
    }

    fn hold(&self) {
        let section = self.rcu.read_owned();
        self.rcu.start_grace_period();
        self.section.set(Some(section));
    }

    /// Runs what is queued.
    fn run(&self) {
        let stats = self.rcu.stats();
        self.section.set(None);
        self.rcu.force();
        let mut batches = Vec::new();
        while batches.iter().map(Batch::len).sum::<usize>() as u64 != stats.queued - stats.finished
        {
            batches.push(receive(&self.batches));
        }
        self.hold();
        batches.into_iter().for_each(Batch::run);
    }
}

/// Returns how many allocations `MANY` calls of `write` make, when there have been many before.
fn allocations(domain: &ByHand, mut write: impl FnMut(usize)) -> usize {
    for _ in 0..4 {
        (0..MANY).for_each(&mut write);
        domain.run();
    }
    let before = ALLOCATOR.made();
    (0..MANY).for_each(&mut write);
    let made = ALLOCATOR.made() - before;
    domain.run();
    made
}

#[test]
fn new_values_take_the_memory_of_retired_ones() {
    let _alone = alone();
    let domain = ByHand::new(Rcu::builder());
    let rcu = &domain.rcu;
    let few = 0..MANY / 4;
    let cell = RcuCell::new_in(rcu, 0);
    assert!(few.contains(&allocations(&domain, |n| cell.store(n))), "store");
    assert!(few.contains(&allocations(&domain, |n| drop(cell.swap(n)))), "swap");
    assert!(few.contains(&allocations(&domain, |n| drop(cell.update(|_| n)))), "update");
    let pointer = RcuPtr::new_in(rcu, Some(Box::new([0; 4])));
    let store = |n| pointer.store(Some(rcu.boxed([n; 4])));
    assert!(few.contains(&allocations(&domain, store)), "pointer");
    let map = RcuMap::new_in(rcu);
    let insert = |n| drop(map.insert(7, [n; 7]));
    assert!(few.contains(&allocations(&domain, insert)), "insert of a present key");
    let in_turn = |n| {
        map.insert(8, [n; 7]);
        map.remove(&8);
    };
    assert!(few.contains(&allocations(&domain, in_turn)), "insert and remove in turn");
    let list = RcuList::new_in(rcu);
    let push_and_pop = |n| {
        list.push_back([n; 9]);
        list.pop_front();
    };
    assert!(few.contains(&allocations(&domain, push_and_pop)), "list");
    let captures = [7_usize; 8];
    let boxed = |_| rcu.call(move || assert_eq!(captures, [7; 8]));
    assert!(few.contains(&allocations(&domain, boxed)), "a closure that needs a box");
    assert_ne!(rcu.stats().kept_bytes, 0);
}

#[test]
fn a_domain_that_keeps_no_memory_allocates_each_time() {
    let _alone = alone();
    let domain = ByHand::new(Rcu::builder().keep_memory(false));
    let cell = RcuCell::new_in(&domain.rcu, 0);
    assert!(allocations(&domain, |n| cell.store(n)) >= MANY);
    assert_eq!(domain.rcu.stats().kept_bytes, 0);
}

#[test]
fn nothing_is_kept_when_the_domain_is_idle() {
    let _alone = alone();
    let (send, idle) = mpsc::channel();
    for builder in [Rcu::builder(), Rcu::builder().executor(inline())] {
        let send = send.clone();
        let rcu = builder.on_idle(move || _ = send.send(())).build().unwrap();
        let cell = RcuCell::new_in(&rcu, 0);
        for _ in 0..3 {
            (0..MANY).for_each(|n| cell.store(n));
            rcu.blocking_drain();
            idle.recv_timeout(Duration::from_secs(30)).unwrap();
            until("what was kept is freed", || rcu.stats().kept_bytes == 0);
        }
    }
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 0);
    (0..MANY).for_each(|n| cell.store(n));
    until("without a hook, too", || {
        let stats = rcu.stats();
        stats.finished == stats.queued && stats.kept_bytes == 0
    });
}

#[test]
fn nothing_is_kept_when_the_last_async_callback_has_ended() {
    let _alone = alone();
    let rcu = Rcu::new();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let cell = RcuCell::new_in(&rcu, 0);
    (0..MANY).for_each(|n| cell.store(n));
    rcu.call_async(async move { _ = ended.await });
    (0..MANY).for_each(|n| cell.store(n));
    until("only the async callback is left", || {
        let stats = rcu.stats();
        stats.finished + 1 == stats.queued
    });
    end.send(()).unwrap();
    until("what was kept is freed", || rcu.stats().kept_bytes == 0);
}

#[test]
fn what_a_thread_keeps_is_freed_when_it_ends() {
    let _alone = alone();
    let domain = ByHand::new(Rcu::builder());
    let cell = Arc::new(RcuCell::new_in(&domain.rcu, 0));
    let writer = Arc::clone(&cell);
    let (done, go) = (mpsc::channel(), mpsc::channel());
    let thread = std::thread::spawn(move || {
        (0..MANY).for_each(|n| writer.store(n));
        done.0.send(()).unwrap();
        go.1.recv().unwrap();
    });
    receive(&done.1);
    domain.run();
    assert_ne!(domain.rcu.stats().kept_bytes, 0);
    go.0.send(()).unwrap();
    thread.join().unwrap();
    domain.section.set(None);
    until("the record is free", || {
        domain.rcu.blocking_synchronize();
        domain.rcu.stats().kept_bytes == 0
    });
}

/// The box that `wait` gives out is like any other.
#[test]
fn a_value_taken_back_is_freed_by_its_own_layout() {
    let _alone = alone();
    let domain = ByHand::new(Rcu::builder());
    let cell = RcuCell::new_in(&domain.rcu, "0".to_owned());
    for n in 0..MANY {
        domain.section.set(None);
        let old: Box<String> = cell.swap(n.to_string()).blocking_wait();
        assert_eq!(*old, n.saturating_sub(1).to_string());
        drop(old);
        cell.store(n.to_string());
        if n % 100 == 0 {
            domain.run();
        }
    }
}

#[test]
fn values_are_dropped_once_and_panics_lose_no_memory() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            if self.0.fetch_add(1, Ordering::Relaxed) % 100 == 0 {
                std::panic::resume_unwind(Box::new("one of a hundred"));
            }
        }
    }
    let _alone = alone();
    let drops = Arc::new(AtomicUsize::new(0));
    let held = ALLOCATOR.held();
    let rcu = Rcu::builder().on_panic(|_| ()).build().unwrap();
    let cell = RcuCell::new_in(&rcu, Counted(Arc::clone(&drops)));
    (0..MANY).for_each(|_| cell.store(Counted(Arc::clone(&drops))));
    drop(cell);
    rcu.blocking_drain();
    assert_eq!(drops.load(Ordering::Relaxed), MANY + 1);
    assert_eq!(rcu.stats().panicked, MANY as u64 / 100 + 1);
    drop(rcu);
    // The chunks and records of the domain stay, for the next one.
    until("the boxes are freed", || ALLOCATOR.held() - held < 1 << 20);
}
