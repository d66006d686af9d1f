//! With the feature `metrics`, the published figures are those of `Rcu::stats`.
#![cfg(feature = "metrics")]

mod common;

use async_rcu::Rcu;
use common::until;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use std::cell::RefCell;
use std::collections::HashMap;

/// The newest published value of each figure. A snapshot resets the counters. A figure that the
/// snapshot does not name has not changed.
#[derive(Default)]
struct Published(HashMap<String, f64>);

impl Published {
    fn look(&mut self, snapshotter: &Snapshotter) {
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let key = key.key();
            assert!(key.labels().any(|l| (l.key(), l.value()) == ("domain", "measured")));
            let value = match value {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                DebugValue::Counter(n) => n as f64,
                DebugValue::Gauge(n) => n.into_inner(),
                DebugValue::Histogram(_) => f64::NAN,
            };
            let newest = self.0.entry(key.name().to_owned()).or_default();
            if value != 0.0 || key.name() == "async_rcu_owned_guards" {
                *newest = value;
            }
        }
    }
}

#[test]
fn what_is_published_is_what_stats_says() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().expect("the only recorder");
    let rcu = Rcu::builder().name("measured").build().unwrap();
    let held = rcu.read_owned();
    for _ in 0..100 {
        rcu.call(|| ());
    }
    rcu.force();
    // The domain publishes by itself within about a second, and a last time at its end.
    let published = RefCell::new(Published::default());
    let is = |name: &str, wanted: f64| {
        until(name, || {
            let mut published = published.borrow_mut();
            published.look(&snapshotter);
            published.0.get(name) == Some(&wanted)
        });
    };
    is("async_rcu_owned_guards", 1.0);
    is("async_rcu_queued_total", 100.0);
    drop(held);
    rcu.call(|| panic!("counted"));
    rcu.blocking_drain();
    let stats = rcu.stats();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let started = stats.grace_periods as f64;
    is("async_rcu_grace_periods_total", started);
    assert_eq!(stats.finished, 101);
    // The thread that publishes every second ends now.
    rcu.call(|| ());
    rcu.blocking_shutdown();
    published.borrow_mut().look(&snapshotter);
    let finished = published.borrow().0.get("async_rcu_finished_total").copied();
    assert_eq!(finished, Some(102.0));
}
