//! What one read, one call and one wait cost: `cargo bench --bench basic`.
//!
//! At the end, and outside criterion: how long another task of a runtime of one worker waits for its turn at worst, while a
//! million callbacks run on that runtime. It is printed, as figures that depend on the machine are not for tests.

use async_rcu::{InlineExecutor, Rcu, RcuCell};
use criterion::{BatchSize, Criterion, criterion_group};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn reads(c: &mut Criterion) {
    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, 1_u64);
    let mut group = c.benchmark_group("read");
    group.bench_function("enter and leave", |b| {
        b.iter(|| drop(black_box(rcu.read())))
    });
    group.bench_function("enter, load and leave", |b| {
        b.iter(|| {
            let guard = rcu.read();
            *cell.load(&guard)
        });
    });
    group.bench_function("nested", |b| {
        let _outer = rcu.read();
        b.iter(|| drop(black_box(rcu.read())));
    });
    group.bench_function("owned, enter and leave", |b| {
        b.iter(|| drop(black_box(rcu.read_owned())));
    });
    group.bench_function("owned, beside 1,000 that are held", |b| {
        let _held: Vec<_> = (0..1_000).map(|_| rcu.read_owned()).collect();
        b.iter(|| drop(black_box(rcu.read_owned())));
    });
    group.bench_function("RcuCell::with", |b| b.iter(|| cell.with(|value| *value)));
    group.bench_function("RcuCell::read", |b| b.iter(|| *cell.read()));
    group.bench_function("RcuCell::read_owned", |b| b.iter(|| *cell.read_owned()));
    group.bench_function("RcuCell::load under a guard", |b| {
        let guard = rcu.read();
        b.iter(|| *cell.load(black_box(&guard)));
    });
    group.bench_function("two domains in turn", |b| {
        let other = Rcu::new();
        b.iter(|| {
            drop(black_box(rcu.read()));
            drop(black_box(other.read()));
        });
    });
    group.finish();
}

/// Times `call` alone: in rounds of so many, each drained outside the measurement.
fn enqueue(c: &mut Criterion, name: &str, call: impl Fn(&Rcu)) {
    const ROUND: u64 = 100_000;
    let rcu = Rcu::builder()
        .executor(InlineExecutor)
        .build()
        .expect("a domain");
    c.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let round = left.min(ROUND);
                let start = Instant::now();
                for _ in 0..round {
                    call(&rcu);
                }
                spent += start.elapsed();
                rcu.blocking_drain();
                left -= round;
            }
            spent
        });
    });
}

fn calls(c: &mut Criterion) {
    let (one, two, three) = (1_u64, 2_u64, 3_u64);
    enqueue(c, "call/1 word", move |rcu| {
        rcu.call(move || {
            black_box(one);
        });
    });
    enqueue(c, "call/3 words", move |rcu| {
        rcu.call(move || {
            black_box((one, two, three));
        });
    });
    enqueue(c, "call/8 words, boxed", move |rcu| {
        let words = [one; 8];
        rcu.call(move || {
            black_box(words);
        });
    });
    enqueue(c, "call/allocate and retire a box", move |rcu| {
        rcu.retire(Box::new(one));
    });
    enqueue(c, "call/async", move |rcu| {
        rcu.call_async(async move {
            black_box(one);
        });
    });

    let rcu = Rcu::new();
    let cell = RcuCell::new_in(&rcu, one);
    enqueue(c, "call/RcuCell::store", move |_| {
        cell.store(black_box(two))
    });
}

fn waits(c: &mut Criterion) {
    let rcu = Rcu::new();
    let mut group = c.benchmark_group("wait");
    group.bench_function("blocking_synchronize, idle", |b| {
        b.iter(|| rcu.blocking_synchronize());
    });
    group.bench_function("blocking_synchronize, beside a reader", |b| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(black_box(rcu.read()));
                }
            });
            b.iter(|| rcu.blocking_synchronize());
            stop.store(true, Ordering::Relaxed);
        });
    });
    group.bench_function("blocking_drain, idle", |b| b.iter(|| rcu.blocking_drain()));
    group.bench_function("call and blocking_drain", |b| {
        b.iter(|| {
            rcu.call(|| {});
            rcu.blocking_drain();
        });
    });

    for workers in [0, 1] {
        let runtime = runtime(workers);
        let kind = if workers == 0 {
            "current_thread"
        } else {
            "a task"
        };
        group.bench_function(format!("synchronize().await, idle, {kind}"), |b| {
            // Many at a time, so that entering the runtime is not what is measured.
            b.iter_custom(|iterations| {
                let rcu = rcu.clone();
                let body = async move {
                    let start = Instant::now();
                    for _ in 0..iterations {
                        rcu.synchronize().await;
                    }
                    start.elapsed()
                };
                if workers == 0 {
                    runtime.block_on(body)
                } else {
                    runtime.block_on(runtime.spawn(body)).expect("the task")
                }
            });
        });
    }
    group.bench_function("swap and blocking_wait", |b| {
        let cell = RcuCell::new_in(&rcu, 1_u64);
        b.iter_batched(
            || 2,
            |value| cell.swap(value).blocking_wait(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// 0 workers: current_thread.
fn runtime(workers: usize) -> tokio::runtime::Runtime {
    match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .worker_threads(workers.max(1))
    .enable_all()
    .build()
    .expect("a runtime")
}

/// A task that only yields, alone and then beside a million callbacks: the longest time between two of its turns.
fn a_million_callbacks_beside_a_task() {
    const CALLBACKS: u64 = 1_000_000;
    let runtime = runtime(1);
    let rcu = Rcu::builder()
        .executor(runtime.handle().clone())
        .build()
        .expect("a domain");
    let ran = Arc::new(AtomicU64::new(0));
    let watch = |until: Box<dyn Fn() -> bool + Send>| {
        runtime.spawn(async move {
            let (mut worst, mut turns, mut last) = (Duration::ZERO, 0_u64, Instant::now());
            while !until() {
                tokio::task::yield_now().await;
                let now = Instant::now();
                worst = worst.max(now - last);
                last = now;
                turns += 1;
            }
            (worst, turns)
        })
    };

    let start = Instant::now();
    let alone = watch(Box::new(move || {
        start.elapsed() > Duration::from_millis(200)
    }));
    let alone = runtime.block_on(alone).expect("the task");

    // All are ready at once: the flood is as high as it can be.
    let section = rcu.read_owned();
    for i in 0..CALLBACKS {
        let ran = Arc::clone(&ran);
        rcu.call(move || {
            black_box(vec![i; 4]);
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    let seen = Arc::clone(&ran);
    let beside = watch(Box::new(move || seen.load(Ordering::Relaxed) == CALLBACKS));
    let start = Instant::now();
    drop(section);
    rcu.blocking_drain();
    let took = start.elapsed();
    let beside = runtime.block_on(beside).expect("the task");

    println!("{CALLBACKS} callbacks on a runtime of one worker took {took:?};");
    println!("another task of it waited for its turn at worst");
    println!("  {:?} without them ({} turns),", alone.0, alone.1);
    println!("  {:?} beside them ({} turns)", beside.0, beside.1);
}

criterion_group!(benches, reads, calls, waits);

fn main() {
    benches();
    // Not where `cargo test` tries whether the benches run.
    if std::env::args().any(|arg| arg == "--bench") {
        a_million_callbacks_beside_a_task();
    }
    Criterion::default().configure_from_args().final_summary();
}
