//! The fuzz targets and their oracles.
//!
//! Each target is a module with `run(data: &[u8])`, which panics if the library and the oracle
//! disagree. The programs in `fuzz_targets/` pass it the inputs of libFuzzer.
//! `tests/fuzz_corpus.rs` of the library includes these modules and passes them the corpus, on any
//! toolchain. So the modules name each other by `super`, never by `crate`.

// The parser under test imports `crate::table`.
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
