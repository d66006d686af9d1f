//! The cost of `call` for its caller. After every 100,000 callbacks a drain runs outside the
//! measurement.

use crate::common::{at_once, inline, timed};
use async_rcu::{Rcu, RcuCell};
use criterion::Criterion;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUND: u64 = 100_000;

/// Measures `work` in rounds. `prepare` and the drain of each round are not timed.
fn in_rounds<P>(
    rcu: &Rcu,
    n: u64,
    prepare: impl Fn(u64) -> P,
    work: impl Fn(P, u64) -> Duration,
) -> Duration {
    let (mut left, mut spent) = (n, Duration::ZERO);
    while left > 0 {
        let round = left.min(ROUND);
        let prepared = prepare(round);
        spent += work(prepared, round);
        rcu.blocking_drain();
        left -= round;
    }
    spent
}

fn one(c: &mut Criterion, name: &str, call: impl Fn(&Rcu)) {
    let rcu = inline();
    c.bench_function(&format!("call/{name}"), |b| {
        b.iter_custom(|n| in_rounds(&rcu, n, |_| (), |(), n| timed(n, || call(&rcu))));
    });
}

pub(crate) fn benches(c: &mut Criterion) {
    let (one_word, two, three) = (1_u64, 2_u64, 3_u64);
    one(c, "1 word", move |rcu| {
        rcu.call(move || {
            black_box(one_word);
        });
    });
    one(c, "3 words", move |rcu| {
        rcu.call(move || {
            black_box((one_word, two, three));
        });
    });
    one(c, "8 words, boxed", move |rcu| {
        let words = [one_word; 8];
        rcu.call(move || {
            black_box(words);
        });
    });
    one(c, "call_async", move |rcu| {
        rcu.call_async(async move {
            black_box(one_word);
        });
    });
    one(c, "allocate and retire a box", move |rcu| {
        rcu.retire(Box::new(one_word));
    });

    let rcu = inline();
    c.bench_function("call/retire an existing box", |b| {
        b.iter_custom(|n| {
            let boxes = |n| (0..n).map(Box::new).collect::<Vec<_>>();
            in_rounds(&rcu, n, boxes, |boxes, _| {
                let start = Instant::now();
                for value in boxes {
                    rcu.retire(value);
                }
                start.elapsed()
            })
        });
    });

    let cell = RcuCell::new_in(&rcu, one_word);
    c.bench_function("call/RcuCell::store", |b| {
        b.iter_custom(|n| {
            in_rounds(&rcu, n, |_| (), |(), n| timed(n, || cell.store(black_box(two))))
        });
    });

    for producers in [1, 2] {
        c.bench_function(&format!("call/1 word, {producers} producers at once"), |b| {
            b.iter_custom(|n| {
                at_once(producers, n, |n| {
                    in_rounds(
                        &rcu,
                        n,
                        |_| (),
                        |(), n| {
                            timed(n, || {
                                rcu.call(move || {
                                    black_box(one_word);
                                });
                            })
                        },
                    )
                })
            });
        });
    }
}
