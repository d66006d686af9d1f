//! `examples/rcutorture.rs` finds no error in each mode that looks for errors, and reports its
//! figures. A run takes two seconds, or as many as `ASYNC_RCU_TORTURE_SECONDS` says. The example's
//! own watchdog ends a run that hangs.

#[path = "../examples/rcutorture/mod.rs"]
mod rcutorture;

use clap::Parser;
use rcutorture::args::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Makes the runs go one at a time, since a machine has few processors.
static ALONE: Mutex<()> = Mutex::new(());

fn args(line: &str) -> Args {
    let line = format!("rcutorture {line} --every 0 --hang 60");
    Args::try_parse_from(line.split_whitespace()).expect("arguments")
}

fn no_errors(line: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(rcutorture::run(args(line)).expect("a run"), 0);
}

fn seconds() -> u64 {
    let seconds = std::env::var("ASYNC_RCU_TORTURE_SECONDS");
    seconds.map_or(2, |text| text.parse().expect("a number of seconds"))
}

#[test]
fn threads_and_tasks_find_no_error() {
    no_errors(&format!("3 stress {} --hogs 0", seconds()));
}

#[test]
fn tasks_find_no_error() {
    no_errors(&format!("2 async {} --hogs 0", seconds()));
}

/// A temporary folder of this process, removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rcutorture-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_measured_is_told_as_json_and_drawn() {
    let folder = Folder::new();
    let (json, svg) = (folder.0.join("figures.json"), folder.0.join("figures.svg"));
    let mut args = args("1 perf 2");
    args.json = Some(json.clone());
    args.svg = Some(svg.clone());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(rcutorture::run(args).expect("a run"), 0);
    drop(alone);

    let text = std::fs::read_to_string(json).expect("the JSON file");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let number = |at: &str| told.pointer(at).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!((&told["success"], number("/errors")), (&Value::Bool(true), 0));
    assert_eq!((&told["mode"], number("/seconds")), (&"perf".into(), 2));
    let ages = told["reader_ages"].as_array().expect("ages");
    let seen: u64 = ages.iter().filter_map(Value::as_u64).sum();
    assert_eq!(seen, number("/reads"), "not every read has an age");
    assert!(seen > 0 && ages[2..].iter().all(|age| age.as_u64() == Some(0)));
    assert!(!told["per_second"].as_array().expect("seconds").is_empty());
    for kind in ["read", "synchronize"] {
        let row = &told["latencies"][kind];
        let bins = row["histogram"].as_array().expect("a histogram");
        let counted: u64 = bins.iter().filter_map(|bin| bin[1].as_u64()).sum();
        assert!(counted > 0);
        assert_eq!(
            Some(counted),
            row["count"].as_u64(),
            "{kind}: the bins do not have every sample"
        );
    }

    let drawn = std::fs::read_to_string(svg).expect("the SVG file");
    assert!(drawn.starts_with("<svg ") && drawn.trim_end().ends_with("</svg>"));
    for word in [
        "read: ",
        "synchronize: ",
        "time, logarithmic",
        "share of all",
        "p99",
        "prefers-color-scheme: dark",
    ] {
        assert!(drawn.contains(word), "{word} is not in the drawing");
    }
    assert!(drawn.matches("class=\"bar\"").count() >= 2);
}

#[test]
fn a_file_that_cannot_be_written_is_named_before_anything_runs() {
    let mut args = args("1 stress 60");
    args.json = Some(PathBuf::from("/nowhere/at/all/figures.json"));
    let error = rcutorture::run(args).expect_err("no such folder");
    assert!(error.to_string().contains("figures.json"), "{error}");
}
