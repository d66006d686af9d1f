//! An idle process is idle: no thread of the library wakes up. A binary and a single test of its own, on Linux, where the
//! system counts a thread's wake-ups.
#![cfg(target_os = "linux")]

mod common;

use async_rcu::{Batch, Rcu};
use common::{inline, runtime, threads_named, within};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Wake-ups of each thread of the library so far, by the thread's id and name.
fn wake_ups() -> BTreeMap<String, u64> {
    let read = |tid: String| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.to_owned())
        };
        let name = format!("{tid} {}", field("Name:")?);
        Some((name, field("voluntary_ctxt_switches:")?.parse().ok()?))
    };
    let tids = threads_named(|name| name.starts_with("rcu-"));
    tids.into_iter().filter_map(read).collect()
}

#[test]
fn no_thread_wakes_up_in_two_seconds_of_idleness() {
    within(|| {
        let runtime = runtime(1);
        let builder = |name: &str| Rcu::builder().name(name);
        let domains = [
            builder("worker").build(),
            builder("inline").executor(inline()).build(),
            builder("tokio").executor(runtime.handle().clone()).build(),
            builder("closure")
                .executor(|batch: Batch| batch.run())
                .build(),
            builder("hooks").on_idle(|| {}).on_panic(|_| {}).build(),
            builder("long")
                .batch_interval(Duration::from_secs(1))
                .build(),
            builder("unused").build(),
        ]
        .map(Result::unwrap);
        let held = domains[0].clone();
        for rcu in &domains[..6] {
            for i in 0..100_u32 {
                rcu.call(move || assert!(i < 100));
                rcu.retire(Box::new(i));
                rcu.call_async(async {});
                drop((rcu.read(), rcu.read_owned()));
                rcu.force();
                rcu.blocking_synchronize();
            }
            // The last of what was asked for: after it there is nothing to do.
            rcu.blocking_drain();
        }
        // A section held while nobody waits for it is no work either.
        let _section = held.read_owned();
        // The threads may still be on their way to sleep: until one second has passed without a change.
        let mut before = wake_ups();
        assert!(before.len() >= 9, "threads of the library: {before:?}");
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(200));
            let now = wake_ups();
            if now == before {
                break;
            }
            before = now;
        }
        thread::sleep(Duration::from_secs(2));
        assert_eq!(wake_ups(), before);
    });
}
