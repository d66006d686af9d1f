//! `synchronize` waits for the sections that exist, and shares its grace periods.

mod common;

use async_rcu::{Rcu, RcuCell};
use common::{CountFirstPoll, Section, domain, runtime, until, within};
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio_test::{assert_pending, task};

fn waits_for_its_own_sections_only(open: fn(&Rcu) -> Section) {
    let rcu = domain("sync");
    for _ in 0..100 {
        let earlier = open(&rcu);
        let mut first = task::spawn(rcu.synchronize());
        assert_pending!(first.poll());
        let cookie = rcu.start_grace_period();
        // Sections that begin after the start of that grace period do not block it.
        until("its grace period", || rcu.grace_period() > cookie);
        let later = open(&rcu);
        let mut second = task::spawn(rcu.synchronize());
        assert_pending!(second.poll());
        assert_pending!(first.poll());
        earlier.end();
        futures::executor::block_on(first.into_inner());
        assert_pending!(second.poll());
        later.end();
        futures::executor::block_on(second.into_inner());
    }
}

#[test]
fn waits_for_read_guards_that_exist_and_not_for_later_ones() {
    within(|| waits_for_its_own_sections_only(Section::on_a_thread));
}

#[test]
fn waits_for_owned_guards_that_exist_and_not_for_later_ones() {
    within(|| waits_for_its_own_sections_only(Section::owned));
}

#[test]
fn the_blocking_form_waits_for_what_exists() {
    within(|| {
        let rcu = domain("block");
        for round in 0..200 {
            let section = match round % 2 {
                0 => Section::on_a_thread(&rcu),
                _ => Section::owned(&rcu),
            };
            let ended = section.ended();
            thread::scope(|scope| {
                scope.spawn(|| {
                    rcu.blocking_synchronize();
                    assert!(
                        ended.load(Ordering::Relaxed),
                        "synchronize returned while its section was open"
                    );
                });
                thread::yield_now();
                section.end();
            });
        }
    });
}

#[test]
fn ten_thousand_tasks_share_three_grace_periods() {
    const TASKS: usize = 10_000;
    within(|| {
        let runtime = runtime(2);
        let rcu = domain("share");
        rcu.blocking_drain();
        let before = rcu.stats().grace_periods;
        // The section stays open until all waiters have registered, so that none gets a grace
        // period of its own.
        let section = rcu.read_owned();
        let polled = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (rcu, polled) = (rcu.clone(), Arc::clone(&polled));
                runtime.spawn(async move { CountFirstPoll::new(rcu.synchronize(), &polled).await })
            })
            .collect();
        until("the registration of all waiters", || polled.load(Ordering::SeqCst) == TASKS);
        assert!(tasks.iter().all(|task| !task.is_finished()));
        drop(section);
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        let used = rcu.stats().grace_periods - before;
        assert!((1..=3).contains(&used), "{used} grace periods");
    });
}

#[test]
fn a_wait_that_was_never_polled_does_not_slow_another_down() {
    let rcu = Rcu::new();
    let _never = rcu.synchronize();
    let _dropped = RcuCell::new_in(&rcu, 1).swap(2).wait();
    assert!(
        rcu.synchronize().now_or_never().is_some(),
        "the wait did not run its own grace period at once"
    );
}

#[test]
fn from_many_threads_at_once() {
    within(|| {
        let rcu = domain("many");
        thread::scope(|scope| {
            for thread in 0..16 {
                let rcu = &rcu;
                scope.spawn(move || {
                    for i in 0..100 {
                        match (thread + i) % 4 {
                            0 => drop(rcu.read()),
                            1 => futures::executor::block_on(rcu.synchronize()),
                            _ => rcu.blocking_synchronize(),
                        }
                    }
                });
            }
        });
        // No waiter got more than one grace period of its own.
        assert!(rcu.stats().grace_periods <= 16 * 100);
    });
}

#[test]
fn domains_do_not_wait_for_each_others_readers() {
    within(|| {
        let (held, free) = (domain("held"), domain("free"));
        let (section, owned) = (Section::on_a_thread(&held), held.read_owned());
        let mut waiting = task::spawn(held.synchronize());
        assert_pending!(waiting.poll());
        let guard = held.read();
        for _ in 0..50 {
            free.blocking_synchronize();
            futures::executor::block_on(free.synchronize());
            free.call(|| {});
            free.blocking_drain();
        }
        drop(guard);
        assert_pending!(waiting.poll());
        drop(owned);
        section.end();
        futures::executor::block_on(waiting.into_inner());
    });
}

#[test]
fn its_grace_period_starts_no_earlier_than_the_first_poll() {
    within(|| {
        let rcu = domain("lazy");
        for _ in 0..100 {
            let mut made = task::spawn(rcu.synchronize());
            // Grace periods of other callers before the first poll do not count.
            rcu.blocking_synchronize();
            rcu.blocking_synchronize();
            let section = rcu.read_owned();
            assert_pending!(made.poll(), "the section began before the first poll");
            drop(section);
            futures::executor::block_on(made.into_inner());
        }
    });
}

#[test]
fn the_task_that_polled_last_is_woken() {
    within(|| {
        let rcu = domain("wake");
        for _ in 0..50 {
            let section = rcu.read_owned();
            let mut first = task::spawn(rcu.synchronize());
            assert_pending!(first.poll());
            let mut second = task::spawn(first.into_inner());
            assert_pending!(second.poll());
            drop(section);
            until("the wake-up", || second.is_woken());
            while second.poll().is_pending() {
                until("the next wake-up", || second.is_woken());
            }
        }
    });
}

#[test]
fn many_overlapping_ones_each_wait_for_their_own() {
    within(|| {
        let rcu = domain("overlap");
        // Section i is open when wait i begins. The sections end in another order.
        for stride in [1, 3, 7] {
            let mut sections: Vec<_> = Vec::new();
            let mut waits = Vec::new();
            for _ in 0..10 {
                sections.push(Some(rcu.read_owned()));
                let mut wait = task::spawn(rcu.synchronize());
                assert_pending!(wait.poll());
                waits.push(Some(wait));
            }
            for step in 0..10 {
                drop(sections[(step * stride) % 10].take());
                // A wait may end only if no section that began before it is open.
                let left = sections.iter().position(Option::is_some).unwrap_or(10);
                for (i, wait) in waits.iter_mut().enumerate() {
                    if i >= left {
                        assert_pending!(wait.as_mut().unwrap().poll(), "wait {i} of {left}");
                    }
                }
            }
            for wait in waits {
                futures::executor::block_on(wait.unwrap().into_inner());
            }
        }
    });
}

#[test]
fn cookies_tell_what_has_elapsed() {
    within(|| {
        let rcu = domain("cookie");
        for round in 0..100 {
            let section = rcu.read_owned();
            let next = rcu.grace_period();
            let started = rcu.start_grace_period();
            assert!(!rcu.has_elapsed(next) && !rcu.has_elapsed(started));
            let mut wait = task::spawn(rcu.wait_for(started));
            assert_pending!(wait.poll());
            drop(section);
            if round % 2 == 0 {
                until("the end of the grace period", || rcu.has_elapsed(started));
            }
            futures::executor::block_on(wait.into_inner());
            assert!(rcu.has_elapsed(started));
            // The earlier cookie names the same grace period or an earlier one.
            assert!(rcu.has_elapsed(next));
            assert!(next <= started);
            // A cookie alone starts no grace period. A wait for the cookie starts one.
            let alone = rcu.grace_period();
            futures::executor::block_on(rcu.wait_for(alone));
            assert!(rcu.has_elapsed(alone));
        }
    });
}

#[test]
fn a_started_grace_period_elapses_without_a_waiter_or_another_cause() {
    within(|| {
        let rcu = Rcu::builder().name("poll").batch_interval(Duration::ZERO);
        let rcu = rcu.build().unwrap();
        for _ in 0..100 {
            let cookie = rcu.start_grace_period();
            until("the grace period", || rcu.has_elapsed(cookie));
        }
    });
}

#[test]
fn dropped_at_any_point_it_harms_no_other() {
    within(|| {
        let rcu = domain("cancel");
        for round in 0..200 {
            let section = rcu.read_owned();
            let mut kept = task::spawn(rcu.synchronize());
            let mut dropped: Vec<_> = (0..5).map(|_| task::spawn(rcu.synchronize())).collect();
            for wait in &mut dropped[..3] {
                assert_pending!(wait.poll());
            }
            assert_pending!(kept.poll());
            dropped.truncate(round % 6);
            drop(section);
            drop(dropped);
            futures::executor::block_on(kept.into_inner());
        }
    });
}

/// A writer publishes a slot, replaces it, waits for a grace period, poisons the slot and uses it
/// again.
#[test]
fn publish_synchronize_poison_never_shows_a_reader_the_poison() {
    const SLOTS: usize = 4;
    const POISON: u64 = 0xDEAD;
    within(|| {
        let rcu = domain("publish");
        let slots: [AtomicU64; SLOTS] = std::array::from_fn(|_| AtomicU64::new(POISON));
        slots[0].store(1, Ordering::Relaxed);
        let (current, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let reads = AtomicU64::new(0);
        thread::scope(|scope| {
            for reader in 0..3 {
                let (rcu, slots, current, done, reads) = (&rcu, &slots, &current, &done, &reads);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let guard = (reader < 2).then(|| rcu.read());
                        let owned = (reader == 2).then(|| rcu.read_owned());
                        let slot = &slots[current.load(Ordering::Acquire)];
                        let seen = slot.load(Ordering::Relaxed);
                        assert_ne!(seen, POISON);
                        for _ in 0..reader * 50 {
                            std::hint::spin_loop();
                        }
                        assert_eq!(
                            slot.load(Ordering::Relaxed),
                            seen,
                            "the slot changed while a reader used it"
                        );
                        drop((guard, owned));
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let writer = scope.spawn(|| {
                for version in 2..2_000_u64 {
                    let old = current.load(Ordering::Relaxed);
                    let new = (old + 1) % SLOTS;
                    slots[new].store(version << 16, Ordering::Relaxed);
                    current.store(new, Ordering::Release);
                    match version % 3 {
                        0 => futures::executor::block_on(rcu.synchronize()),
                        _ => rcu.blocking_synchronize(),
                    }
                    slots[old].store(POISON, Ordering::Relaxed);
                }
                until("a read", || reads.load(Ordering::Relaxed) > 100);
            });
            let result = writer.join();
            done.store(true, Ordering::Relaxed);
            result.unwrap();
        });
    });
}

/// There are more words than a caller scans by itself, so its first poll leaves them to the
/// grace-period thread.
#[test]
fn a_wait_for_thousands_of_owned_guards_ends() {
    within(|| {
        let rcu = Rcu::new();
        let held: Vec<_> = (0..10_000).map(|_| rcu.read_owned()).collect();
        assert!(rcu.synchronize().now_or_never().is_none());
        assert_eq!(rcu.stats().owned_guards, held.len());
        drop(held);
        runtime(0).block_on(async {
            rcu.synchronize().await;
            rcu.synchronize().await;
        });
    });
}
