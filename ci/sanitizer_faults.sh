#!/usr/bin/env bash
# The sanitizers bite: faults planted into copies of the library, each of which one of them must report.
# Alone: bash ci/sanitizer_faults.sh            all of ci/faults/sanitizers
#        bash ci/sanitizer_faults.sh NAME...    those
#
# A fault's line `check: SCRIPT TEST...` says which of ci/asan.sh and ci/tsan.sh has to notice it in which tests, and `report: WORDS` what
# it says then. Needs perl and what those scripts need; uses what they have built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

need perl perl
mkdir -p "${CARGO_TARGET_DIR:-target}/faults"
CARGO_TARGET_DIR=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR
tree=$CARGO_TARGET_DIR/faults/sanitizers-tree
log=$CARGO_TARGET_DIR/faults/sanitizers.log

[ $# -gt 0 ] || set -- ci/faults/sanitizers/*
table=
status=0
for name in "$@"; do
    fault=ci/faults/sanitizers/$(basename "$name")
    [ -f "$fault" ] || fail "no such fault: $name"
    read -r script only < <(sed -n 's/^check: //p' "$fault")
    words=$(sed -n 's/^report: //p' "$fault")
    [ -n "$script" ] && [ -n "$only" ] && [ -n "$words" ] || fail "$fault does not say what must notice it"
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -R Cargo.toml Cargo.lock README.md ci src tests examples benches "$tree"
    # Another version, or cargo takes what it built from the copy for this package.
    sed -i.bak '0,/^version = "\(.*\)"$/s//version = "\1-planted"/' "$tree/Cargo.toml"
    perl ci/plant.pl "$fault" "$tree"
    echo "$tool: $(basename "$fault"): $script $only"
    if ONLY=$only bash "$tree/ci/$script.sh" >"$log" 2>&1; then
        result="NOT NOTICED"
        status=1
    elif grep -q "$words" "$log"; then
        result="noticed: $words"
    else
        tail -n 40 "$log" >&2
        result="FAILED, without the words: $words"
        status=1
    fi
    table+=$(printf '%-40s %s' "$(basename "$fault")" "$result")$'\n'
done
rm -rf "$tree"
printf '\n%s' "$table"
exit "$status"
