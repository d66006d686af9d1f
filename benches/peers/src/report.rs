//! The results as Markdown tables and as JSON.

use crate::bench::{Entry, Figures, Goal, Measured};
use crate::rows::OURS;
use crate::urcu;
use async_rcu::Rcu;
use serde_json::{Value, json};
use std::path::Path;

const LOCK: &str = include_str!("../Cargo.lock");
const PEERS: [&str; 9] = [
    "async-rcu",
    "arc-swap",
    "crossbeam-epoch",
    "haphazard",
    "parking_lot",
    "sdd",
    "seize",
    "tokio",
    "tokio_rcu",
];

/// Prints the machine and the versions of the libraries, and returns them as JSON.
pub(crate) fn header(rounds: usize) -> Value {
    let cpu = first_line("/proc/cpuinfo", |line| line.strip_prefix("model name")?.split_once(": "))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let barrier = format!("{:?}", Rcu::new().stats().barrier);
    let mut versions: Vec<_> =
        PEERS.iter().filter_map(|name| Some((*name, version(name)?))).collect();
    if !cfg!(tokio_unstable) {
        versions.retain(|(name, _)| *name != "tokio_rcu");
        eprintln!(
            "tokio_rcu is left out: it needs `--cfg tokio_unstable`; run cargo in benches/peers, \
             which sets it"
        );
    }
    match urcu::flavours().first() {
        Some(_) => versions.push(("liburcu", env!("PEERS_URCU").to_owned())),
        None => eprintln!(
            "liburcu is left out: the build did not find it; install liburcu-dev and build again"
        ),
    }
    let membarrier: Vec<_> =
        urcu::flavours().iter().map(|f| format!("{} {}", f.name, f.has_membarrier())).collect();

    println!("{cores} processors, {cpu}; {}, {}", env!("PEERS_TARGET"), kernel.trim());
    println!("load average at the start: {load}; rounds: {rounds}");
    println!("barrier of async-rcu: {barrier}; membarrier: {}", membarrier.join(", "));
    let list: Vec<_> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    println!("{}", list.join(", "));
    println!();
    json!({
        "processors": cores, "processor": cpu,
        "target": env!("PEERS_TARGET"), "kernel": kernel.trim(),
        "load_average": load, "rounds": rounds, "barrier": barrier,
        "versions": versions.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn first_line(path: &str, pick: impl Fn(&str) -> Option<(&str, &str)>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| pick(line).map(|(_, value)| value.to_owned()))
}

/// Returns the version in the lock file. If there are several, returns the newest, which is the one
/// in use.
fn version(package: &str) -> Option<String> {
    let (_, rest) = LOCK.rsplit_once(&format!("\nname = \"{package}\"\nversion = \""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Formats a figure with three or so significant digits.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if !v.is_finite() => "-".to_owned(),
        0.0 => "0".to_owned(),
        v if v < 1.0 => format!("{v:.3}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => {
            let digits = format!("{v:.0}");
            let mut out = String::new();
            for (i, digit) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i) % 3 == 0 {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
    }
}

pub(crate) fn print(row: &Measured) {
    let unit = row.entry.unit.name();
    println!("### {}", row.entry.name);
    println!();
    println!("{}", row.entry.about);
    println!();
    println!("| | median {unit} | min | max | x ours |");
    println!("|---|---|---|---|---|");
    for f in &row.figures {
        println!(
            "| {} | {} | {} | {} | {} |",
            f.name,
            figure(f.median()),
            figure(f.least()),
            figure(f.most()),
            figure(f.ratio())
        );
    }
    println!();
    for line in goals(row) {
        println!("- {line}");
    }
    if !row.entry.goals.is_empty() {
        println!();
    }
}

/// Returns a line for each goal.
fn goals(row: &Measured) -> Vec<String> {
    row.entry.goals.iter().flat_map(|goal| judge(*goal, row)).collect()
}

fn judge(goal: Goal, row: &Measured) -> Vec<String> {
    let verdict = |reached| if reached { "reached" } else { "MISSED" };
    // `got` is this crate's figure as a multiple of the other's figure.
    let to = |name| row.figures.iter().find(|f| f.name == name).map(|f| 1.0 / f.ratio());
    let (wanted, name, reached): (_, _, fn(f64, f64) -> bool) = match goal {
        Goal::AtMost(factor, name) => (("at most", factor), name, |got, factor| got <= factor),
        Goal::AtLeast(factor, name) => (("at least", factor), name, |got, factor| got >= factor),
        Goal::Below(most) => {
            let line = |f: &Figures| {
                let got = f.median();
                let (unit, got) = (row.entry.unit.name(), (figure(got), got <= most));
                let line = format!("goal {}, {}: at most {most} {unit}", verdict(got.1), f.name);
                format!("{}; it is {}", line.trim_end(), got.0)
            };
            return row.figures.iter().filter(|f| f.name.starts_with(OURS)).map(line).collect();
        }
    };
    let (how, factor) = wanted;
    vec![match to(name) {
        Some(got) => {
            let word = verdict(reached(got, factor));
            format!("goal {word}: {how} {factor} x {name}; it is {}", figure(got))
        }
        None => format!("goal not checked, since {name} was left out: {how} {factor} x"),
    }]
}

pub(crate) fn json(rows: &[Measured]) -> Value {
    let row = |row: &Measured| {
        let candidates: Vec<_> = row
            .figures
            .iter()
            .map(|f| {
                json!({
                    "name": f.name, "ours": f.name.starts_with(OURS),
                    "median": f.median(), "min": f.least(), "max": f.most(), "ratio": f.ratio(),
                    "samples": f.samples,
                })
            })
            .collect();
        json!({
            "name": row.entry.name, "about": row.entry.about, "unit": row.entry.unit.name(),
            "candidates": candidates, "goals": goals(row),
        })
    };
    rows.iter().map(row).collect()
}

/// Reads the rows of a file that [`json`] wrote, as far as there are entries for them.
pub(crate) fn read(path: &Path, entries: Vec<Entry>) -> Result<Vec<Measured>, String> {
    let broken = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| broken(&error))?;
    let all: Value = serde_json::from_str(&text).map_err(|error| broken(&error))?;
    let rows = all["rows"]
        .as_array()
        .ok_or_else(|| broken(&"the file has no rows; write it with --json"))?;
    let mut measured = Vec::new();
    for entry in entries {
        let Some(row) = rows.iter().find(|row| row["name"] == entry.name) else {
            continue;
        };
        let candidates = row["candidates"].as_array().into_iter().flatten();
        let figures = candidates.map(|candidate| {
            let samples = candidate["samples"].as_array().into_iter().flatten();
            Figures {
                name: candidate["name"].as_str().unwrap_or_default().to_owned(),
                samples: samples.filter_map(Value::as_f64).collect(),
                ratios: candidate["ratio"].as_f64().into_iter().collect(),
            }
        });
        measured.push(Measured { figures: figures.collect(), entry });
    }
    Ok(measured)
}
