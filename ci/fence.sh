#!/usr/bin/env bash
# Fallback barrier: unit and integration tests again, with SeqCst fences on both sides instead of a process-wide barrier.
# Alone: bash ci/fence.sh
#
# The mode is read from the environment when the process first needs it: nothing is built anew after ci/test.sh.
# It is what runs where membarrier is refused (seccomp, old kernels) and on systems without one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ASYNC_RCU_BARRIER=fence cargo test --lib --tests
