#!/usr/bin/env bash
# Lints: clippy over the library, tests, examples and benches with every feature, a warning is an error.
# `incompatible_msrv`, on by default, also finds std items younger than the `rust-version` in Cargo.toml.
# Alone: bash ci/clippy.sh
#
# The flag goes after `--`, so that it reaches this crate only. In RUSTFLAGS it would be part of every
# dependency's fingerprint, and all of them would be built once more for the steps that do not set it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo clippy --all-targets --all-features -- -D warnings
