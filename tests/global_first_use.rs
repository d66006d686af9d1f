//! The first use makes the global domain if the program has installed none. This binary has a
//! single test.

mod common;

use async_rcu::{Rcu, RcuCell, error::InstallError};
use common::within;
use std::sync::Barrier;
use std::thread;

#[test]
fn is_started_once_by_its_first_user() {
    within(|| {
        const THREADS: usize = 8;
        let barrier = Barrier::new(THREADS);
        let addresses: Vec<usize> = thread::scope(|scope| {
            let users: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let rcu = Rcu::global();
                        drop(rcu.read());
                        rcu.blocking_synchronize();
                        std::ptr::from_ref(rcu) as usize
                    })
                })
                .collect();
            users.into_iter().map(|user| user.join().unwrap()).collect()
        });
        assert!(addresses.iter().all(|address| *address == addresses[0]));

        let late = Rcu::builder().install_global();
        assert!(matches!(late, Err(InstallError::AlreadyStarted)));

        // A cell belongs to the global domain unless its constructor names another.
        let cell = RcuCell::new(1);
        let guard = Rcu::global().read();
        assert_eq!(*cell.load(&guard), 1);
        drop(guard);
        drop(cell);
        Rcu::global().blocking_drain();
        let stats = Rcu::global().stats();
        assert_eq!((stats.queued, stats.finished), (1, 1));
    });
}
