#!/usr/bin/env bash
# Spin: two Promela models of how the grace-period thread sleeps, is woken, stops and is started again, over x86's store
# buffers (ci/spin/), searched in full: no assertion fails, and nobody is left behind. Then the same models with faults,
# each of which must be found.
# Alone: bash ci/spin.sh              all of it, and a table
#        bash ci/spin.sh -v           with the trail of each fault
#        bash ci/spin.sh FAULT        the lines of the table that contain FAULT, for instance NO_HEAVY or stop
#
# Needs spin and a C compiler; installs them where it is root and has apt. Takes a minute or two, and up to 3 GB of memory.
# The models know no out-of-order processor: tests/explorer.rs does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What must hold, what must be found: verdict, model, macros.
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
fault  sleep  REQUEST_LOOKS_AT_DOZE CALLERS=0 FORCERS=1 LEAVERS=0
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

# One line: prints verdict, states and macros; fails where the verdict is not as it must be.
one() {
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
        spin -a "${macros[@]}" "$model.pml" >spin.out 2>&1 || { cat spin.out >&2; exit 1; }
        "${CC:-cc}" -O2 -w -DSAFETY -DMEMLIM=4000 -DVECTORSZ=2048 -o pan pan.c
        ./pan -n -m1000000 >pan.out 2>&1 || true
    )
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$work/pan.out")
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/pan.out")
    why=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' "$work/pan.out")
    verdict=incomplete
    if [ "${errors:-0}" != 0 ]; then
        verdict=fault
    elif [ "$errors" = 0 ] && ! grep -qE 'too small|out of memory|not completed' "$work/pan.out"; then
        verdict=holds
    fi
    printf '%-6s %-10s %10s  %-5s  %s%s\n' "$must" "$verdict" "$states" "$model" "$*" "${why:+: $why}"
    if [ "$verdict" = fault ] && [ -n "${SPIN_VERBOSE:-}" ]; then
        (cd "$work" && spin -t -p -T "${macros[@]}" "$model.pml" | grep -vE 'processor|Starting|:init:')
    fi
    [ "$verdict" = "$must" ] || { cat "$work/pan.out" >&2; return 1; }
}

if [ "${1:-}" = --one ]; then
    shift
    one "$@"
    exit
fi

missing=()
command -v spin >/dev/null || missing+=(spin)
command -v "${CC:-cc}" >/dev/null || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -ne 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "spin: needs ${missing[*]}: install them (Debian: apt-get install ${missing[*]})" >&2
        exit 1
    fi
    apt-get update -q >/dev/null
    apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ "${1:-}" = -v ]; then
    export SPIN_VERBOSE=1
    shift
fi
chosen=$(sed '/^$/d' <<<"$lines" | grep -F -- "${1:-}") || {
    echo "spin: no line contains '$1'" >&2
    exit 1
}
printf '%-6s %-10s %10s  %-5s  %s\n' must is states model with
failed=0
xargs -P "$(nproc)" -L 1 bash ci/spin.sh --one <<<"$chosen" || failed=1
if [ "$failed" -ne 0 ]; then
    echo "spin: something is not as it must be" >&2
    exit 1
fi
echo "spin: $(wc -l <<<"$chosen") searches, all as they must be"
