//! The cost of each operation. `cargo bench --bench all` takes two to three minutes. `cargo bench
//! --bench all -- read/` runs the benchmarks whose names contain `read/`. Each theme has a module
//! here, whose name is the first part of the names of its benchmarks.
//!
//! Only the named operation is timed. Threads, guards and runtimes are made before the measurement,
//! and callbacks that are not measured are drained outside of it. Compare figures of one run only:
//! the speed of a machine changes. `benches/peers` compares the crate with other libraries.

mod call;
mod callbacks;
mod common;
mod dispatch;
mod drain;
mod global_lock;
mod read;
mod scan;
mod support;
mod synchronize;
mod waiters;

use criterion::Criterion;
use std::time::Duration;

const THEMES: [fn(&mut Criterion); 9] = [
    read::benches,
    call::benches,
    callbacks::benches,
    synchronize::benches,
    drain::benches,
    waiters::benches,
    scan::benches,
    dispatch::benches,
    global_lock::benches,
];

fn main() {
    // The times are short, so that the whole set ends soon. `--measurement-time` and
    // `--sample-size` set other values.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        // Plots and resampling would take longer than the measurement.
        .nresamples(5_000)
        .without_plots()
        .configure_from_args();
    if support::wanted(dispatch::FAIRNESS) {
        dispatch::fairness();
    }
    for theme in THEMES {
        theme(&mut criterion);
    }
    criterion.final_summary();
}
