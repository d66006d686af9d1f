#!/usr/bin/env bash
# Spin: two Promela models (ci/spin/) of how the grace-period thread sleeps, is woken, stops and is
# started again, over x86's store buffers. The search is complete: no assertion may fail, and no
# process may be left behind. Then the same models with faults, each of which Spin must find.
# Usage: bash ci/spin.sh         all searches, and a table
#        bash ci/spin.sh -v      also prints the trail of each fault
#        bash ci/spin.sh WORDS   the searches whose lines contain WORDS, such as NO_HEAVY or stop
#
# Needs spin and a C compiler, and installs them where they are missing. Takes one to two minutes,
# and up to 3 GB of memory. The models know no out-of-order processor; tests/explorer.rs does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

# The searches: the verdict that each must have, the model, its macros.
lines='
holds  sleep  CALLERS=2 ROUNDS=2 FORCERS=0 LEAVERS=0
holds  sleep  CALLERS=2 ROUNDS=2 FORCERS=0 LEAVERS=0 FENCE
holds  sleep  CALLERS=1 FORCERS=1 LEAVERS=0
holds  sleep  CALLERS=1 FORCERS=1 LEAVERS=0 FENCE
holds  sleep  CALLERS=0 FORCERS=0 LEAVERS=2
holds  sleep  CALLERS=0 FORCERS=0 LEAVERS=2 FENCE
holds  sleep  CALLERS=0 FORCERS=1 LEAVERS=1
holds  stop   CALLERS=2 ROUNDS=1 WAITERS=0 ASKERS=1
holds  stop   CALLERS=2 ROUNDS=1 WAITERS=0 ASKERS=1 FENCE
holds  stop   CALLERS=1 ROUNDS=2 WAITERS=0 ASKERS=1
holds  stop   CALLERS=0 WAITERS=1 ASKERS=2
holds  stop   CALLERS=0 WAITERS=1 ASKERS=2 FENCE
fault  sleep  NO_HEAVY CALLERS=1 FORCERS=0 LEAVERS=0
fault  sleep  NO_HEAVY CALLERS=0 FORCERS=0 LEAVERS=1
fault  sleep  NO_HEAVY CALLERS=1 FORCERS=0 LEAVERS=0 FENCE
fault  sleep  LIGHT_FOR_HEAVY CALLERS=1 FORCERS=0 LEAVERS=0
fault  sleep  NO_LIGHT CALLERS=1 FORCERS=0 LEAVERS=0 FENCE
fault  sleep  NO_LIGHT CALLERS=0 FORCERS=0 LEAVERS=1 FENCE
fault  sleep  NO_LOOK CALLERS=1 FORCERS=0 LEAVERS=0
fault  sleep  NO_LOOK CALLERS=0 FORCERS=0 LEAVERS=1
fault  sleep  RESET_LATE CALLERS=1 FORCERS=0 LEAVERS=0
fault  sleep  ASLEEP_LATE CALLERS=1 FORCERS=0 LEAVERS=0
fault  sleep  ASKED_LATE CALLERS=0 FORCERS=0 LEAVERS=1
fault  sleep  UNASKED_SLEPT_ON CALLERS=0 FORCERS=0 LEAVERS=2
fault  sleep  ASKED_TAKEN_AFTER_THE_WAKE CALLERS=0 FORCERS=0 LEAVERS=2
fault  sleep  REQUEST_LOOKS_AT_SLEEP_STATE CALLERS=0 FORCERS=1 LEAVERS=0
fault  sleep  COLLECTS_BEFORE_REQUESTS CALLERS=0 FORCERS=1 LEAVERS=0
fault  stop   NO_HEAVY CALLERS=1 WAITERS=0 ASKERS=1
fault  stop   LIGHT_FOR_HEAVY CALLERS=1 WAITERS=0 ASKERS=1
fault  stop   NO_LIGHT CALLERS=1 WAITERS=0 ASKERS=1 FENCE
fault  stop   NO_LOOK CALLERS=1 WAITERS=0 ASKERS=1
fault  stop   UNDO_BY_STORE CALLERS=1 WAITERS=0 ASKERS=1
fault  stop   RESTART_BY_STORE CALLERS=2 WAITERS=0 ASKERS=1
fault  stop   LOSER_GOES_ON CALLERS=1 WAITERS=0 ASKERS=1
fault  stop   ASKER_LOOKS_FIRST CALLERS=0 WAITERS=0 ASKERS=2
fault  stop   ASKER_LOOKS_NOT CALLERS=0 WAITERS=0 ASKERS=2
fault  stop   REQUEST_STARTS_NOBODY CALLERS=0 WAITERS=1 ASKERS=1
'

# search VERDICT MODEL MACRO...: prints the result of one search. Fails if it has another verdict.
search() {
    local must=$1 model=$2 macros=() macro work errors states why verdict
    shift 2
    for macro in "$@"; do
        macros+=("-D$macro")
    done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    cp ci/spin/*.pml "$work"
    (
        cd "$work"
        spin -a "${macros[@]}" "$model.pml" >spin.out 2>&1 || {
            cat spin.out >&2
            exit 1
        }
        "${CC:-cc}" -O2 -w -DSAFETY -DMEMLIM=4000 -DVECTORSZ=2048 -o pan pan.c
        ./pan -n -m1000000 >pan.out 2>&1 || true
    )
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$work/pan.out")
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/pan.out")
    why=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$work/pan.out")
    verdict=incomplete
    if [ "${errors:-0}" != 0 ]; then
        verdict=fault
    elif [ "$errors" = 0 ] &&
        ! grep -qE 'too small|out of memory|not completed' "$work/pan.out"; then
        verdict=holds
    fi
    printf '%-6s %-10s %10s  %-5s  %s%s\n' \
        "$must" "$verdict" "$states" "$model" "$*" "${why:+: $why}"
    if [ "$verdict" = fault ] && [ -n "${SPIN_VERBOSE:-}" ]; then
        (cd "$work" && spin -t -p -T "${macros[@]}" "$model.pml") |
            grep -vE 'processor|Starting|:init:'
    fi
    [ "$verdict" = "$must" ] || {
        cat "$work/pan.out" >&2
        return 1
    }
}

if [ "${1:-}" = --one ]; then
    shift
    search "$@"
    exit
fi

need spin spin
need "${CC:-cc}" gcc libc6-dev

if [ "${1:-}" = -v ]; then
    export SPIN_VERBOSE=1
    shift
fi
chosen=$(sed '/^$/d' <<<"$lines" | grep -F -- "${1:-}") ||
    fail "no search has a line with '$1'"
printf '%-6s %-10s %10s  %-5s  %s\n' must is states model with
failed=0
xargs -P "$(nproc)" -L 1 bash ci/spin.sh --one <<<"$chosen" || failed=1
[ "$failed" -eq 0 ] || fail "a search does not have the verdict that it must have"
echo "spin: $(wc -l <<<"$chosen") searches, each with the verdict that it must have"
