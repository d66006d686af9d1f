#!/usr/bin/env bash
# Instructions per operation, counted by callgrind: read and leave, RcuCell::with, read_owned and
# drop, call, retire. The counts do not depend on what else the machine does. Fails if a count is
# more than 3% above the number in benches/instructions.txt.
# Usage: bash ci/instructions.sh
#        rm benches/instructions.txt && bash ci/instructions.sh   records all numbers again
#
# If the file has no line for this machine (target, barrier) and operation, the script adds it. A
# number is that of a loop around one operation, so it includes the loop's own few instructions,
# which `nothing` shows. Other compilers make other code: each line names its compiler.
#
# Needs valgrind, and installs it where it is missing. Not a step of .ci/run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

record=benches/instructions.txt
operations=(nothing read_leave with read_owned_drop call retire)
# Whole chunks of callbacks (62 each), so that each has its share of the cost of a new chunk.
n=62000

need valgrind valgrind

cargo build --quiet --release --bench instructions
program=$(cargo build --quiet --release --bench instructions --message-format=json |
    executable instructions)
target=$(host)
compiler=$(rustc -vV | sed -n 's/^release: //p')
# valgrind may refuse the system call of the process-wide barrier. Then the fences are counted.
barrier=$(valgrind --quiet --tool=none "$program" barrier 2>/dev/null)
echo "$tool: $(valgrind --version), rustc $compiler, $target; barrier under valgrind: $barrier"

# counted OPERATION: prints the instructions of its whole loop.
counted() {
    local out
    out=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --toggle-collect="*counted_$1*" "$program" "$1" "$n" 2>&1) || {
        printf '%s\n' "$out" >&2
        return 1
    }
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
        fail "$operation was not counted"
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
