//! The fuzz targets' oracles accept the corpus and some random input, on any toolchain, in seconds.
//!
//! The package `fuzz/` has the targets, and this test includes its modules. `ci/fuzz.sh` runs them
//! for longer, with new inputs that raise the coverage. To replay a file of
//! `fuzz/artifacts/TARGET/`: `ASYNC_RCU_FUZZ_INPUT=FILE cargo test --test fuzz_corpus TARGET`.
#![allow(dead_code, unreachable_pub, reason = "the modules are the targets' as well")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/collections/mod.rs"]
mod collections;
#[path = "../fuzz/src/ledger.rs"]
mod ledger;
#[path = "../fuzz/src/operations/mod.rs"]
mod operations;
#[path = "../fuzz/src/panics.rs"]
mod panics;
#[path = "../fuzz/src/plan.rs"]
mod plan;
#[path = "../fuzz/src/route_table.rs"]
mod route_table;

// The parser under test imports `crate::table`.
#[path = "../examples/route_server"]
mod route_server {
    pub(crate) mod parse;
    pub(crate) mod ranges;
    pub(crate) mod table;
}
use route_server::{parse, ranges, table};

/// Replays the corpus of a target, or the one file that the environment names.
fn replay(target: &str, run: fn(&[u8])) {
    let files = match env::var_os("ASYNC_RCU_FUZZ_INPUT") {
        Some(file) => vec![PathBuf::from(file)],
        None => corpus(target),
    };
    for file in files {
        let bytes = fs::read(&file).expect("a file of the corpus");
        // The harness shows the line if the test fails.
        println!("{}", file.display());
        run(&bytes);
    }
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).expect("the corpus").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} is too small: {}", files.len());
    files
}

/// Runs `count` inputs of `len` bytes, the same in every run. `ASYNC_RCU_FUZZ_RUNS` overrides the
/// count.
fn random(count: u32, len: usize, run: fn(&[u8])) {
    let count = env::var("ASYNC_RCU_FUZZ_RUNS")
        .map_or(count, |runs| runs.parse().expect("ASYNC_RCU_FUZZ_RUNS: a number of runs"));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for number in 0..count {
        let input: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(len)
        .collect();
        println!("random input {number}");
        run(&input);
    }
}

#[test]
fn operations_agree_with_their_oracle() {
    replay("operations", operations::run);
}

#[test]
fn random_operations_agree_with_their_oracle() {
    random(40, 400, operations::run);
}

#[test]
fn collections_agree_with_their_models() {
    replay("collections", collections::run);
}

#[test]
fn random_changes_of_collections_agree_with_their_models() {
    random(200, 1000, collections::run);
}

#[test]
fn tables_agree_with_a_naive_parser() {
    replay("route_table", route_table::run);
}
