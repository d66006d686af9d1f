#!/usr/bin/env bash
# Faults that loom must notice: each of ci/faults/loom is planted into a copy of the tree, and its model must fail there.
# Alone: bash ci/loom_faults.sh             all of them, some minutes
#        bash ci/loom_faults.sh NAME ...    those whose name contains NAME
#        bash ci/loom_faults.sh --quick     one of each floor, a minute or two
#
# A fault is caught where the model that its file names fails: by an assertion, a race, a deadlock, or by going on without
# end (past loom's bound on steps); where it passes with ci/loom.sh's preemptions it is given one more, which the table says. One
# that does not compile is not caught, nor one whose model passes all the same, or takes longer than LOOM_FAULT_LIMIT seconds
# (120). That models pass without a fault is ci/loom.sh's to show. Prints a table; fails where
# one is not caught. Needs perl and git.
#
# The copy is in target/faults-loom, and shares what ci/loom.sh has built but the crate itself. That is built unoptimised, as
# building takes longer than most models do; which also keeps the two apart, for cargo does not tell crates by where they lie. Two
# of this script at once, on one target directory, would run each other's.
#
# What is not here, because loom's light fence is the real one, and its fences are in places stronger than the language's:
# - a fence that is too weak in asymmetric mode, light against light; a heavy one with nothing but the system call
# - a cookie, or a ticket's number, taken by a plain load
# - a reader that loads the sequence Relaxed, or stores its word Relaxed: the light fence behind either covers it
# - a block of owned words that its thread parks Relaxed, behind that fence too; or that a scan finds parked, Relaxed: it reads
#   another word of the thread, stored later
# - one SeqCst access of a row made weaker, where another one of the row stands between it and what it is about: a fence stands for
#   each, and the other's does (the writer's look at a slot's watchers, behind that at the slot)
# - callbacks counted as finished Relaxed: whoever concludes from the count takes the tickets' lock as well
# tests/explorer has these, and what is about memory that is no atomic and no loom cell (the registry's head published
# Relaxed: the group behind it is plain memory) is for Miri and ThreadSanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=(
    reader-asked-taken-after-the-wake
    gp-limit-from-the-sequence
    callback-published-relaxed
    dispatch-drain-one-too-early
    service-rest-without-another-look
    cell-watcher-counted-weakly
    collections-list-linked-relaxed
)

root=$PWD
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
tree=$target/faults-loom
limit=${LOOM_FAULT_LIMIT:-120}
preemptions=${LOOM_MAX_PREEMPTIONS:-3}

# One file changes between two builds.
export CARGO_INCREMENTAL=1 CARGO_TARGET_DIR=$target RUST_BACKTRACE=0

faults=()
for fault in ci/faults/loom/*.fault; do
    name=$(basename "$fault" .fault)
    if [ "${1:-}" = --quick ]; then
        wanted=("${quick[@]/#/=}")
    else
        wanted=("$@")
    fi
    [ ${#wanted[@]} -ne 0 ] || wanted=("")
    for part in "${wanted[@]}"; do
        case "=$name" in
        *"$part"*)
            faults+=("$name")
            break
            ;;
        esac
    done
done
if [ ${#faults[@]} -eq 0 ]; then
    echo "loom_faults: no fault of that name in ci/faults/loom" >&2
    exit 1
fi
if [ "${1:-}" = --quick ] && [ ${#faults[@]} -ne ${#quick[@]} ]; then
    echo "loom_faults: --quick names faults that are not there, or not alone" >&2
    exit 1
fi

rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --null -T - -cf - | tar -xf - -C "$tree"
mkdir -p "$tree/.cargo"
printf '[profile.release.package.async-rcu]\nopt-level = 0\n' >>"$tree/.cargo/config.toml"

# As ci/loom.sh builds.
build() {
    (cd "$tree" && RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_loom" CARGO_TARGET_DIR=$target/loom \
        cargo test --release --lib --no-run)
}

log=$target/faults-loom.log
echo "loom_faults: ${#faults[@]} faults; building the crate without any"
build >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
}

# What became of the planted fault, with so many preemptions.
verdict() {
    local model=$1 status=0
    (cd "$tree" && LOOM_MAX_PREEMPTIONS=$2 timeout --kill-after=5 "$limit" bash ci/loom.sh "$model") \
        >"$log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        echo 'NOT CAUGHT'
    elif grep -q 'no model matches' "$log"; then
        echo 'NO SUCH MODEL'
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo 'NO END'
    elif grep -q 'deadlock; threads' "$log"; then
        echo deadlock
    elif grep -q 'Causality violation' "$log"; then
        echo race
    elif grep -q 'exceeded maximum number of branches' "$log"; then
        echo endless
    elif grep -q "panicked at" "$log"; then
        echo assertion
    else
        echo 'FAILED OTHERWISE'
    fi
}

format='%-46s %-18s %7s  %s\n'
# shellcheck disable=SC2059
printf "$format" fault caught seconds by
missed=()
for name in "${faults[@]}"; do
    fault=ci/faults/loom/$name.fault
    began=$SECONDS
    model=$(sed -n 's/^check: loom //p' "$fault")
    if [ -z "$model" ]; then
        result='NAMES NO MODEL'
    elif ! perl ci/plant.pl "$fault" "$tree"; then
        result='DOES NOT FIT'
    elif ! build >"$log" 2>&1; then
        result='DOES NOT COMPILE'
    else
        result=$(verdict "$model" "$preemptions")
        if [ "$result" = 'NOT CAUGHT' ]; then
            result="$(verdict "$model" $((preemptions + 1))), with $((preemptions + 1))"
        fi
    fi
    # shellcheck disable=SC2059
    printf "$format" "$name" "$result" $((SECONDS - began)) "$model"
    case $result in
    deadlock* | race* | endless* | assertion*) ;;
    *)
        missed+=("$name")
        if [ -s "$log" ]; then cp "$log" "$target/faults-loom.$name.log"; fi
        ;;
    esac
    # As it was, and newer than what was built.
    while IFS= read -r file; do
        cp "$root/$file" "$tree/$file"
    done < <(sed -n 's/^@@ //p' "$fault" | sort -u)
done

if [ ${#missed[@]} -ne 0 ]; then
    printf 'loom_faults: %d of %d not caught: %s\n(what was said: %s/faults-loom.NAME.log)\n' \
        "${#missed[@]}" "${#faults[@]}" "${missed[*]}" "$target" >&2
    exit 1
fi
echo "loom_faults: all ${#faults[@]} caught"
