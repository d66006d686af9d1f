//! `call` and `retire` run a callback once, after the sections that existed at the call, whatever
//! the callback's size, and also after the caller and the last handle are gone.

mod common;

use async_rcu::{GlobalLock, Rcu};
use common::{
    Section, Tally, domain, first_grace_period_has_started, inline, receive, until, within, worker,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Checks two sections, of which the second begins after the first callback's grace period has
/// started. A callback that does not wait for the second section would run at the end of the first.
fn waits_for_its_own_sections_only(open: fn(&Rcu) -> Section) {
    for _ in 0..100 {
        let rcu = domain("call");
        let earlier = open(&rcu);
        let earlier_ended = earlier.ended();
        let (first_ran, first) = mpsc::channel();
        rcu.call(move || first_ran.send(earlier_ended.load(Ordering::Relaxed)).unwrap());
        first_grace_period_has_started(&rcu);

        let later = open(&rcu);
        let later_ended = later.ended();
        let (second_ran, second) = mpsc::channel();
        rcu.call(move || second_ran.send(later_ended.load(Ordering::Relaxed)).unwrap());
        rcu.force();
        assert!(first.try_recv().is_err(), "the callback ran while a section was open");

        earlier.end();
        assert!(receive(&first), "the callback ran while its section was open");
        assert!(second.try_recv().is_err(), "the callback ran while its section was open");
        later.end();
        assert!(receive(&second), "the callback ran while its section was open");
    }
}

#[test]
fn never_runs_before_a_read_guard_on_another_thread_is_dropped_nor_waits_for_later_ones() {
    within(|| waits_for_its_own_sections_only(Section::on_a_thread));
}

#[test]
fn never_runs_before_an_owned_guard_is_dropped_nor_waits_for_later_ones() {
    within(|| waits_for_its_own_sections_only(Section::owned));
}

#[test]
fn never_runs_before_the_callers_own_section_ends() {
    within(|| {
        let rcu = domain("call");
        for _ in 0..200 {
            let ended = Arc::new(AtomicBool::new(false));
            let outer = rcu.read();
            let inner = rcu.read();
            let (ran, has_run) = mpsc::channel();
            let flag = Arc::clone(&ended);
            rcu.call(move || ran.send(flag.load(Ordering::Relaxed)).unwrap());
            rcu.force();
            // The section ends with the last guard, inner or outer.
            drop(outer);
            thread::yield_now();
            ended.store(true, Ordering::Relaxed);
            drop(inner);
            assert!(receive(&has_run));
        }
    });
}

#[test]
fn an_endless_chain_of_overlapping_sections_does_not_hold_it_up() {
    within(|| {
        let rcu = domain("call");
        let done = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (rcu, done) = (rcu.clone(), Arc::clone(&done));
                thread::spawn(move || {
                    let mut section = rcu.read_owned();
                    while !done.load(Ordering::Relaxed) {
                        // A section is open at every moment.
                        let next = rcu.read_owned();
                        drop(std::mem::replace(&mut section, next));
                    }
                })
            })
            .collect();
        for _ in 0..100 {
            let (ran, has_run) = mpsc::channel();
            rcu.call(move || ran.send(()).unwrap());
            rcu.force();
            receive(&has_run);
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn many_producers_each_callback_exactly_once() {
    const THREADS: usize = 6;
    const EACH: usize = 5_000;
    within(|| {
        let rcu = domain("call");
        let tally = Tally::new(THREADS * EACH);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (rcu, tally) = (&rcu, &tally);
                scope.spawn(move || {
                    for i in 0..EACH {
                        rcu.call(tally.callback(thread * EACH + i));
                    }
                });
            }
        });
        rcu.blocking_drain();
        tally.assert_each_once();
        let stats = rcu.stats();
        assert_eq!(stats.queued, (THREADS * EACH) as u64);
        assert_eq!(stats.finished, stats.queued);
    });
}

/// A value that counts its drops and checks that its content is unchanged.
struct Carried<const WORDS: usize> {
    words: [usize; WORDS],
    drops: Arc<AtomicUsize>,
}

impl<const WORDS: usize> Carried<WORDS> {
    fn new(drops: &Arc<AtomicUsize>) -> Self {
        Self { words: std::array::from_fn(Self::word), drops: Arc::clone(drops) }
    }

    fn is_intact(&self) -> bool {
        (0..WORDS).all(|i| self.words[i] == Self::word(i))
    }

    fn word(i: usize) -> usize {
        i.wrapping_mul(0x9E37_79B9).wrapping_add(WORDS)
    }
}

impl<const WORDS: usize> Drop for Carried<WORDS> {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

#[repr(align(256))]
struct OverAligned(Carried<3>);

#[test]
fn closures_of_every_size_and_alignment_arrive_intact() {
    static WITHOUT_CAPTURE: AtomicUsize = AtomicUsize::new(0);

    fn send<const WORDS: usize>(rcu: &Rcu, drops: &Arc<AtomicUsize>, intact: &Arc<AtomicUsize>) {
        let (carried, intact) = (Carried::<WORDS>::new(drops), Arc::clone(intact));
        rcu.call(move || {
            intact.fetch_add(usize::from(carried.is_intact()), Ordering::Relaxed);
        });
    }

    within(|| {
        const ROUNDS: usize = 500;
        let rcu = domain("call");
        let drops = Arc::new(AtomicUsize::new(0));
        let intact = Arc::new(AtomicUsize::new(0));
        for round in 0..ROUNDS {
            rcu.call(|| {
                WITHOUT_CAPTURE.fetch_add(1, Ordering::Relaxed);
            });
            // The sizes, with the two counters, are 2, 3, 4, 5 and 102 words.
            send::<0>(&rcu, &drops, &intact);
            send::<1>(&rcu, &drops, &intact);
            send::<2>(&rcu, &drops, &intact);
            send::<3>(&rcu, &drops, &intact);
            send::<100>(&rcu, &drops, &intact);
            let one_word = Arc::clone(&intact);
            rcu.call(move || {
                one_word.fetch_add(1, Ordering::Relaxed);
            });
            let (aligned, ok) = (OverAligned(Carried::new(&drops)), Arc::clone(&intact));
            rcu.call(move || {
                let whole = &aligned;
                let address = std::ptr::from_ref(whole) as usize;
                let fits = address % 256 == 0 && whole.0.is_intact();
                ok.fetch_add(usize::from(fits), Ordering::Relaxed);
            });
            let (bytes, ok) = ([round as u8; 3], Arc::clone(&intact));
            rcu.call(move || {
                let same = bytes.iter().all(|b| *b == round as u8);
                ok.fetch_add(usize::from(same), Ordering::Relaxed);
            });
        }
        rcu.blocking_drain();
        assert_eq!(WITHOUT_CAPTURE.load(Ordering::Relaxed), ROUNDS);
        assert_eq!(drops.load(Ordering::Relaxed), 6 * ROUNDS);
        assert_eq!(intact.load(Ordering::Relaxed), 8 * ROUNDS);
    });
}

#[test]
fn retire_drops_every_kind_of_box_once_and_after_its_sections() {
    trait Shape: Send {
        fn name(&self) -> &'static str;
    }
    impl Shape for Carried<7> {
        fn name(&self) -> &'static str {
            "seven"
        }
    }
    struct Nothing;
    static NOTHINGS: AtomicUsize = AtomicUsize::new(0);
    impl Drop for Nothing {
        fn drop(&mut self) {
            NOTHINGS.fetch_add(1, Ordering::Relaxed);
        }
    }

    within(|| {
        let rcu = domain("call");
        let drops = Arc::new(AtomicUsize::new(0));
        let section = Section::on_a_thread(&rcu);
        rcu.retire(Box::new(Carried::<1>::new(&drops)));
        rcu.retire(Box::new(OverAligned(Carried::new(&drops))));
        let slice: Box<[Carried<2>]> = (0..10).map(|_| Carried::new(&drops)).collect();
        rcu.retire(slice);
        let shape: Box<dyn Shape> = Box::new(Carried::<7>::new(&drops));
        assert_eq!(shape.name(), "seven");
        rcu.retire(shape);
        rcu.retire(Box::new(Nothing));
        rcu.retire(String::from("a str, of two words").into_boxed_str());
        let empty: Box<[u64]> = Box::new([]);
        rcu.retire(empty);
        rcu.force();
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        assert_eq!(NOTHINGS.load(Ordering::Relaxed), 0);
        section.end();
        rcu.blocking_drain();
        assert_eq!(drops.load(Ordering::Relaxed), 13);
        assert_eq!(NOTHINGS.load(Ordering::Relaxed), 1);
        assert_eq!(rcu.stats().finished, 7);
    });
}

#[test]
fn a_callback_may_queue_the_next_one() {
    fn chain(rcu: &Rcu, left: usize, done: mpsc::Sender<usize>, steps: usize) {
        let again = rcu.clone();
        rcu.call(move || match left {
            0 => done.send(steps).unwrap(),
            _ => chain(&again, left - 1, done, steps + 1),
        });
    }

    within(|| {
        let fast = Rcu::builder().name("chain").batch_interval(Duration::ZERO);
        for rcu in [fast.build().unwrap(), domain("chain")] {
            let (done, steps) = mpsc::channel();
            chain(&rcu, 200, done, 0);
            assert_eq!(receive(&steps), 200);
            rcu.blocking_drain();
            assert_eq!(rcu.stats().finished, 201);
        }
    });
}

#[test]
fn what_ended_threads_queued_runs() {
    within(|| {
        let rcu = domain("call");
        let tally = Tally::new(100 * 70);
        let section = Section::owned(&rcu);
        for thread in 0..100 {
            let (rcu, tally) = (rcu.clone(), tally.clone());
            let producer = thread::spawn(move || {
                for i in 0..70 {
                    rcu.call(tally.callback(thread * 70 + i));
                }
            });
            producer.join().unwrap();
        }
        tally.assert_none();
        section.end();
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn in_order_of_each_thread_on_worker_inline_and_under_a_global_lock() {
    const THREADS: usize = 3;
    const EACH: usize = 3_000;
    within(|| {
        let lock = GlobalLock::new(());
        let builder = || Rcu::builder().name("fifo");
        for rcu in [
            builder().executor(worker()),
            builder().executor(inline()),
            builder().global_lock(&lock),
            builder().executor(inline()).global_lock(&lock),
        ] {
            let rcu = rcu.build().unwrap();
            let log = Arc::new(Mutex::new(vec![Vec::new(); THREADS]));
            thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (rcu, log) = (&rcu, &log);
                    scope.spawn(move || {
                        for i in 0..EACH {
                            let log = Arc::clone(log);
                            rcu.call(move || log.lock().unwrap()[thread].push(i));
                            if i % 100 == 0 {
                                rcu.force();
                            }
                        }
                    });
                }
            });
            rcu.blocking_drain();
            for of_one_thread in log.lock().unwrap().iter() {
                assert!(of_one_thread.iter().copied().eq(0..EACH));
            }
        }
    });
}

#[test]
fn the_last_handle_may_be_dropped_with_work_pending() {
    within(|| {
        let builder = || Rcu::builder().name("last");
        for builder in [builder(), builder().executor(inline())] {
            let rcu = builder.build().unwrap();
            let tally = Tally::new(1_000);
            let section = rcu.read_owned();
            for i in 0..1_000 {
                rcu.call(tally.callback(i));
            }
            let (ran, has_run) = mpsc::channel();
            rcu.call(move || ran.send(()).unwrap());
            drop(rcu);
            tally.assert_none();
            drop(section);
            receive(&has_run);
            until("the other callbacks", || tally.ran() == 1_000);
            tally.assert_each_once();
        }
    });
}

#[test]
fn the_last_handle_may_be_dropped_inside_a_callback() {
    within(|| {
        let builder = || Rcu::builder().name("last");
        for builder in [builder(), builder().executor(inline())] {
            let rcu = builder.build().unwrap();
            let section = rcu.read_owned();
            let last = rcu.clone();
            let (ran, has_run) = mpsc::channel();
            rcu.call(move || {
                let from_inside = ran.clone();
                last.call(move || from_inside.send("queued inside").unwrap());
                drop(last);
                ran.send("the last handle is gone").unwrap();
            });
            drop(rcu);
            drop(section);
            let mut both = [receive(&has_run), receive(&has_run)];
            both.sort_unstable();
            assert_eq!(both, ["queued inside", "the last handle is gone"]);
        }
    });
}

#[test]
fn a_callback_dropped_with_its_domain_gone_is_dropped_by_running_it() {
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (ran, has_run) = mpsc::channel();
        for _ in 0..50 {
            let rcu = domain("last");
            let (carried, ran) = (Carried::<10>::new(&drops), ran.clone());
            rcu.call(move || {
                let intact = carried.is_intact();
                drop(carried);
                ran.send(intact).unwrap();
            });
        }
        for _ in 0..50 {
            assert!(receive(&has_run));
        }
        assert_eq!(drops.load(Ordering::Relaxed), 50);
    });
}

#[test]
fn force_on_an_idle_domain_loses_nothing() {
    within(|| {
        let rcu = domain("force");
        let tally = Tally::new(200);
        for i in 0..200 {
            rcu.force();
            rcu.force();
            rcu.call(tally.callback(i));
            if i % 3 == 0 {
                rcu.force();
            }
            if i % 2 == 0 {
                until("the callback", || tally.ran() == i + 1);
            }
        }
        rcu.blocking_drain();
        rcu.force();
        tally.assert_each_once();
        assert_eq!(rcu.stats().queued, 200);
    });
}

#[test]
fn unforced_callbacks_share_grace_periods_within_the_batch_interval() {
    within(|| {
        const CALLS: usize = 2_000;
        let long = Duration::from_secs(3_600);
        let rcu = Rcu::builder().name("batch").batch_interval(long);
        let rcu = rcu.build().unwrap();
        let tally = Tally::new(CALLS);
        // As long as the section is open the domain is not idle, and new callbacks wait for the
        // interval.
        let section = rcu.read_owned();
        rcu.call(tally.callback(0));
        first_grace_period_has_started(&rcu);
        for i in 1..CALLS {
            rcu.call(tally.callback(i));
            thread::yield_now();
        }
        let unforced = rcu.stats().grace_periods;
        assert!(unforced <= 2, "{unforced} grace periods within one interval");
        drop(section);
        // A drain does not wait for the interval.
        rcu.blocking_drain();
        tally.assert_each_once();
    });
}

#[test]
fn callbacks_that_trickle_in_behind_a_stalled_section_start_no_grace_period_each() {
    let rcu = Rcu::builder().batch_interval(Duration::ZERO).build().unwrap();
    let held = rcu.read_owned();
    for _ in 0..300 {
        rcu.call(|| ());
        // This gives the thread time for a turn.
        thread::sleep(Duration::from_micros(200));
    }
    assert!(rcu.stats().grace_periods <= 3, "{:?}", rcu.stats());
    drop(held);
    // The callbacks run without a force.
    until("all callbacks", || rcu.stats().finished == 300);
}

#[test]
fn force_drain_and_synchronize_do_not_wait_for_the_batch_interval() {
    within(|| {
        let long = Duration::from_secs(3_600);
        let rcu = Rcu::builder().name("batch").batch_interval(long);
        let rcu = rcu.build().unwrap();
        let tally = Tally::new(300);
        for i in 0..100 {
            rcu.call(tally.callback(3 * i));
            rcu.force();
            until("a forced callback", || tally.ran() == 3 * i + 1);
            rcu.call(tally.callback(3 * i + 1));
            rcu.blocking_synchronize();
            rcu.call(tally.callback(3 * i + 2));
            rcu.blocking_drain();
            assert_eq!(tally.ran(), 3 * i + 3);
        }
        tally.assert_each_once();
    });
}
