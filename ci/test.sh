#!/usr/bin/env bash
# Tests: the command that the README gives. Unit tests, tests/, the examples' tests, and the documentation's code.
# Alone: bash ci/test.sh
#
# The barrier between readers and the grace-period thread is the one that the system offers: membarrier on Linux,
# FlushProcessWriteBuffers on Windows, fences elsewhere. ci/fence.sh runs the same tests with fences.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo test
