//! A panic of foreign code is caught, counted and reported, and other callbacks run.
#![cfg(feature = "rt")]

mod common;

use async_rcu::{Batch, Builder, Rcu, report::PanicReport};
use common::{Bomb, Tally, inline, receive, runtime, until, within, worker};
use std::panic::panic_any;
use std::sync::{Arc, Mutex, mpsc};

/// The texts of a domain's panic reports.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl Reports {
    fn of(&self, builder: Builder) -> Rcu {
        let log = Arc::clone(&self.0);
        let builder = builder.on_panic(move |report: &PanicReport| {
            assert!(!format!("{report:?}").is_empty());
            log.lock().unwrap().push(report.to_string());
        });
        builder.build().unwrap()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn count(&self, text: &str) -> usize {
        let log = self.0.lock().unwrap();
        log.iter().filter(|report| report.contains(text)).count()
    }
}

#[test]
fn a_callback_that_panics_is_counted_and_reported_and_the_next_ones_run() {
    within(|| {
        let runtime = runtime(1);
        let builder = || Rcu::builder().name("panics");
        for builder in [
            builder(),
            builder().executor(worker()),
            builder().executor(inline()),
            builder().executor(runtime.handle().clone()),
            builder().executor(|batch: Batch| batch.run()),
        ] {
            let reports = Reports::default();
            let rcu = reports.of(builder);
            let tally = Tally::new(100);
            let section = rcu.read_owned();
            for i in 0..100 {
                let callback = tally.callback(i);
                rcu.call(move || {
                    callback();
                    match i % 10 {
                        3 => panic!("a literal"),
                        6 => panic!("number {i}, formatted"),
                        _ => {}
                    }
                });
            }
            drop(section);
            rcu.blocking_drain();
            tally.assert_each_once();
            let stats = rcu.stats();
            assert_eq!((stats.panicked, stats.finished), (20, 100));
            // The drain returns after the reports.
            assert_eq!(reports.len(), 20);
            assert_eq!(reports.count("a literal"), 10);
            assert_eq!(reports.count("number 56, formatted"), 1);
            assert_eq!(reports.count("panics"), 20, "the domain's name");
        }
    });
}

#[test]
fn a_retired_value_whose_drop_panics_is_counted_and_reported() {
    within(|| {
        let reports = Reports::default();
        let rcu = reports.of(Rcu::builder());
        let tally = Tally::new(20);
        for i in 0..20 {
            rcu.retire(Box::new(Bomb("a drop that panics")));
            rcu.call(tally.callback(i));
        }
        rcu.blocking_drain();
        tally.assert_each_once();
        let stats = rcu.stats();
        assert_eq!((stats.panicked, stats.finished), (20, 40));
        assert_eq!(reports.count("a drop that panics"), 20);
    });
}

#[test]
fn captured_values_whose_drop_panics_are_counted_too() {
    within(|| {
        let reports = Reports::default();
        let rcu = reports.of(Rcu::builder());
        let bomb = Bomb("a captured bomb");
        let tally = Tally::new(1);
        rcu.call(move || drop(bomb));
        rcu.call(tally.callback(0));
        rcu.blocking_drain();
        tally.assert_each_once();
        assert_eq!(rcu.stats().panicked, 1);
        assert_eq!(reports.count("a captured bomb"), 1);
    });
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_hurts_nothing() {
    within(|| {
        let builder = || Rcu::builder().name("payload");
        for builder in [builder(), builder().executor(inline())] {
            let reports = Reports::default();
            let rcu = reports.of(builder);
            let tally = Tally::new(20);
            for i in 0..20 {
                let callback = tally.callback(i);
                rcu.call(move || {
                    callback();
                    panic_any(Bomb("dropped as a payload"));
                });
                rcu.call_async(async { panic_any(Bomb("dropped as a payload")) });
            }
            rcu.blocking_drain();
            tally.assert_each_once();
            let stats = rcu.stats();
            assert_eq!((stats.panicked, stats.finished), (40, 40));
            assert_eq!(reports.len(), 40);
        }
    });
}

#[test]
fn a_payload_that_is_no_text_is_reported_all_the_same() {
    within(|| {
        let reports = Reports::default();
        let rcu = reports.of(Rcu::builder());
        rcu.call(|| panic_any(7_u32));
        rcu.call(|| panic_any(Arc::new(Mutex::new(()))));
        rcu.blocking_drain();
        assert_eq!(reports.len(), 2);
        assert_eq!(reports.count(""), 2);
        assert!(reports.0.lock().unwrap().iter().all(|report| !report.is_empty()));
    });
}

#[test]
fn hooks_that_panic_hurt_nothing_and_are_not_counted() {
    within(|| {
        let builder = || {
            Rcu::builder()
                .name("hooks")
                .on_panic(|_| panic!("on_panic panics"))
                .on_idle(|| panic!("on_idle panics"))
        };
        for builder in [builder(), builder().executor(inline())] {
            let rcu = builder.build().unwrap();
            for _ in 0..20 {
                let tally = Tally::new(2);
                let callback = tally.callback(0);
                rcu.call(move || {
                    callback();
                    panic!("a callback");
                });
                rcu.call(tally.callback(1));
                rcu.blocking_drain();
                tally.assert_each_once();
                rcu.blocking_synchronize();
            }
            let stats = rcu.stats();
            assert_eq!((stats.panicked, stats.finished), (20, 40));
            // The domain works as before.
            rcu.blocking_shutdown();
            rcu.call(|| {});
            rcu.blocking_drain();
        }
    });
}

#[test]
fn an_executor_that_panics_is_reported_and_not_counted() {
    within(|| {
        let reports = Reports::default();
        let builder = Rcu::builder().name("throws");
        let rcu = reports.of(builder.executor(|batch: Batch| {
            assert_eq!(batch.len(), 0, "an executor that panics");
        }));
        let tally = Tally::new(10);
        for i in 0..10 {
            rcu.call(tally.callback(i));
            rcu.blocking_drain();
        }
        tally.assert_each_once();
        assert_eq!(rcu.stats().panicked, 0);
        until("its reports", || reports.count("an executor that panics") == 10);
    });
}

#[test]
fn a_waker_that_panics_hurts_nothing() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    within(|| {
        let rcu = Rcu::builder().name("wakers").build().unwrap();
        let waker = std::task::Waker::from(Arc::new(Panics));
        let mut context = std::task::Context::from_waker(&waker);
        let section = rcu.read_owned();
        let tally = Tally::new(1);
        rcu.call(tally.callback(0));
        let (mut wait, mut drain) = (rcu.synchronize(), rcu.drain());
        assert!(poll(&mut wait, &mut context).is_pending());
        assert!(poll(&mut drain, &mut context).is_pending());
        drop(section);
        rcu.blocking_synchronize();
        rcu.blocking_drain();
        tally.assert_each_once();
        futures::executor::block_on(wait);
        futures::executor::block_on(drain);
        assert_eq!(rcu.stats().panicked, 0);
    });
}

fn poll<F: Future + Unpin>(
    future: &mut F,
    context: &mut std::task::Context<'_>,
) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(context)
}

#[test]
fn a_callback_that_panics_on_the_way_out_of_its_domain_is_caught_too() {
    within(|| {
        let tally = Tally::new(20);
        for i in 0..20 {
            let rcu = Rcu::builder().name("last").build().unwrap();
            let callback = tally.callback(i);
            rcu.call(|| panic!("no handle is left"));
            rcu.call(callback);
        }
        until("the callbacks", || tally.ran() == 20);
        tally.assert_each_once();
    });
}

/// The drop of an async callback's future may panic.
#[test]
fn a_future_that_panics_in_its_drop_is_counted_and_reported() {
    within(|| {
        let (send, reports) = mpsc::channel();
        let rcu = Rcu::builder()
            .on_panic(move |report| drop(send.send(report.to_string())))
            .build()
            .unwrap();
        let bomb = Bomb("in the drop of a future");
        rcu.call_async(std::future::poll_fn(move |_| {
            let _is_dropped_with_the_future = &bomb;
            std::task::Poll::Ready(())
        }));
        rcu.blocking_drain();
        let report = receive(&reports);
        assert!(report.contains("in the drop of a future"), "{report}");
        assert_eq!(rcu.stats().panicked, 1);
    });
}
