//! A blocking wait panics at once if it could never end or must not block. Elsewhere it works.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{
    Batch, Builder, GlobalLock, Rcu, RcuCell,
    error::Timeout,
    executor::{InlineExecutor, WorkerThread},
};
use common::{Drops, HANG_GUARD, panic_message, within};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

type Wait = fn(&Rcu);

/// Every blocking wait for a domain, with its name.
const WAITS: [(&str, Wait); 6] = [
    ("blocking_synchronize", Rcu::blocking_synchronize),
    ("blocking_drain", Rcu::blocking_drain),
    ("blocking_drain_timeout", |rcu| {
        rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    }),
    ("blocking_shutdown", Rcu::blocking_shutdown),
    ("blocking_wait", |rcu| {
        let cell = RcuCell::new_in(rcu, 1);
        assert_eq!(*cell.into_retired().blocking_wait(), 1);
    }),
    ("GlobalLockGuard::blocking_drain", |rcu| {
        let guard = GlobalLock::new(()).try_lock().unwrap();
        drop(guard.blocking_drain(rcu));
    }),
];

const TOKIO: &str = "Cannot block the current thread from within a runtime";

fn multi_thread() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn current_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[track_caller]
fn names_the_deadlock(name: &str, message: &str) {
    assert!(message.contains("deadlock"), "{name}: {message}");
}

#[test]
fn blocking_in_an_async_context_panics_as_tokio_does() {
    for runtime in [multi_thread(), current_thread()] {
        runtime.block_on(async {
            let rcu = Rcu::new();
            for (name, wait) in WAITS {
                let message = panic_message(|| wait(&rcu));
                assert!(message.contains(TOKIO), "{name}: {message}");
                // The wait panics inside a task too, and with work to wait for.
                rcu.call(|| ());
                let handle = rcu.clone();
                let task = tokio::spawn(async move { panic_message(|| wait(&handle)) });
                let message = task.await.unwrap();
                assert!(message.contains(TOKIO), "{name}: {message}");
            }
            // The wait panics with nothing to wait for, too.
            let retired = RcuCell::new_in(&rcu, 1).into_retired();
            rcu.synchronize().await;
            let message = panic_message(|| drop(retired.blocking_wait()));
            assert!(message.contains(TOKIO), "{message}");
            let lock = GlobalLock::new(());
            let message = panic_message(|| drop(lock.blocking_lock()));
            assert!(message.contains(TOKIO), "{message}");
            assert!(lock.try_lock().is_some());
        });
    }
}

#[test]
fn blocking_works_on_plain_threads() {
    for (name, wait) in WAITS {
        println!("wait: {name}");
        within(move || wait(&Rcu::new()));
    }
    // First each wait has work to wait for. Then it waits in a stopped domain.
    let rcu = Rcu::new();
    for (name, wait) in WAITS {
        println!("wait: {name}");
        rcu.call(|| ());
        rcu.blocking_shutdown();
        let handle = rcu.clone();
        within(move || wait(&handle));
    }
}

#[test]
fn blocking_works_in_spawn_blocking() {
    for runtime in [multi_thread(), current_thread()] {
        let rcu = Rcu::new();
        for (name, wait) in WAITS {
            println!("wait: {name}");
            let handle = rcu.clone();
            runtime.block_on(async move {
                handle.call(|| ());
                let task = tokio::task::spawn_blocking(move || wait(&handle));
                task.await.unwrap_or_else(|error| panic!("{name}: {error}"));
            });
        }
    }
}

#[test]
fn blocking_works_in_block_in_place() {
    let runtime = multi_thread();
    let rcu = Rcu::new();
    for (name, wait) in WAITS {
        println!("wait: {name}");
        let handle = rcu.clone();
        runtime.block_on(async move {
            let task = tokio::spawn(async move {
                handle.call(|| ());
                tokio::task::block_in_place(|| wait(&handle));
            });
            task.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        });
        runtime.block_on(async { tokio::task::block_in_place(|| wait(&rcu)) });
    }
}

#[test]
fn blocking_in_a_section_panics_and_names_the_deadlock() {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1);
    for (name, wait) in WAITS {
        let retired = cell.swap(1);
        rcu.blocking_synchronize();
        let outer = rcu.read();
        names_the_deadlock(
            "a blocking_wait that is ready",
            &panic_message(|| drop(retired.blocking_wait())),
        );
        names_the_deadlock(name, &panic_message(|| wait(&rcu)));
        names_the_deadlock(name, &panic_message(|| wait(&rcu.clone())));
        let inner = rcu.read();
        drop(outer);
        names_the_deadlock(name, &panic_message(|| wait(&rcu)));
        drop(inner);
        wait(&rcu);

        let reference = cell.read();
        names_the_deadlock(name, &panic_message(|| wait(&rcu)));
        drop(reference);
        names_the_deadlock(name, &panic_message(|| cell.with(|_| wait(&rcu))));
        let in_update = panic_message(|| {
            cell.update(|_| {
                wait(&rcu);
                2
            });
        });
        names_the_deadlock(name, &in_update);
        wait(&rcu);
    }
    assert_eq!(*cell.read(), 1);
}

#[test]
fn blocking_in_a_section_of_another_domain_works() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    for (name, wait) in WAITS {
        println!("wait: {name}");
        let (rcu, other) = (rcu.clone(), other.clone());
        within(move || {
            let _section = other.read();
            wait(&rcu);
        });
    }
}

/// Returns each executor's name and builder, and the runtime that has to outlive the domain.
fn executors() -> Vec<(&'static str, Builder, Option<Runtime>)> {
    let (multi, current) = (multi_thread(), current_thread());
    vec![
        ("worker", Rcu::builder().executor(WorkerThread), None),
        ("inline", Rcu::builder().executor(InlineExecutor), None),
        ("tokio", Rcu::builder().executor(multi.handle().clone()), Some(multi)),
        ("tokio, current thread", Rcu::builder().executor(current.handle().clone()), Some(current)),
    ]
}

/// Waits for callbacks, and drives the runtime that runs them.
fn drain(rcu: &Rcu, runtime: Option<&Runtime>) {
    match runtime {
        Some(runtime) => runtime.block_on(rcu.drain()),
        None => rcu.blocking_drain(),
    }
}

#[test]
fn blocking_in_a_callback_of_the_same_domain_panics_and_names_the_deadlock() {
    for (executor, builder, runtime) in executors() {
        let rcu = builder.build().unwrap();
        for (name, wait) in WAITS {
            let (messages, got) = mpsc::channel();
            let handle = rcu.clone();
            rcu.call(move || messages.send(panic_message(|| wait(&handle))).unwrap());
            drain(&rcu, runtime.as_ref());
            names_the_deadlock(&format!("{name} on {executor}"), &got.recv().unwrap());
        }
        // A blocking wait in the drop of a retired value panics too.
        struct Waits(Rcu, Sender<String>);
        impl Drop for Waits {
            fn drop(&mut self) {
                let message = panic_message(|| self.0.blocking_synchronize());
                self.1.send(message).unwrap();
            }
        }
        let (messages, got) = mpsc::channel();
        rcu.retire(Box::new(Waits(rcu.clone(), messages)));
        drain(&rcu, runtime.as_ref());
        names_the_deadlock(executor, &got.recv().unwrap());
        assert_eq!(rcu.stats().panicked, 0);
    }
}

#[test]
fn a_callback_that_blocks_is_reported_and_the_next_one_runs() {
    for (executor, builder, runtime) in executors() {
        let (reports, got) = mpsc::channel();
        let rcu = builder
            .on_panic(move |report| reports.send(report.to_string()).unwrap())
            .build()
            .unwrap();
        let drops = Drops::default();
        for (_, wait) in WAITS {
            let handle = rcu.clone();
            rcu.call(move || wait(&handle));
            rcu.retire(Box::new(drops.value(1)));
        }
        drain(&rcu, runtime.as_ref());
        assert_eq!(drops.count(), WAITS.len(), "{executor}");
        assert_eq!(rcu.stats().panicked, WAITS.len() as u64, "{executor}");
        for (name, _) in WAITS {
            names_the_deadlock(name, &got.recv_timeout(HANG_GUARD).unwrap());
        }
    }
}

#[test]
fn blocking_for_another_domain_works_in_a_callback_of_the_worker() {
    let (rcu, other) = (Rcu::new(), Rcu::new());
    let (done, is_done) = mpsc::channel();
    for (name, wait) in WAITS {
        let (done, other) = (done.clone(), other.clone());
        rcu.call(move || {
            other.call(|| ());
            wait(&other);
            done.send(name).unwrap();
        });
        assert_eq!(is_done.recv_timeout(HANG_GUARD).unwrap(), name);
    }
}

/// Sends the panic message of every blocking wait, each called once on the calling thread.
fn all_messages(handle: &Mutex<Option<Rcu>>, messages: &Sender<(&'static str, String)>) {
    let Some(rcu) = handle.lock().unwrap().take() else {
        return;
    };
    for (name, wait) in WAITS {
        let _ = messages.send((name, panic_message(|| wait(&rcu))));
    }
}

fn expect_all(got: &Receiver<(&'static str, String)>) {
    for (expected, _) in WAITS {
        let (name, message) = got.recv_timeout(HANG_GUARD).unwrap();
        assert_eq!(name, expected);
        names_the_deadlock(name, &message);
    }
}

#[test]
fn blocking_on_the_grace_period_thread_panics() {
    // The waits panic in an executor that is a closure, and in the hooks, too.
    let handle = Arc::new(Mutex::new(None));
    let (messages, got) = mpsc::channel();
    let in_executor = Rcu::builder()
        .executor({
            let (handle, messages) = (Arc::clone(&handle), messages.clone());
            move |batch: Batch| {
                all_messages(&handle, &messages);
                batch.run();
            }
        })
        .build()
        .unwrap();
    *handle.lock().unwrap() = Some(in_executor.clone());
    in_executor.call(|| ());
    expect_all(&got);
    in_executor.blocking_drain();

    type Hook = Box<dyn Fn() + Send + Sync>;
    let hooks: [fn(Builder, Hook) -> Builder; 2] =
        [|builder, hook| builder.on_idle(hook), |builder, hook| builder.on_panic(move |_| hook())];
    for with_hook in hooks {
        let (handle, messages) = (Arc::clone(&handle), messages.clone());
        let hook = {
            let handle = Arc::clone(&handle);
            Box::new(move || all_messages(&handle, &messages))
        };
        let rcu = with_hook(Rcu::builder(), hook).build().unwrap();
        *handle.lock().unwrap() = Some(rcu.clone());
        rcu.call(|| panic!("for the hook"));
        expect_all(&got);
        rcu.blocking_drain();
    }
}

#[test]
fn a_grace_period_thread_may_not_wait_for_another_domain_either() {
    let rcu = Rcu::builder().executor(InlineExecutor).build().unwrap();
    let other = Rcu::new();
    let (messages, got) = mpsc::channel();
    for (name, wait) in WAITS {
        let (other, messages) = (other.clone(), messages.clone());
        rcu.call(move || messages.send((name, panic_message(|| wait(&other)))).unwrap());
    }
    expect_all(&got);
}

#[test]
fn blocking_lock_in_a_batch_under_that_lock_panics() {
    for (executor, builder, runtime) in executors() {
        let lock = GlobalLock::new(0);
        let rcu = builder.global_lock(&lock).build().unwrap();
        let (messages, got) = mpsc::channel();
        let (clone, sender) = (lock.clone(), messages.clone());
        rcu.call(move || {
            let message = panic_message(|| drop(clone.blocking_lock()));
            sender.send(message).unwrap();
        });
        let clone = lock.clone();
        lock.call(&rcu, move |value| {
            let message = panic_message(|| *clone.blocking_lock() += 1);
            *value += 10;
            messages.send(message).unwrap();
        });
        drain(&rcu, runtime.as_ref());
        for _ in 0..2 {
            names_the_deadlock(executor, &got.recv().unwrap());
        }
        assert_eq!(*lock.try_lock().unwrap(), 10, "{executor}");
    }
}

#[test]
fn blocking_lock_of_another_lock_works_in_a_batch() {
    let (lock, other) = (GlobalLock::new(0), GlobalLock::new(0));
    let rcu = Rcu::builder().global_lock(&lock).build().unwrap();
    let clone = other.clone();
    lock.call(&rcu, move |value| {
        *value += 1;
        *clone.blocking_lock() += 1;
    });
    rcu.blocking_drain();
    assert_eq!((*lock.blocking_lock(), *other.blocking_lock()), (1, 1));
    assert_eq!(rcu.stats().panicked, 0);
}

#[test]
fn blocking_drain_timeout_gives_up_while_a_section_holds_things_up() {
    let rcu = Rcu::new();
    let drops = Drops::default();
    let section = rcu.read_owned();
    rcu.retire(Box::new(drops.value(1)));
    for wait in [Duration::ZERO, Duration::from_millis(1)] {
        let result: Result<(), Timeout> = rcu.blocking_drain_timeout(wait);
        assert!(!result.unwrap_err().to_string().is_empty());
    }
    assert_eq!(drops.count(), 0);
    drop(section);
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
    assert_eq!(drops.count(), 1);
    // No clock can be set to this duration.
    rcu.retire(Box::new(drops.value(2)));
    rcu.blocking_drain_timeout(Duration::MAX).unwrap();
    assert_eq!(drops.count(), 2);
}

#[test]
fn blocking_drain_timeout_gives_up_while_a_callback_runs() {
    let rcu = Rcu::new();
    let (end, wait) = mpsc::channel::<()>();
    rcu.call(move || {
        let _ = wait.recv();
    });
    assert!(rcu.blocking_drain_timeout(Duration::from_millis(1)).is_err());
    end.send(()).unwrap();
    rcu.blocking_drain_timeout(HANG_GUARD).unwrap();
}
