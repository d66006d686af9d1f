#!/usr/bin/env bash
# Oldest compiler: the library, with and without its default features, passes the `rust-version` of Cargo.toml.
# Alone: bash ci/msrv.sh (installs that toolchain through rustup; not part of .ci/run)
#
# The library only: tests, examples and their dependencies may need a newer one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if [ -z "$version" ]; then
    echo "msrv: no rust-version in Cargo.toml" >&2
    exit 1
fi
rustup toolchain install "$version" --profile minimal --no-self-update
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/msrv"
cargo "+$version" check --lib
cargo "+$version" check --lib --no-default-features
