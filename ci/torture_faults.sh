#!/usr/bin/env bash
# The torture bites: faults planted into copies of the library, each of which rcutorture must find within seconds.
# Alone: bash ci/torture_faults.sh            all of ci/faults/torture
#        bash ci/torture_faults.sh NAME...    those
#
# Each is planted (ci/plant.pl), built with --cfg rcu_delays (without, where it has the line `delays: off`), and run: BARRIER N MODE
# as its line `check:` says, for at most FAULT_SECONDS (30). Found means exit status 1: errors, or a hang that the program's own
# watchdog reports. First the library as it is must pass the same. A fault with lines `missed:` is one that rcutorture is known to
# miss, for the reason that stands there: it is run all the same and listed. Needs perl and cargo; about a minute for each fault.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${FAULT_SECONDS:-30}
mkdir -p "${CARGO_TARGET_DIR:-target}/faults"
faults=$(cd "${CARGO_TARGET_DIR:-target}/faults" && pwd)
tree=$faults/tree
flags=${RUSTFLAGS:-}
log=$faults/torture.log

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
    names=()
    for file in ci/faults/torture/*; do
        names+=("$(basename "$file")")
    done
fi

# copy: the sources as they stand, always newer than what was built from the last copy.
copy() {
    rm -rf "$tree"
    mkdir -p "$tree"
    tar -cf - --exclude=./target --exclude=./.git --exclude=target . | tar -xmf - -C "$tree"
}

# delays on|off: what is built and run from now on.
delays() {
    export CARGO_TARGET_DIR=$faults/torture-$1
    case $1 in
        on) export RUSTFLAGS="$flags --cfg rcu_delays" ;;
        off) export RUSTFLAGS=$flags ;;
    esac
    program=$CARGO_TARGET_DIR/release/examples/rcutorture
}

build() {
    (cd "$tree" && cargo build --quiet --release --example rcutorture) >"$log" 2>&1 || {
        cat "$log" >&2
        echo "torture_faults: $1 does not build" >&2
        exit 1
    }
}

# torture BARRIER N MODE: its exit status in `status`, its time in `took`.
torture() {
    local began=$SECONDS
    status=0
    timeout --kill-after=10 $((seconds + 60)) "$program" \
        --barrier "$1" "$2" "$3" "$seconds" --hang 10 --every 0 >"$log" 2>&1 || status=$?
    took=$((SECONDS - began))
}

table=$(printf '%-34s %-10s %s' fault after found)$'\n'
failed=0

delays on
copy
build 'the library as it is'
for run in 'auto 3 stress' 'fence 3 stress' 'auto 3 async'; do
    # shellcheck disable=SC2086 # three words
    torture $run
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        echo "torture_faults: without a fault, $run exits with status $status" >&2
        exit 1
    fi
done
echo "torture_faults: without a fault nothing is found"

for name in "${names[@]}"; do
    fault=ci/faults/torture/$name
    run=$(sed -n 's/^check: //p' "$fault")
    [ -n "$run" ] || { echo "torture_faults: $fault says no check" >&2; exit 1; }
    copy
    perl ci/plant.pl "$fault" "$tree"
    if grep -qx 'delays: off' "$fault"; then delays off; else delays on; fi
    build "$name"
    # shellcheck disable=SC2086 # three words
    torture $run
    what=$(sed -n 's/^  ERROR: //p' "$log" | head -n 1)
    case $status in
        1) verdict="yes: $what" ;;
        0) verdict=no ;;
        *) verdict="no: exit status $status" ;;
    esac
    if [ "$status" -ne 1 ]; then
        if grep -q '^missed: ' "$fault"; then
            verdict+=", as known: $(sed -n 's/^missed: //p' "$fault" | tr '\n' ' ')"
        else
            failed=$((failed + 1))
            verdict+=', BUT IT MUST BE'
        fi
    fi
    line=$(printf '%-34s %-10s %s' "$name" "$took s" "$verdict")
    echo "torture_faults: $line"
    table+=$line$'\n'
done

printf '\n%s' "$table"
if [ "$failed" -ne 0 ]; then
    echo "torture_faults: $failed faults were not found" >&2
    exit 1
fi
