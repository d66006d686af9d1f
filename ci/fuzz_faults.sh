#!/usr/bin/env bash
# Whether the fuzz targets bite: plants each fault of ci/faults/fuzz into a copy of the tree, and fuzzes that with the target that
# must notice, from an empty corpus. Fails where one does not within the time.
#   bash ci/fuzz_faults.sh              all, five minutes each at the most, and a build before
#   bash ci/fuzz_faults.sh NAME         those whose name contains NAME
#   SECONDS_EACH=600 bash ci/fuzz_faults.sh
# Built without optimisation and AddressSanitizer, which takes less time: the oracles have to notice by themselves.
# Needs what ci/fuzz.sh needs, and perl.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo +nightly --version >/dev/null
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

work=$PWD/target/fuzz_faults
seconds=${SECONDS_EACH:-300}
mkdir -p "$work"
missed=0
any=0
for fault in ci/faults/fuzz/*"${1:-}"*.fault; do
    [ -f "$fault" ] || continue
    any=1
    name=$(basename "$fault" .fault)
    target=$(sed -n 's/^check: fuzz //p' "$fault")
    tree=$work/tree
    rm -rf "$tree"
    mkdir -p "$tree"
    # With the time of now: cargo would take a file that is as old as ever for one that it has built, after another fault was in it.
    git ls-files -z -- src fuzz examples Cargo.toml Cargo.lock README.md benches tests |
        tar --null -T - -c | tar -x -m -C "$tree"
    perl ci/plant.pl "$fault" "$tree"
    (
        cd "$tree/fuzz"
        export CARGO_TARGET_DIR=$work/build
        cargo +nightly fuzz build --dev --sanitizer none "$target" >"$work/$name.build" 2>&1 || {
            tail -40 "$work/$name.build" >&2
            exit 1
        }
    )
    began=$SECONDS
    mkdir -p "$tree/fuzz/empty" "$tree/fuzz/artifacts/$target"
    options=(-max_total_time="$seconds" -timeout=60 -detect_leaks=0 -max_len=600 -len_control=0)
    [ ! -f "fuzz/$target.dict" ] || options+=(-dict="$PWD/fuzz/$target.dict")
    if (
        cd "$tree/fuzz"
        export CARGO_TARGET_DIR=$work/build
        cargo +nightly fuzz run --dev --sanitizer none "$target" empty -- "${options[@]}" >"$work/$name.log" 2>&1
    ); then
        echo "fuzz_faults: $name: NOT noticed by $target in $seconds seconds ($work/$name.log)" >&2
        missed=1
    else
        why=$(grep -A1 -m1 'panicked at\|ERROR: ' "$work/$name.log" | tr '\n' ' ' || true)
        [ -n "$why" ] || {
            tail -20 "$work/$name.log" >&2
            echo "fuzz_faults: $name: the target failed without saying why" >&2
            exit 1
        }
        runs=$(grep -o '^#[0-9]*' "$work/$name.log" | tail -1 || true)
        echo "fuzz_faults: $name: noticed by $target in $((SECONDS - began)) seconds, after run ${runs:-#1}: ${why:0:160}"
    fi
done
[ "$any" = 1 ] || {
    echo "fuzz_faults: no fault matches '${1:-}'" >&2
    exit 1
}
exit "$missed"
