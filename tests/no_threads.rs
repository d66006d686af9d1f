//! Where the system starts no threads: an error from `build`, and no work lost by a domain that was stopped and cannot start
//! again. Each test runs itself anew in a process with little address space: on Linux, where a shell can say so.
#![cfg(target_os = "linux")]

mod common;

use async_rcu::{BuildError, InstallError, Rcu};
use common::{Tally, inline, threads_named, until, within};
use std::error::Error;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use tokio_test::{assert_pending, task};

const STACK: usize = 8 << 20;

/// Runs the body of the test of that name in a process of its own, and fails where it does.
#[track_caller]
fn in_a_small_process(test: &str, body: impl FnOnce() + Send + 'static) {
    const INSIDE: &str = "ASYNC_RCU_TEST_SMALL_PROCESS";
    if std::env::var_os(INSIDE).is_some() {
        return within(body);
    }
    // In KiB: room for a hundred threads.
    let script = "ulimit -v 1000000 && exec \"$0\" --exact --test-threads=1 \"$1\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, "1")
        .env("RUST_MIN_STACK", STACK.to_string())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "{out}");
}

/// Threads that do nothing but take up all the room that threads can have.
struct Crowd(Vec<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Crowd {
    fn gather() -> Self {
        // To be given back at the end: less than a thread needs, so that all else goes on.
        let room = vec![1_u8; STACK / 2];
        let mut crowd = Vec::new();
        loop {
            assert!(crowd.len() < 1_000, "the process is not small");
            let (leave, left) = mpsc::channel();
            let body = move || left.recv().unwrap();
            match thread::Builder::new().spawn(body) {
                Ok(thread) => crowd.push((leave, thread)),
                Err(_) => break,
            }
        }
        // What is too little for a thread, but would not be with the room.
        let mut rest = Vec::new();
        loop {
            let mut block: Vec<u8> = Vec::new();
            match block.try_reserve_exact(STACK / 8) {
                Ok(()) => rest.push(block),
                Err(_) => break,
            }
        }
        std::mem::forget(rest);
        drop(room);
        Self(crowd)
    }

    fn leave(self) {
        for (leave, thread) in self.0 {
            leave.send(()).unwrap();
            thread.join().unwrap();
        }
    }
}

fn threads_of_the_library() -> usize {
    threads_named(|name| name.starts_with("rcu-")).len()
}

#[test]
fn build_is_an_error() {
    in_a_small_process("build_is_an_error", || {
        let crowd = Crowd::gather();
        let Err(error) = Rcu::builder().build() else {
            panic!("built without a thread");
        };
        assert!(matches!(error, BuildError::Thread { .. }));
        assert!(error.source().is_some(), "the system's error");
        let Err(error) = Rcu::builder().install_global() else {
            panic!("installed without a thread");
        };
        assert!(matches!(error, InstallError::Build { .. }));
        assert!(std::panic::catch_unwind(Rcu::new).is_err());
        crowd.leave();
        // Nothing of it stays.
        let rcu = Rcu::builder().install_global().unwrap();
        rcu.call(|| {});
        rcu.blocking_drain();
        Rcu::new().blocking_synchronize();
    });
}

#[test]
fn a_stopped_domain_goes_on_in_those_who_wait() {
    in_a_small_process("a_stopped_domain_goes_on_in_those_who_wait", || {
        // Inline: so that there is no thread either for callbacks to run on, but those that wait.
        let rcu = Rcu::builder().executor(inline()).build().unwrap();
        let tally = Tally::new(60);
        rcu.call(tally.callback(0));
        rcu.blocking_shutdown();
        let crowd = Crowd::gather();
        for i in 1..40 {
            rcu.call(tally.callback(i));
            match i % 4 {
                0 => rcu.blocking_synchronize(),
                1 => futures::executor::block_on(rcu.synchronize()),
                2 => rcu.blocking_drain(),
                _ => futures::executor::block_on(rcu.drain()),
            }
            assert!(i % 4 < 2 || tally.ran() == i + 1, "callback {i}");
        }
        // Sections are waited for as ever.
        let section = rcu.read_owned();
        for i in 40..60 {
            rcu.call(tally.callback(i));
        }
        rcu.force();
        let mut wait = task::spawn(rcu.synchronize());
        let mut drain = task::spawn(rcu.drain());
        for _ in 0..100 {
            assert_pending!(wait.poll());
            assert_pending!(drain.poll());
        }
        assert_eq!(tally.ran(), 40);
        assert_eq!(threads_of_the_library(), 0);
        // The next kick finds room for the thread.
        crowd.leave();
        drop(section);
        rcu.force();
        until("its callbacks", || tally.ran() == 60);
        futures::executor::block_on(wait.into_inner());
        futures::executor::block_on(drain.into_inner());
        tally.assert_each_once();
    });
}

#[test]
fn work_of_a_stopped_domain_stays_queued_until_a_thread_can_start() {
    in_a_small_process(
        "work_of_a_stopped_domain_stays_queued_until_a_thread_can_start",
        || {
            let rcu = Rcu::builder().build().unwrap();
            let tally = Tally::new(100);
            rcu.blocking_shutdown();
            let crowd = Crowd::gather();
            for i in 0..50 {
                rcu.call(tally.callback(i));
                rcu.force();
            }
            assert_eq!(threads_of_the_library(), 0);
            crowd.leave();
            // Every later call tries again, a force too.
            for i in 50..100 {
                rcu.call(tally.callback(i));
            }
            until("its callbacks", || tally.ran() == 100);
            tally.assert_each_once();
        },
    );
}

#[test]
fn without_a_worker_callbacks_run_on_the_grace_period_thread() {
    in_a_small_process(
        "without_a_worker_callbacks_run_on_the_grace_period_thread",
        || {
            let rcu = Rcu::builder().build().unwrap();
            let crowd = Crowd::gather();
            let tally = Tally::new(100);
            for i in 0..100 {
                rcu.call(tally.callback(i));
            }
            rcu.blocking_drain();
            tally.assert_each_once();
            assert_eq!(threads_of_the_library(), 1);
            crowd.leave();
        },
    );
}

#[test]
fn async_callbacks_without_a_worker_wait_until_one_can_start() {
    in_a_small_process(
        "async_callbacks_without_a_worker_wait_until_one_can_start",
        || {
            let rcu = Rcu::builder().build().unwrap();
            let crowd = Crowd::gather();
            let tally = Tally::new(2);
            let callback = tally.callback(0);
            rcu.call_async(async move { callback() });
            rcu.blocking_synchronize();
            let mut drain = task::spawn(rcu.drain());
            assert_pending!(drain.poll());
            crowd.leave();
            // The next callback finds room for the worker, and it takes both.
            rcu.call(tally.callback(1));
            futures::executor::block_on(drain.into_inner());
            rcu.blocking_drain();
            tally.assert_each_once();
        },
    );
}
