//! What the fuzz targets do with their input, and the oracles that they hold the library against.
//!
//! Each target is a module with `run(data: &[u8])`, which panics where the library and the oracle do not agree. The programs in
//! `fuzz_targets/` give it what libFuzzer makes up; `tests/fuzz_corpus.rs` of the library gives it the corpus, on
//! any toolchain, by including these modules: so they name each other by `super`, never by `crate`.

// The parser under test says `crate::table`.
#[path = "../../examples/route_server"]
mod route_server {
    #![allow(dead_code, reason = "the server uses the rest")]
    pub(crate) mod parse;
    pub(crate) mod ranges;
    pub(crate) mod table;
}
use route_server::{parse, ranges, table};

pub mod collections;
pub mod ledger;
pub mod operations;
pub mod panics;
pub mod plan;
pub mod route_table;
