#!/usr/bin/env bash
# Documentation: rustdoc with every feature, a warning (a broken link above all) is an error.
# Alone: bash ci/doc.sh. The code in the documentation is compiled and run by ci/test.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --no-deps --all-features
