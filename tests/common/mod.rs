//! Code that the integration tests share. Each test binary uses a part of it.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

pub(crate) mod allocator;
pub(crate) mod executors;
pub(crate) mod forked;
pub(crate) mod patience;
pub(crate) mod reports;
mod sections;
pub(crate) mod torture;
mod values;
mod waits;

pub(crate) use sections::*;
pub(crate) use values::*;
pub(crate) use waits::*;

use async_rcu::{
    Rcu,
    executor::{InlineExecutor, WorkerThread},
};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Builds a private domain on the default executor. Its threads are `rcu-NAME` and `rcu-NAME-cb`.
pub(crate) fn domain(name: &str) -> Rcu {
    Rcu::builder().name(name).build().expect("a domain")
}

/// Returns the default executor.
pub(crate) fn worker() -> WorkerThread {
    WorkerThread
}

/// Returns the executor that runs callbacks on the grace-period thread.
pub(crate) fn inline() -> InlineExecutor {
    InlineExecutor
}

/// Builds a tokio runtime with `workers` workers. 0 means a current_thread runtime, which the
/// caller has to drive.
pub(crate) fn runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(workers.max(1)).enable_all().build().expect("a runtime")
}

/// Waits until the calling test is the only one that has called this in its binary. The others wait
/// until the guard is dropped.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the command that starts this test binary again. `ASYNC_RCU_TEST_RUNNER` names the
/// emulator, with its arguments, if the binary needs one.
pub(crate) fn myself() -> Command {
    let binary = std::env::current_exe().expect("this test binary");
    let runner = std::env::var("ASYNC_RCU_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(emulator) = words.next() else {
        return Command::new(binary);
    };
    let mut command = Command::new(emulator);
    command.args(words).arg(binary);
    command
}

/// Returns the calling thread's name.
pub(crate) fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Returns the ids of this process's threads whose name is `wanted`. Linux cuts a name to 15 bytes.
#[cfg(target_os = "linux")]
pub(crate) fn threads_named(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc/self/task");
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            // A thread may end between the two reads.
            let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
            wanted(comm.trim_end()).then(|| task.file_name().to_string_lossy().into_owned())
        })
        .collect()
}
