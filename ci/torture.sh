#!/usr/bin/env bash
# Torture: the example rcutorture, whose readers look for freed memory while everything else goes
# on, and whose threads stop at random inside the library.
# Usage: bash ci/torture.sh [SECONDS]     each of five runs takes so long (10 seconds)
#        SEED=NUMBER bash ci/torture.sh   makes other random choices
#
# Four runs are built with --cfg rcu_delays: threads and tasks, in both barrier modes. The fifth has
# no delays, as users have the library. A run fails if it counts an error (its output explains the
# errors), or if its own watchdog finds a hang. Needs cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

seconds=${1:-10}
case $seconds in
'' | *[!0-9]* | 0*)
    echo "usage: bash ci/torture.sh [SECONDS]" >&2
    exit 2
    ;;
esac

# A cfg is part of each crate's fingerprint, so it has a target directory of its own.
target=$(target_folder)
RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_delays" \
    cargo build --release --example rcutorture --target-dir "$target/delays"
cargo build --release --example rcutorture

run() {
    echo "$tool: $*"
    "$@" "$seconds" --seed "${SEED:-1}" --every $((seconds / 10 + 1))
}

# If the system has no process-wide barrier, both modes are the same.
for barrier in auto fence; do
    for mode in stress async; do
        run "$target/delays/release/examples/rcutorture" --barrier "$barrier" 3 "$mode"
    done
done
run "$target/release/examples/rcutorture" 3 stress
