//! The program whose instructions `ci/instructions.sh` counts under callgrind. `instructions
//! OPERATION N` does one operation `N` times, inside a function whose name begins with `counted_`.
//! Only that function on its thread is counted. The registration, the first chunk and the boxes
//! come before the function and are not counted. Other threads are not counted either.
//!
//! `instructions barrier` prints the barrier that was chosen: the cost of a section depends on the
//! barrier.

use async_rcu::{Rcu, RcuCell};
use std::hint::black_box;
use std::time::Duration;

#[inline(never)]
fn counted_nothing(n: u64) {
    for i in 0..n {
        black_box(i);
    }
}

#[inline(never)]
fn counted_read_leave(rcu: &Rcu, n: u64) {
    for _ in 0..n {
        drop(black_box(rcu.read()));
    }
}

#[inline(never)]
fn counted_with(cell: &RcuCell<u64>, n: u64) {
    for _ in 0..n {
        black_box(cell.with(|value| *value));
    }
}

#[inline(never)]
fn counted_read_owned_drop(rcu: &Rcu, n: u64) {
    for _ in 0..n {
        drop(black_box(rcu.read_owned()));
    }
}

#[inline(never)]
fn counted_call(rcu: &Rcu, n: u64) {
    for i in 0..n {
        rcu.call(move || {
            black_box(i);
        });
    }
}

#[expect(clippy::vec_box, reason = "the boxes are what is retired")]
#[inline(never)]
fn counted_retire(rcu: &Rcu, boxes: Vec<Box<u64>>) {
    for value in boxes {
        rcu.retire(value);
    }
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    // There is one grace period only: after the first callback the grace-period thread sleeps for
    // an hour, and callers do not wake it.
    let rcu = Rcu::builder().batch_interval(Duration::from_secs(3600)).build().expect("a domain");
    let n = args.get(1).and_then(|n| n.parse().ok());
    let (operation, n) = match (args.first().map(String::as_str), n) {
        (Some("barrier"), None) => return println!("{:?}", rcu.stats().barrier),
        (Some(operation), Some(n)) => (operation, n),
        // `cargo bench` runs this program too, with arguments of its own.
        _ => return println!("instructions: run ci/instructions.sh to count"),
    };
    let cell = RcuCell::new_in(&rcu, 1_u64);
    drop((rcu.read(), rcu.read_owned()));
    // This guard holds the callbacks up, so that no memory is given back meanwhile.
    let _section = rcu.read_owned();
    rcu.call(|| {});
    std::thread::sleep(Duration::from_millis(200));
    match operation {
        "nothing" => counted_nothing(n),
        "read_leave" => counted_read_leave(&rcu, n),
        "with" => counted_with(&cell, n),
        "read_owned_drop" => counted_read_owned_drop(&rcu, n),
        "call" => counted_call(&rcu, n),
        "retire" => counted_retire(&rcu, (0..n).map(Box::new).collect()),
        other => panic!("there is no operation {other}"),
    }
    // A drain would only wait for the batch interval.
    std::process::exit(0);
}
