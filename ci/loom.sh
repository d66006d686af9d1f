#!/usr/bin/env bash
# Loom: the models in src/loom_models, in every interleaving up to a number of preemptions.
# Usage: bash ci/loom.sh            all models
#        bash ci/loom.sh NAME       the models whose paths contain NAME
#        LOOM_MAX_PREEMPTIONS=4 bash ci/loom.sh
# Other settings of loom work too: LOOM_LOG, LOOM_LOCATION, LOOM_MAX_DURATION. Needs cargo.
#
# The cfg is rcu_loom and not loom, which would change tokio too. A cfg is part of each crate's
# fingerprint, so it has a target directory of its own. The models need optimised code to end in
# reasonable time. Loom proves the algorithm with fences: it knows no process-wide barrier.
# CONTRIBUTING.md says what else it misses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

export RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_loom"
CARGO_TARGET_DIR=$(target_folder loom)
export CARGO_TARGET_DIR
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
filter=${1:-loom_models}

# The test harness succeeds if a filter matches no test. This check must not.
models=$(cargo test --release --lib "$filter" -- --list)
count=$(grep -c '^.*loom_models::.*: test$' <<<"$models") || fail "no model matches '$filter'"
echo "loom: $count models, at most $LOOM_MAX_PREEMPTIONS preemptions"
cargo test --release --lib "$filter"
