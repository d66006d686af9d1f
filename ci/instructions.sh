#!/usr/bin/env bash
# Instructions per operation, counted by callgrind: read and leave, RcuCell::with, read_owned and drop, call, retire. They do not
# depend on the machine's mood. Fails where one is more than 3% above the number in benches/instructions.txt.
# Alone: bash ci/instructions.sh            (not part of .ci/run: needs valgrind; without it, says so and succeeds)
# Record anew: rm benches/instructions.txt && bash ci/instructions.sh
#
# Where the file has no line for this machine (target, barrier) and operation, what was counted is written to it. A
# number is of a loop around one operation, so it holds the loop's own few instructions, which `nothing` shows. Different
# compilers make different code: the one that made a number is on its line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

record=benches/instructions.txt
operations=(nothing read_leave with read_owned_drop call retire)
# Whole chunks of callbacks (62 each), so that what a new chunk costs is spread evenly.
n=62000

if ! command -v valgrind >/dev/null; then
    echo "instructions: skipped, valgrind is not installed (Debian: apt-get install valgrind)"
    exit 0
fi

cargo build --quiet --release --bench instructions
program=$(cargo build --quiet --release --bench instructions --message-format=json |
    sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')
target=$(rustc -vV | sed -n 's/^host: //p')
compiler=$(rustc -vV | sed -n 's/^release: //p')
# Under valgrind: it may refuse the system call that the process-wide barrier needs, and then fences are what is measured.
barrier=$(valgrind --quiet --tool=none "$program" barrier 2>/dev/null)
echo "instructions: $(valgrind --version), rustc $compiler, $target; barrier under valgrind: $barrier"

# counted OPERATION: instructions in all of its loop.
counted() {
    local out
    out=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*counted_$1*" "$program" "$1" "$n" 2>&1) ||
        { printf '%s\n' "$out" >&2; return 1; }
    sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p' <<<"$out"
}

if [ ! -f "$record" ]; then
    cat >"$record" <<'END'
# Instructions per operation, loop included. Written and compared by ci/instructions.sh.
# target barrier operation instructions rustc
END
fi

grown=0
for operation in "${operations[@]}"; do
    total=$(counted "$operation")
    if [ -z "$total" ] || [ "$total" -lt "$n" ]; then
        echo "instructions: $operation was not counted" >&2
        exit 1
    fi
    each=$(awk -v total="$total" -v n="$n" 'BEGIN { printf "%.2f", total / n }')
    read -r was by < <(awk -v t="$target" -v b="$barrier" -v o="$operation" \
        '$1 == t && $2 == b && $3 == o { print $4, $5 }' "$record"; echo) || true
    if [ -z "$was" ]; then
        echo "$target $barrier $operation $each $compiler" >>"$record"
        printf '%-16s %8s   recorded\n' "$operation" "$each"
    elif awk -v each="$each" -v was="$was" 'BEGIN { exit !(each > was * 1.03) }'; then
        printf '%-16s %8s   GREW: it was %s (rustc %s)\n' "$operation" "$each" "$was" "$by"
        grown=1
    else
        printf '%-16s %8s   (%s, rustc %s)\n' "$operation" "$each" "$was" "$by"
    fi
done
exit "$grown"
