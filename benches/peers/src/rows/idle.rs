//! The row of an idle process.

use super::OURS;
use crate::bench::{Candidate, Entry, Goal, Unit};
use crate::probe::probe;
use crate::urcu::{Flavour, flavours, memb};
use async_rcu::Rcu;
use std::thread;
use std::time::Duration;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "idle",
    about: "Context switches of all threads but the main one, in 10 idle s after some work; in a \
            process of its own.",
    unit: Unit::Count,
    goals: &[Goal::Below(0.0)],
    most_rounds: 1,
    set_up: idle,
}];

fn idle() -> Vec<Candidate> {
    let of = |name: &str, what: &'static str| {
        Candidate::new(name, move || probe(what).map_or(f64::NAN, |figures| figures[0]))
    };
    let mut all = vec![of(OURS, "idle-ours")];
    if !flavours().is_empty() {
        all.push(of("liburcu memb", "idle-memb"));
        all.push(of("liburcu memb, real-time worker", "idle-memb-rt"));
    }
    all
}

/// Answers a probe of this row. Returns `None` if `what` is no probe of this row.
pub(crate) fn answer(what: &str) -> Option<Result<Vec<f64>, String>> {
    Some(match what {
        "idle-ours" => {
            let rcu = Rcu::new();
            rcu.call(|| {});
            rcu.blocking_drain();
            switches_while_idle()
        }
        "idle-memb" => memb().and_then(|memb| {
            call_and_wait(memb);
            switches_while_idle()
        }),
        "idle-memb-rt" => memb().and_then(|memb| {
            let _worker = memb.rt_worker();
            switches_while_idle()
        }),
        _ => return None,
    })
}

fn call_and_wait(flavour: Flavour) {
    flavour.on_thread(|thread| thread.call(Box::new(|| {})));
    flavour.barrier();
}

fn switches_while_idle() -> Result<Vec<f64>, String> {
    // The work before the measurement ends in this time.
    thread::sleep(Duration::from_millis(500));
    let before = switches().map_err(|error| error.to_string())?;
    thread::sleep(Duration::from_secs(10));
    let after = switches().map_err(|error| error.to_string())?;
    Ok(vec![(after - before) as f64])
}

/// Counts the context switches so far of every thread but the main one.
fn switches() -> std::io::Result<u64> {
    let main = std::process::id().to_string();
    let mut total = 0;
    for entry in std::fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|id| *id == *main) {
            continue;
        }
        let status = std::fs::read_to_string(path.join("status"))?;
        total += status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(total)
}
