//! The public types implement `Debug` and `Display`: they show a name and useful fields, and never
//! a value that a lock protects at that time.

use async_rcu::{
    Batch, Executor, GlobalLock, Rcu, RcuCell, RcuRef,
    cell::OwnedRcuRef,
    executor::{InlineExecutor, WorkerThread},
    report::MemoryBarrier,
};
use std::sync::mpsc;
use std::time::Duration;

fn inline() -> Rcu {
    let builder = Rcu::builder().executor(InlineExecutor);
    builder.name("shown").build().unwrap()
}

#[test]
fn guards_and_references() {
    let rcu = inline();
    assert_eq!(format!("{:?}", rcu.read()), "ReadGuard { .. }");
    assert_eq!(format!("{:?}", rcu.read_owned()), "OwnedReadGuard { .. }");
    assert_eq!(format!("{:?}", rcu.register_thread()), "ThreadRegistration { .. }");
    let cell = RcuCell::new_in(&rcu, "text");
    assert_eq!(format!("{:?} {}", cell.read(), cell.read()), "\"text\" text");
    let owned = cell.read_owned();
    assert_eq!(format!("{owned:?} {owned}"), "\"text\" text");
    let requested = OwnedRcuRef::guard(&owned).release_requested();
    assert_eq!(format!("{requested:?}"), "ReleaseRequested { .. }");
    assert_eq!(format!("{:?}", RcuRef::guard(&cell.read())), "ReadGuard { .. }");
}

#[test]
fn what_was_taken_out_shows_its_value_and_waits_do_not() {
    let rcu = inline();
    let cell = RcuCell::new_in(&rcu, 1);
    let mut watcher = cell.subscribe();
    assert_eq!(format!("{watcher:?}"), "Watcher { .. }");
    assert_eq!(format!("{:?}", watcher.changed()), "Changed { .. }");
    let old = cell.swap(2);
    assert_eq!(format!("{old:?}"), "Retired(1)");
    assert_eq!(format!("{:?}", old.wait()), "Reclaim { .. }");
    let all = rcu.reclaim_all([cell.swap(3), cell.swap(4)]);
    assert_eq!(format!("{all:?}"), "ReclaimAll { len: 2, .. }");
    assert_eq!(format!("{:?}", rcu.synchronize()), "Synchronize { .. }");
    assert_eq!(format!("{:?}", rcu.drain()), "Drain { .. }");
    assert_eq!(format!("{:?}", rcu.shutdown()), "Shutdown { .. }");
    assert_eq!(format!("{:?}", rcu.on_force(|_| ())), "ForceNotifier { .. }");
}

#[test]
fn a_global_lock_shows_its_value_where_it_is_free() {
    let rcu = inline();
    let lock = GlobalLock::<u32>::default();
    assert_eq!(format!("{lock:?}"), "GlobalLock { value: 0 }");
    assert_eq!(format!("{:?}", lock.lock()), "Lock { .. }");
    let mut guard = lock.blocking_lock();
    *guard = 7;
    assert_eq!(format!("{guard:?}"), "7");
    assert_eq!(format!("{lock:?}"), "GlobalLock { <locked> }");
    assert_eq!(format!("{:?}", guard.drain(&rcu)), "DrainUnlocked { .. }");
    let guard = lock.blocking_lock();
    let waits = guard.synchronize(&rcu);
    assert_eq!(format!("{waits:?}"), "SynchronizeUnlocked { .. }");
    assert_eq!(*lock.blocking_lock(), 7);
}

#[test]
fn domains_and_what_they_are_made_of() {
    let builder = Rcu::builder()
        .name("shown")
        .max_pending(3)
        .batch_interval(Duration::from_millis(2))
        .stall_timeout(Duration::from_secs(9));
    assert_eq!(
        format!("{builder:?}"),
        "Builder { name: Some(\"shown\"), batch_interval: 2ms, keep_memory: true, \
         max_pending: Some(3), stall_timeout: 9s, .. }"
    );
    assert_eq!(format!("{:?}", builder.build().unwrap()), "Rcu { name: \"shown\", .. }");
    let executor: Box<dyn Executor> = Box::new(WorkerThread);
    assert_eq!(format!("{executor:?}"), "Executor");
    let names =
        [MemoryBarrier::Membarrier, MemoryBarrier::FlushProcessWriteBuffers, MemoryBarrier::Fence];
    assert_eq!(
        names.map(|barrier| barrier.to_string()),
        ["membarrier", "FlushProcessWriteBuffers", "fence"]
    );
}

#[test]
fn a_batch_shows_how_much_is_left() {
    let (send, batches) = mpsc::channel();
    let send = move |batch: Batch| drop(send.send(batch));
    let rcu = Rcu::builder().executor(send).build().unwrap();
    rcu.call(|| ());
    rcu.call(|| ());
    rcu.force();
    let mut batch = batches.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!((batch.len(), format!("{batch:?}").as_str()), (2, "Batch { len: 2 }"));
    futures::executor::block_on(&mut batch);
    assert_eq!((batch.len(), format!("{batch:?}").as_str()), (0, "Batch { len: 0 }"));
    rcu.blocking_drain();
}

/// Under a global lock batches take turns, so a batch does not know its callbacks before it runs.
#[test]
fn a_batch_under_a_global_lock_shows_how_much_there_was() {
    let (send, batches) = mpsc::channel();
    let send = move |batch: Batch| drop(send.send(batch));
    let lock = GlobalLock::new(0);
    let builder = Rcu::builder().global_lock(&lock).executor(send);
    let rcu = builder.build().unwrap();
    lock.call(&rcu, |count| *count += 1);
    rcu.force();
    let batch = batches.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(format!("{batch:?}"), "Batch { len: 1 }");
    batch.run();
    assert_eq!(*lock.blocking_lock(), 1);
}
