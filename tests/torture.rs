//! The torture run, for two seconds; for as many as `ASYNC_RCU_TORTURE_SECONDS` says. `examples/torture.rs` is the same as
//! a program.

#[path = "../examples/torture/mod.rs"]
mod torture;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn no_reader_sees_a_freed_value_and_every_value_is_freed_once() {
    let seconds = std::env::var("ASYNC_RCU_TORTURE_SECONDS");
    let seconds = seconds.map_or(2, |text| text.parse().expect("a number of seconds"));
    let config = torture::Config {
        time: Duration::from_secs(seconds),
        threads: 3,
        tasks: 32,
        workers: 2,
        seed: 1,
    };
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(torture::run(config)));
    let report = is_done
        .recv_timeout(config.time + Duration::from_secs(60))
        .expect("it hangs");
    // Shown where it fails.
    println!("after {:?}: {report:#?}", report.time);
    assert!(report.violations.is_empty());
}
