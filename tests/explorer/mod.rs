//! See `tests/explorer.rs`.

pub(crate) mod expr;
pub(crate) mod machine;
pub(crate) mod program;
pub(crate) mod programs;
pub(crate) mod search;
pub(crate) mod tso;
pub(crate) mod weak;
pub(crate) mod words;
