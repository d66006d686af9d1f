//! What each operation costs: `cargo bench --bench all`, some three minutes; `cargo bench --bench all -- read/` for those
//! whose name begins so. A theme is a module here and the first part of a name.
//!
//! Only what the name says is timed: threads, guards and runtimes are made before, callbacks that are not the matter are
//! drained outside. Compare within one run: the machine has moods. The same beside other libraries: `benches/peers`.

mod call;
mod callbacks;
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
    // Short, so that the whole set is worth running; `--measurement-time` and `--sample-size` ask for more.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        // Drawing and resampling take longer than measuring.
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
