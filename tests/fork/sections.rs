//! The child of a fork keeps and reports the sections of threads that it does not have, until the
//! program clears them.

use super::*;

/// Sections of vanished threads stay open, and are reported, until the program clears them. The
/// forking thread keeps its own sections.
#[test]
fn sections_of_vanished_threads_are_kept_reported_and_cleared() {
    let _alone = alone();
    let (send, reports) = mpsc::channel();
    let send = Mutex::new(send);
    let rcu = Rcu::builder()
        .stall_timeout(Duration::from_millis(20))
        .on_stall(move |report| drop(send.lock().unwrap().send(report.clone())))
        .build()
        .unwrap();
    let cell = Arc::new(RcuCell::new_in(&rcu, 1));
    let (ready, is_ready) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let reader = thread::Builder::new()
        .name("left-behind".into())
        .spawn({
            let cell = Arc::clone(&cell);
            move || {
                let guard = cell.rcu().read();
                ready.send(()).unwrap();
                let _ = may_leave.recv();
                drop(guard);
            }
        })
        .unwrap();
    receive(&is_ready);
    fork(|| {
        let mine = cell.read();
        cell.store(2);
        assert_eq!(*mine, 1);
        rcu.call(|| ());
        rcu.force();
        until("the grace period", || rcu.stats().grace_periods > 0);
        assert_eq!(*mine, 1, "the section of the forking thread is its own");
    });
    fork(|| {
        cell.store(2);
        rcu.call(|| ());
        assert!(rcu.blocking_drain_timeout(Duration::from_millis(1)).is_err());
        let report = receive(&reports);
        let holder = &report.holders[0];
        assert!(holder.thread_ended && holder.thread.as_deref() == Some("left-behind"), "{report}");
        assert!(report.to_string().contains("left-behind"));
        // SAFETY: this thread holds nothing that belongs to the other thread.
        unsafe { Rcu::after_fork_in_child() };
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    leave.send(()).unwrap();
    reader.join().unwrap();
    rcu.blocking_drain();
}

/// The forking thread has a guard that a vanished thread made. The guard still protects in the
/// child.
#[test]
fn a_guard_that_was_handed_over_still_protects() {
    let _alone = alone();
    let rcu = Rcu::new();
    let cell = Arc::new(RcuCell::new_in(&rcu, vec![7; 1000]));
    let handed = {
        let cell = Arc::clone(&cell);
        thread::spawn(move || cell.read_owned()).join().unwrap()
    };
    cell.store(Vec::new());
    let handed = std::cell::Cell::new(Some(handed));
    fork(|| {
        let timeout = Duration::from_millis(20);
        assert!(rcu.blocking_drain_timeout(timeout).is_err());
        let held = handed.take().unwrap();
        assert!(held.iter().all(|n| *n == 7) && held.len() == 1000);
        drop(held);
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    drop(handed.take());
    rcu.blocking_drain();
}

/// A vanished thread holds a guard, whose maker has ended. So no thread of the child can drop the
/// guard.
#[test]
fn sections_of_ended_threads_are_cleared_too() {
    let _alone = alone();
    let rcu = Rcu::new();
    let maker = rcu.clone();
    let guard = thread::spawn(move || maker.read_owned()).join().unwrap();
    let (leave, may_leave) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let _ = may_leave.recv();
        drop(guard);
    });
    // SAFETY: in a process that is not a forked child, the call does nothing.
    unsafe { Rcu::after_fork_in_child() };
    rcu.call(|| ());
    let soon = Duration::from_millis(5);
    assert!(rcu.blocking_drain_timeout(soon).is_err());
    fork(|| {
        // SAFETY: this thread holds nothing that belongs to the other threads.
        unsafe { Rcu::after_fork_in_child() };
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    });
    assert!(rcu.blocking_drain_timeout(soon).is_err());
    leave.send(()).unwrap();
    holder.join().unwrap();
    rcu.blocking_drain();
}
