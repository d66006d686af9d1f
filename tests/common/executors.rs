//! Every kind of executor with its driver, for the suites that run over all of them.

use super::{inline, runtime, worker};
use async_rcu::{Batch, Builder, Executor, Rcu, executor::ChannelExecutor};
use futures::StreamExt;
use futures::task::{FutureObj, Spawn, SpawnError, SpawnExt};
use std::sync::{Arc, mpsc};
use std::thread;
use tokio::sync::oneshot;

/// A domain, and the driver of its executor. The order of the fields makes the domain's handle drop
/// first.
pub(crate) struct Driven {
    pub(crate) rcu: Rcu,
    pub(crate) driver: Driver,
}

pub(crate) enum Driver {
    /// A thread of the library, or a thread that ends with the executor.
    None,
    Runtime {
        _runtime: tokio::runtime::Runtime,
    },
    /// A thread that drives the executor until the sender is dropped.
    Until {
        _stop: oneshot::Sender<()>,
    },
}

type Make = fn(Builder) -> (Builder, Driver);

const KINDS: &[(&str, Make)] = &[
    ("the default", |b| (b, Driver::None)),
    ("WorkerThread", |b| (b.executor(worker()), Driver::None)),
    ("InlineExecutor", |b| (b.executor(inline()), Driver::None)),
    #[cfg(feature = "rt")]
    ("tokio current_thread", current_thread),
    #[cfg(feature = "rt")]
    ("tokio multi_thread(1)", |b| multi_thread(b, 1)),
    #[cfg(feature = "rt")]
    ("tokio multi_thread(2)", |b| multi_thread(b, 2)),
    ("a closure that spawns", |b| {
        let spawner = a_spawner();
        let spawn = move |batch: Batch| spawner.spawn(batch);
        (b.executor(spawn), Driver::None)
    }),
    ("ChannelExecutor on a thread", channel_on_a_thread),
    ("ChannelExecutor in a LocalSet", channel_in_a_local_set),
    ("a closure that runs it", |b| (b.executor(|batch: Batch| batch.run()), Driver::None)),
    ("a closure that starts threads", |b| {
        let start = |batch: Batch| thread::spawn(move || batch.run());
        (b.executor(start), Driver::None)
    }),
    ("Arc<dyn Executor>", |b| {
        let shared: Arc<dyn Executor> = Arc::new(worker());
        (b.executor(shared), Driver::None)
    }),
];

/// Runs a test over every kind of executor, each with a domain of its own.
pub(crate) fn on_every_executor(builder: impl Fn() -> Builder, test: impl Fn(Driven)) {
    for (kind, make) in KINDS {
        // The harness shows the line if the test fails.
        println!("executor: {kind}");
        let (builder, driver) = make(builder());
        test(Driven { rcu: builder.build().expect("a domain"), driver });
    }
}

#[cfg(feature = "rt")]
fn multi_thread(builder: Builder, workers: usize) -> (Builder, Driver) {
    let runtime = runtime(workers);
    (builder.executor(runtime.handle().clone()), Driver::Runtime { _runtime: runtime })
}

#[cfg(feature = "rt")]
fn current_thread(builder: Builder) -> (Builder, Driver) {
    let runtime = runtime(0);
    let builder = builder.executor(runtime.handle().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    thread::spawn(move || runtime.block_on(stopped));
    (builder, Driver::Until { _stop: stop })
}

fn channel_on_a_thread(builder: Builder) -> (Builder, Driver) {
    let (executor, batches) = ChannelExecutor::new();
    thread::spawn(move || {
        for batch in futures::executor::block_on_stream(batches) {
            batch.run();
        }
    });
    (builder.executor(executor), Driver::None)
}

fn channel_in_a_local_set(builder: Builder) -> (Builder, Driver) {
    let (executor, mut batches) = ChannelExecutor::new();
    thread::spawn(move || {
        let (runtime, local) = (runtime(0), tokio::task::LocalSet::new());
        local.block_on(&runtime, async move {
            while let Some(batch) = batches.next().await {
                tokio::task::spawn_local(batch);
            }
        });
        // Some batches may still be running.
        runtime.block_on(local);
    });
    (builder.executor(executor), Driver::None)
}

/// Returns a spawner like that of another runtime: a thread runs one future after another, and ends
/// with the spawner.
pub(crate) fn a_spawner() -> impl Spawn + Send + Sync + 'static {
    struct ToThread(mpsc::Sender<FutureObj<'static, ()>>);

    impl Spawn for ToThread {
        fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
            self.0.send(future).map_err(|_| SpawnError::shutdown())
        }
    }

    let (spawner, futures) = mpsc::channel();
    thread::spawn(move || {
        for future in futures {
            futures::executor::block_on(future);
        }
    });
    ToThread(spawner)
}
