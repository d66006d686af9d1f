#!/usr/bin/env bash
# Loom: the models in src/loom_models, every interleaving up to a bound on preemptions.
# Alone: bash ci/loom.sh            all models
#        bash ci/loom.sh NAME       those whose path contains NAME
#        LOOM_MAX_PREEMPTIONS=4 bash ci/loom.sh
# Other settings of loom pass through: LOOM_LOG, LOOM_LOCATION, LOOM_MAX_DURATION.
#
# A cfg of our own, not `--cfg loom`: that one would change tokio too. It is part of every fingerprint, hence the
# separate target directory. The models need optimised code to end in reasonable time.
# Loom proves the algorithm with fences. It knows no process-wide barrier; CONTRIBUTING.md says what else it misses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
filter=${1:-loom_models}

# A filter that matches nothing is a success to the test harness. To this check it is not.
models=$(cargo test --release --lib "$filter" -- --list)
count=$(grep -c '^.*loom_models::.*: test$' <<<"$models") || {
    echo "loom: no model matches '$filter'" >&2
    exit 1
}
echo "loom: $count models, at most $LOOM_MAX_PREEMPTIONS preemptions"
cargo test --release --lib "$filter"
