#!/usr/bin/env bash
# Oldest dependencies: the library with the least version that Cargo.toml asks for of each, and its unit tests. What is asked for
# too low compiles with today's lock file and not with a user's old one.
# Alone: bash ci/minimal_versions.sh
#
# The direct dependencies only: theirs are their own affair. Works on a copy with a lock file of its own. The option is not
# stable; RUSTC_BOOTSTRAP lets the usual compiler take it, so that it is the usual one that compiles.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

own_target minimal
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R Cargo.toml README.md src tests examples benches "$copy"
cd "$copy"
rm -rf benches/*/target

RUSTC_BOOTSTRAP=1 cargo update -q -Z direct-minimal-versions
cargo tree --depth 1 --edges normal --all-features
for features in --no-default-features '' --all-features; do
    echo "minimal_versions: check --lib $features"
    # shellcheck disable=SC2086 # none or one
    cargo check --lib $features
done
tested cargo test --lib --all-features
