#!/usr/bin/env bash
# rcutorture: readers that look for freed memory while everything else goes on; threads stop at random inside the library.
# Alone: bash ci/rcutorture.sh             10 seconds each
#        bash ci/rcutorture.sh SECONDS
#
# Four runs: threads and tasks, in both barrier modes, built with --cfg rcu_delays; and one of stress without delays, as users
# have the library. Each fails on any error that it counts (what these are stands in its output), and on a hang, which its own
# watchdog finds. SEED=NUMBER picks other random choices. Needs cargo alone. A cfg is part of every fingerprint, hence the separate
# target directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-10}
seed=${SEED:-1}
case $seconds in
    '' | *[!0-9]* | 0*)
        echo "usage: bash ci/rcutorture.sh [SECONDS]" >&2
        exit 2
        ;;
esac
every=$((seconds / 10 + 1))

# Where the system has no process-wide barrier, both modes are the same.
target=${CARGO_TARGET_DIR:-target}
RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_delays" cargo build --release --example rcutorture --target-dir "$target/delays"
cargo build --release --example rcutorture

run() {
    echo "rcutorture: $*"
    "$@" "$seconds" --seed "$seed" --every "$every"
}
for barrier in auto fence; do
    for mode in stress async; do
        run "$target/delays/release/examples/rcutorture" --barrier "$barrier" 3 "$mode"
    done
done
run "$target/release/examples/rcutorture" 3 stress
