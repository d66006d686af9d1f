//! Every field of `Stats` agrees with an independent count, under load and afterwards.

mod common;

use async_rcu::{
    Batch, Rcu, RcuCell,
    report::{Latency, MemoryBarrier},
};
use common::executors::{Driven, on_every_executor};
use common::{Bomb, domain, first_grace_period_has_started, receive, runtime, until, within};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier as Meet, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// An independent counter.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value that counts its drop.
struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.one_more();
    }
}

#[test]
fn a_new_domain_has_nothing_to_tell() {
    within(|| {
        // The count is also right if the thread uses the record of an ended thread.
        for _ in 0..50 {
            let rcu = Rcu::new();
            let stats = rcu.stats();
            assert_eq!((stats.grace_periods, stats.forced), (0, 0));
            assert_eq!((stats.queued, stats.finished), (0, 0));
            assert_eq!((stats.panicked, stats.cancelled), (0, 0));
            assert_eq!((stats.batches, stats.stalls), (0, 0));
            assert_eq!((stats.threads, stats.owned_guards), (0, 0));
            assert_eq!(stats.oldest_section, None);
            assert_eq!(stats.longest_callback, Duration::ZERO);
            assert_eq!(stats.grace_period_latency, Latency::default());
            assert!(format!("{stats:?}").contains("grace_period_latency"));
            rcu.call(|| ());
            drop((rcu.read(), rcu.read_owned()));
            rcu.blocking_drain();
            let stats = rcu.stats();
            assert!(stats.grace_periods >= 1);
            assert_eq!((stats.queued, stats.batches, stats.threads), (1, 1, 1));
        }
    });
}

#[test]
fn callbacks_are_counted_under_load_on_every_executor() {
    const THREADS: u64 = 3;
    const EACH: u64 = 600;
    within(|| {
        on_every_executor(Rcu::builder, |Driven { rcu, driver: _driver }| {
            let (called, ended, panics) = (Count::default(), Count::default(), Count::default());
            let cell = RcuCell::new_in(&rcu, Counted(ended.clone()));
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                let sampler = scope.spawn(|| {
                    let mut samples = 0;
                    while !over.load(Ordering::SeqCst) {
                        let called_before = called.get();
                        let stats = rcu.stats();
                        let (ended_after, panics_after) = (ended.get(), panics.get());
                        assert!(stats.queued >= called_before, "{stats:?}");
                        assert!(stats.finished <= ended_after, "{stats:?}");
                        assert!(stats.finished <= stats.queued, "{stats:?}");
                        assert!(stats.panicked <= panics_after, "{stats:?}");
                        samples += 1;
                    }
                    samples
                });
                let callers: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            for i in 0..EACH {
                                let one = Counted(ended.clone());
                                match i % 6 {
                                    0 => rcu.retire(Box::new(one)),
                                    1 => rcu.call_async(async move { drop(one) }),
                                    2 => cell.store(one),
                                    3 => {
                                        let panics = panics.clone();
                                        rcu.call(move || {
                                            panics.one_more();
                                            drop(one);
                                            panic!("counted");
                                        });
                                    }
                                    4 => drop(cell.swap(one)),
                                    _ => rcu.call(move || drop(one)),
                                }
                                called.one_more();
                            }
                        })
                    })
                    .collect();
                for caller in callers {
                    caller.join().unwrap();
                }
                rcu.blocking_drain();
                over.store(true, Ordering::SeqCst);
                assert!(sampler.join().unwrap() > 0);
            });
            let all = THREADS * EACH;
            assert_eq!((called.get(), panics.get()), (all, all / 6));
            // The cell's last value is still in use, and its first one was not retired by
            // `call`.
            assert_eq!(ended.get(), all);
            let stats = rcu.stats();
            assert_eq!((stats.queued, stats.finished), (all, all));
            assert_eq!(stats.panicked, all / 6);
            assert_eq!(stats.cancelled, 0);
        });
    });
}

#[test]
fn grace_periods_one_by_one() {
    within(|| {
        let rcu = domain("one by one");
        for n in 1..=100 {
            match n % 2 {
                0 => rcu.blocking_synchronize(),
                _ => futures::executor::block_on(rcu.synchronize()),
            }
            assert_eq!(rcu.stats().grace_periods, n);
        }
        let cookie = rcu.start_grace_period();
        until("the cookie's grace period", || rcu.has_elapsed(cookie));
        let stats = rcu.stats();
        assert_eq!((stats.grace_periods, stats.forced), (101, 0));
    });
}

#[test]
fn forced_ones_and_no_others() {
    within(|| {
        let rcu = Rcu::builder().batch_interval(Duration::from_secs(3600));
        let rcu = rcu.build().unwrap();
        rcu.call(|| ());
        until("the first callback, unforced", || rcu.stats().finished == 1);
        for n in 1..=50 {
            rcu.call(|| ());
            match n % 2 {
                0 => rcu.blocking_drain(),
                _ => rcu.force(),
            }
            until("the end of the callback", || rcu.stats().finished == n + 1);
            let stats = rcu.stats();
            assert_eq!((stats.forced, stats.grace_periods), (n, n + 1));
        }
        // No callback is queued, so the domain starts no grace period.
        rcu.force();
        rcu.blocking_drain();
        rcu.blocking_synchronize();
        assert_eq!(rcu.stats().grace_periods, 52);
    });
}

#[test]
fn batches_as_the_executor_gets_them() {
    within(|| {
        let (batches, calls) = (Count::default(), Count::default());
        let (count, len) = (batches.clone(), calls.clone());
        let rcu = Rcu::builder().executor(move |batch: Batch| {
            count.one_more();
            (0..batch.len()).for_each(|_| len.one_more());
            thread::spawn(move || batch.run());
        });
        let rcu = rcu.build().unwrap();
        for i in 0..500 {
            match i % 5 {
                0 => rcu.call_async(async {}),
                _ => rcu.call(|| ()),
            }
        }
        rcu.blocking_drain();
        // An async callback counts twice: as a callback, and as a batch of its own.
        assert_eq!(calls.get(), 500 + 100);
        assert_eq!(rcu.stats().batches, batches.get());
    });
}

#[test]
fn what_is_cancelled() {
    within(|| {
        let rcu = domain("cancelled");
        let (began, has_begun) = mpsc::channel();
        for round in 1..=3 {
            let runtime = runtime(1);
            let section = {
                let _in = runtime.enter();
                for _ in 0..10 {
                    let began = began.clone();
                    rcu.call_async(async move {
                        began.send(()).unwrap();
                        pending().await
                    });
                }
                (0..10).for_each(|_| receive(&has_begun));
                let section = rcu.read_owned();
                (0..5).for_each(|_| rcu.call_async(pending()));
                section
            };
            assert_eq!(rcu.stats().cancelled, (round - 1) * 15);
            drop((runtime, section));
            rcu.blocking_drain();
            let stats = rcu.stats();
            assert_eq!((stats.cancelled, stats.finished), (round * 15, round * 15));
        }
    });
}

#[test]
fn panics_of_callbacks_and_drops_only() {
    within(|| {
        on_every_executor(
            || Rcu::builder().on_idle(|| panic!("a hook")),
            |Driven { rcu, driver: _driver }| {
                for _ in 0..20 {
                    rcu.call(|| panic!("a callback"));
                    rcu.retire(Box::new(Bomb("dropped")));
                    rcu.call_async(async { panic!("a future") });
                    let bomb = Bomb("dropped");
                    rcu.call_async(async move { drop(bomb) });
                }
                rcu.blocking_drain();
                let stats = rcu.stats();
                assert_eq!((stats.panicked, stats.finished), (80, 80));
            },
        );
    });
}

#[test]
fn threads_as_they_come_and_go() {
    within(|| {
        let rcu = domain("threads");
        let (all_there, may_go) = (Meet::new(9), Meet::new(9));
        thread::scope(|scope| {
            for i in 0..8 {
                let (rcu, all_there, may_go) = (&rcu, &all_there, &may_go);
                scope.spawn(move || {
                    let _registered = (i % 3 == 0).then(|| rcu.register_thread());
                    match i % 3 {
                        0 => {}
                        1 => drop(rcu.read()),
                        _ => rcu.call(|| ()),
                    }
                    all_there.wait();
                    may_go.wait();
                });
            }
            all_there.wait();
            assert_eq!(rcu.stats().threads, 8);
            may_go.wait();
        });
        // A scope may end before its threads' locals are dropped.
        until("the end of the threads", || rcu.stats().threads == 0);
        drop(rcu.read());
        assert_eq!(rcu.stats().threads, 1);
    });
}

#[test]
fn owned_guards_wherever_they_are() {
    within(|| {
        let rcu = domain("owned");
        let mut held = Vec::new();
        for n in 1..=100 {
            held.push(rcu.read_owned());
            assert_eq!(rcu.stats().owned_guards, n);
        }
        let _not_one = rcu.read();
        let elsewhere = rcu.clone();
        let more = thread::spawn(move || (0..50).map(|_| elsewhere.read_owned()).collect());
        let more: Vec<_> = more.join().unwrap();
        assert_eq!(rcu.stats().owned_guards, 150);
        thread::spawn(move || drop(held)).join().unwrap();
        assert_eq!(rcu.stats().owned_guards, 50);
        drop(more);
        assert_eq!(rcu.stats().owned_guards, 0);
    });
}

#[test]
fn the_oldest_section_by_the_grace_period_that_it_holds_up() {
    within(|| {
        let rcu = domain("oldest");
        assert_eq!(rcu.stats().oldest_section, None);
        let oldest = rcu.read_owned();
        assert_eq!(rcu.stats().oldest_section, Some(Duration::ZERO));
        let before = Instant::now();
        rcu.call(|| ());
        first_grace_period_has_started(&rcu);
        let after = Instant::now();
        // The younger section has a grace period of its own.
        let younger = rcu.read();
        let cookie = rcu.start_grace_period();
        rcu.force();
        until("the start of the second grace period", || rcu.grace_period() > cookie);
        until("some time", || after.elapsed() > Duration::from_millis(20));
        let least = after.elapsed();
        let age = rcu.stats().oldest_section.unwrap();
        assert!(least <= age && age <= before.elapsed(), "{least:?} {age:?}");
        // The first grace period ends with the oldest section. Then the younger section is the
        // oldest.
        drop(oldest);
        until("the end of the first grace period", || rcu.stats().finished == 1);
        // The thread has recorded the start of the second grace period before this.
        let second = Instant::now();
        until("some time", || second.elapsed() > Duration::from_millis(20));
        let least = second.elapsed();
        let age = rcu.stats().oldest_section.unwrap();
        assert!(least <= age && age <= after.elapsed(), "{least:?} {age:?}");
        drop(younger);
        rcu.blocking_drain();
        assert_eq!(rcu.stats().oldest_section, None);
    });
}

#[test]
fn how_long_grace_periods_took() {
    within(|| {
        let rcu = domain("latency");
        let begun = Instant::now();
        for count in 1..=99 {
            // The grace-period thread runs this grace period. A waiter may run one itself, which is
            // not measured.
            rcu.start_grace_period();
            until("the measurement", || rcu.stats().grace_period_latency.count == count);
        }
        let quick = begun.elapsed();
        let latency = rcu.stats().grace_period_latency;
        assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        // The sum of the durations is at most the whole time, so half of them took at most a
        // fiftieth of it, to two digits.
        assert!(latency.p50.mul_f64(0.98) <= quick / 49, "{latency:?} in {quick:?}");
        assert!(latency.max.mul_f64(0.98) <= quick, "{latency:?} in {quick:?}");

        let section = rcu.read_owned();
        let (before, cookie) = (Instant::now(), rcu.start_grace_period());
        until("the start of the grace period", || rcu.grace_period() > cookie);
        let after = Instant::now();
        until("some time", || after.elapsed() > Duration::from_millis(30));
        let least = after.elapsed();
        drop(section);
        until("the measurement", || rcu.stats().grace_period_latency.count == 100);
        let latency = rcu.stats().grace_period_latency;
        assert!(latency.max >= least.mul_f64(0.98), "{latency:?} {least:?}");
        // One slow grace period in a hundred does not change the other percentiles.
        assert!(latency.p50.mul_f64(0.98) <= quick / 50, "{latency:?}");
        assert!(latency.p99.mul_f64(0.98) <= quick, "{latency:?}");
        let most = before.elapsed().max(quick);
        assert!(latency.max.mul_f64(0.98) <= most, "{latency:?} {most:?}");
    });
}

/// A section blocked a grace period that a blocking caller had started, and the grace period was
/// not measured.
#[test]
fn how_long_a_blocking_callers_grace_period_took() {
    within(|| {
        let rcu = domain("caller");
        let section = rcu.read_owned();
        let caller = {
            let rcu = rcu.clone();
            thread::spawn(move || rcu.blocking_synchronize())
        };
        until("the age of the section", || {
            rcu.stats().oldest_section > Some(Duration::from_millis(10))
        });
        drop(section);
        caller.join().unwrap();
        until("the measurement", || rcu.stats().grace_period_latency.count == 1);
        let latency = rcu.stats().grace_period_latency;
        assert!(latency.max >= Duration::from_millis(9), "{latency:?}");
    });
}

#[test]
fn the_longest_callback_on_every_executor() {
    within(|| {
        on_every_executor(Rcu::builder, |Driven { rcu, driver: _driver }| {
            let begun = Instant::now();
            (0..100).for_each(|_| rcu.call(|| ()));
            rcu.blocking_drain();
            assert!(rcu.stats().longest_callback <= begun.elapsed());
            let (took, has_taken) = mpsc::channel();
            for millis in [1, 5, 2] {
                let took = took.clone();
                rcu.call(move || {
                    let begun = Instant::now();
                    thread::sleep(Duration::from_millis(millis));
                    took.send(begun.elapsed()).unwrap();
                });
            }
            rcu.blocking_drain();
            let longest = has_taken.try_iter().max().unwrap();
            let told = rcu.stats().longest_callback;
            assert!(longest <= told && told <= begun.elapsed(), "{longest:?} {told:?}");
        });
    });
}

#[test]
fn stalls_as_the_hook_hears_them() {
    within(|| {
        common::reports::record();
        let heard = Count::default();
        let count = heard.clone();
        let rcu = Rcu::builder()
            .stall_timeout(Duration::from_millis(5))
            .on_stall(move |_| count.one_more())
            .build()
            .unwrap();
        let section = rcu.read_owned();
        rcu.call(|| ());
        until("some reports", || heard.get() >= 4);
        drop(section);
        rcu.blocking_shutdown();
        assert_eq!(rcu.stats().stalls, heard.get());
    });
}

#[test]
fn the_barrier_in_use() {
    let barrier = Rcu::global().stats().barrier;
    let asked = std::env::var_os("ASYNC_RCU_BARRIER").is_some_and(|barrier| barrier == "fence");
    let possible = cfg!(any(target_os = "linux", target_os = "android", windows));
    if asked || !possible {
        assert_eq!(barrier, MemoryBarrier::Fence);
    }
    assert_eq!(barrier, Rcu::new().stats().barrier, "all domains of the process have one barrier");
}
