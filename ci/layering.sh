#!/usr/bin/env bash
# Layering: imports between the floors of src/ run downwards only, and std's atomics, threads, tokio's runtime and
# system calls stay on their floors. The rules stand at the head of tests/layering.rs.
# Alone: bash ci/layering.sh
#
# It is part of `cargo test` too. Here the file, which needs only std, goes to rustc directly: an answer in a
# second or two, also while the library does not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${CARGO_TARGET_DIR:-target}/layering
mkdir -p "$out"
CARGO_MANIFEST_DIR=$PWD "${RUSTC:-rustc}" --edition 2024 --test tests/layering.rs -o "$out/layering"
"$out/layering"
