#!/usr/bin/env bash
# Fuzzing: the targets of fuzz/, under AddressSanitizer, against their oracles.
# Usage: bash ci/fuzz.sh                   each target for 15 seconds
#        bash ci/fuzz.sh SECONDS [TARGET]  each target, or one, for so long
#        bash ci/fuzz.sh keep [TARGET]     takes what was found into fuzz/corpus: a few files that
#                                          reach about the same edges
#
# A run begins with fuzz/corpus/TARGET, and leaves inputs that reach new code in fuzz/found/TARGET,
# which git ignores. An input that fails is in fuzz/artifacts/TARGET. On any toolchain
# ASYNC_RCU_FUZZ_INPUT=FILE cargo test --test fuzz_corpus TEST shows it, where TEST is operations,
# collections or tables.
#
# Needs a C++ compiler. Installs what is missing: the nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

need c++ g++
need_nightly rust-std
need_cargo cargo-fuzz

seconds=${1:-15}
targets=$(cargo +nightly fuzz list)
if [ -n "${2:-}" ]; then
    # shellcheck disable=SC2086 # one line
    grep -qx "$2" <<<"$targets" || fail "no target is called $2. The targets are:" $targets
    targets=$2
fi

for target in $targets; do
    # The oracles count leaks, and LeakSanitizer looks at the end of the process. libFuzzer must not
    # look after each input: the library's threads still free memory then, which libFuzzer would
    # report as a leak.
    options=(-timeout=60 -rss_limit_mb=4096 -detect_leaks=0 -print_final_stats=1)
    case $target in
    operations) options+=(-max_len=500 -len_control=0) ;;
    collections) options+=(-max_len=1200 -len_control=0) ;;
    route_table) options+=(-max_len=600 -dict=fuzz/route_table.dict) ;;
    esac
    corpus=fuzz/corpus/$target
    found=fuzz/found/$target
    mkdir -p "$corpus" "$found"
    if [ "$seconds" = keep ]; then
        # Edges only, not how often an input passes them: tens of files instead of hundreds. Threads
        # add edges by chance, each with an input that reaches little else: only the longest inputs
        # stay.
        few=$(mktemp -d)
        trap 'rm -rf "$few"' EXIT
        cargo +nightly fuzz run "$target" "$few" "$corpus" "$found" -- "${options[@]}" \
            -merge=1 -set_cover_merge=1 -use_counters=0
        rm -rf "$corpus" "$found"
        mkdir -p "$corpus"
        ls -S "$few" | head -n 64 | while read -r file; do
            cp "$few/$file" "$corpus/"
        done
        rm -rf "$few"
        echo "fuzz: $corpus has $(ls "$corpus" | wc -l) files, $(cat "$corpus"/* | wc -c) bytes"
    else
        echo "fuzz: $target, $seconds seconds"
        cargo +nightly fuzz run "$target" "$found" "$corpus" -- "${options[@]}" \
            -max_total_time="$seconds"
    fi
done
