#!/usr/bin/env bash
# Formatting: fails where `cargo fmt` would change a file.
# Alone: bash ci/fmt.sh. To mend what it finds: cargo fmt --all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
cargo fmt --check --manifest-path ci/api/Cargo.toml
