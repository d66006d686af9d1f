//! The crate falls back to fences if the system refuses the process-wide barrier at the start, and
//! aborts if the system refuses it later.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod common;

use async_rcu::{Rcu, RcuCell, report::MemoryBarrier};
use common::within;
use seccompiler::{SeccompAction, SeccompFilter, apply_filter_all_threads};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Makes membarrier fail in this process, with EPERM.
fn refuse_membarrier() {
    let rules = BTreeMap::from([(libc::SYS_membarrier, Vec::new())]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows"),
    )
    .expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    apply_filter_all_threads(&program).expect("seccomp");
}

/// The environment variable that names the scene of this process.
const SCENE: &str = "ASYNC_RCU_TEST_SCENE";

/// Runs this test in a process of its own, with the scene in the environment.
fn scene(name: &str, test: &str) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(SCENE, name)
        .env_remove("ASYNC_RCU_BARRIER")
        .output()
        .unwrap()
}

fn plays(name: &str) -> bool {
    std::env::var(SCENE).is_ok_and(|scene| scene == name)
}

#[test]
fn at_start_both_sides_use_fences() {
    if !plays("at start") {
        let output = scene("at start", "at_start_both_sides_use_fences");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        return;
    }
    refuse_membarrier();
    let rcu = Rcu::new();
    assert_eq!(rcu.stats().barrier, MemoryBarrier::Fence);
    let cell = Arc::new(RcuCell::new_in(&rcu, Box::new(0u64)));
    within(move || {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    let mut last = 0;
                    while last < 2000 {
                        let seen = cell.with(|n| **n);
                        assert!(seen >= last);
                        last = seen;
                    }
                })
            })
            .collect();
        for n in 1..=2000 {
            cell.swap(Box::new(n)).blocking_wait();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        cell.rcu().blocking_drain();
    });
}

#[test]
fn later_the_process_aborts_and_says_why() {
    if !plays("later") {
        let output = scene("later", "later_the_process_aborts_and_says_why");
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("no membarrier here") {
            return;
        }
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{errors}");
        assert!(errors.contains("membarrier, granted at start, now fails"), "{errors}");
        return;
    }
    let rcu = Rcu::new();
    if rcu.stats().barrier == MemoryBarrier::Fence {
        eprintln!("no membarrier here");
        return;
    }
    refuse_membarrier();
    rcu.blocking_synchronize();
    unreachable!("readers run without fences: nothing may be freed any more");
}
