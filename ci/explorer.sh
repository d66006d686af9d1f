#!/usr/bin/env bash
# Explorer: the protocol's programs in every order that x86 and an AArch64-like processor allow, with their seeded faults.
# Alone: bash ci/explorer.sh              all programs
#        bash ci/explorer.sh PROGRAM      one, for instance cookie
#        EXPLORER_VERBOSE=1 bash ci/explorer.sh cookie      with states, times and a trace of each fault
#
# It is part of `cargo test` too, unoptimised. Here the file, which needs only std, goes to rustc directly: an
# answer in seconds, also while the library does not compile. tests/explorer.rs says what is searched and what is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${CARGO_TARGET_DIR:-target}/explorer
mkdir -p "$out"
CARGO_MANIFEST_DIR=$PWD "${RUSTC:-rustc}" --edition 2024 -O --test tests/explorer.rs -o "$out/explorer"

arguments=()
if [ -n "${EXPLORER_VERBOSE:-}" ]; then
    arguments+=(--nocapture --test-threads=1)
fi
if [ $# -ne 0 ]; then
    # A filter that matches nothing is a success to the test harness. To this check it is not.
    all=$("$out/explorer" --list)
    grep -qx "$1: test" <<<"$all" || {
        echo "explorer: no program \"$1\"; there are:" >&2
        sed -n 's/: test$//p' <<<"$all" >&2
        exit 1
    }
    arguments+=(--exact "$1")
fi
"$out/explorer" ${arguments[@]+"${arguments[@]}"}
