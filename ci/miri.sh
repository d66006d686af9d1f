#!/usr/bin/env bash
# Miri: the unit tests under an interpreter that finds undefined behaviour and data races.
# Alone: bash ci/miri.sh [FILTER] (installs nightly's miri through rustup; slow, not part of .ci/run)
#
# Miri knows no membarrier: fences it is. The switch has to be forwarded, as the interpreted program sees none of
# our environment by itself. Leaks are not reported: reader records are never freed, by design, and the thread of the
# global domain outlives main.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

need_nightly miri rust-src
export ASYNC_RCU_BARRIER=fence
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-env-forward=ASYNC_RCU_BARRIER -Zmiri-ignore-leaks"
tested cargo +nightly miri test --lib "$@"
