#!/usr/bin/env bash
# Fuzzing: the targets of fuzz/, under AddressSanitizer, against their oracles.
#   bash ci/fuzz.sh                     each target for 15 seconds
#   bash ci/fuzz.sh 600                 each for ten minutes
#   bash ci/fuzz.sh 600 operations      one
#   bash ci/fuzz.sh keep [TARGET]       takes what was found into fuzz/corpus: few files that reach about the same edges
#
# Begins with fuzz/corpus/TARGET, and leaves what leads to new code in fuzz/found/TARGET (not kept in git). An input that fails
# is in fuzz/artifacts/TARGET; ASYNC_RCU_FUZZ_INPUT=FILE cargo test --test fuzz_corpus TARGET shows it on any toolchain.
# Needs a nightly toolchain and a C++ compiler; installs cargo-fuzz where it is missing. CONTRIBUTING.md tells more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null || {
    echo "fuzz: no nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
}
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

seconds=${1:-15}
targets=$(cargo +nightly fuzz list)
if [ -n "${2:-}" ]; then
    grep -qx "$2" <<<"$targets" || {
        echo "fuzz: no target '$2'; there are:" $targets >&2
        exit 1
    }
    targets=$2
fi

# What libFuzzer is told. Leaks are the oracles' business, who count; at the end of the process LeakSanitizer looks as well.
# Threads of the library free after an input is over, which libFuzzer would take for leaks of that input.
options() {
    echo -timeout=60 -rss_limit_mb=4096 -detect_leaks=0 -print_final_stats=1
    case $1 in
    operations) echo -max_len=500 -len_control=0 ;;
    collections) echo -max_len=1200 -len_control=0 ;;
    route_table) echo -max_len=600 -dict=fuzz/route_table.dict ;;
    esac
}

for target in $targets; do
    corpus=fuzz/corpus/$target
    found=fuzz/found/$target
    mkdir -p "$corpus" "$found"
    if [ "$seconds" = keep ]; then
        # Edges alone, not how often they are passed: tens of files instead of hundreds. Threads add edges by chance,
        # each with an input that has little else: of those only the longest stay.
        few=$(mktemp -d)
        trap 'rm -rf "$few"' EXIT
        cargo +nightly fuzz run "$target" "$few" "$corpus" "$found" -- $(options "$target") \
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
        cargo +nightly fuzz run "$target" "$found" "$corpus" -- $(options "$target") \
            -max_total_time="$seconds"
    fi
done
