//! Figures that need a process of their own: this program again, with the hidden subcommand `probe NAME`, which prints
//! numbers separated by spaces.

use crate::memory;
use crate::urcu::{self, Flavour};
use async_rcu::Rcu;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Asks a new process. `None` where that fails: the reason is on stderr.
pub(crate) fn probe(what: &str) -> Option<Vec<f64>> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program)
        .args(["probe", what])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    if !output.status.success() {
        eprintln!("probe {what}: {}", output.status);
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace()
        .map(|number| number.parse().ok())
        .collect()
}

/// The other side.
pub(crate) fn answer(what: &str) -> Result<Vec<f64>, String> {
    let memb = || {
        urcu::flavours()
            .into_iter()
            .find(|flavour| flavour.name == "liburcu memb")
            .ok_or_else(|| "liburcu was left out".to_owned())
    };
    match what {
        "idle-ours" => {
            let rcu = Rcu::new();
            rcu.call(|| {});
            rcu.blocking_drain();
            switches_while_idle()
        }
        "idle-memb" => {
            call_and_wait(memb()?);
            switches_while_idle()
        }
        "idle-memb-rt" => {
            let flavour = memb()?;
            let _worker = flavour.rt_worker();
            switches_while_idle()
        }
        _ => memory::answer(what).ok_or_else(|| format!("no probe is called {what}"))?,
    }
}

fn call_and_wait(flavour: Flavour) {
    flavour.on_thread(|thread| thread.call(Box::new(|| {})));
    flavour.barrier();
}

fn switches_while_idle() -> Result<Vec<f64>, String> {
    // What was begun is over by then.
    thread::sleep(Duration::from_millis(500));
    let before = switches().map_err(|error| error.to_string())?;
    thread::sleep(Duration::from_secs(10));
    let after = switches().map_err(|error| error.to_string())?;
    Ok(vec![(after - before) as f64])
}

/// Context switches of every thread but the main one, so far.
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
