#!/usr/bin/env bash
# Planted faults: each fault of ci/faults/KIND is planted into a copy of the repository, and the
# check that the fault names must notice it there.
# Usage: bash ci/faults.sh KIND            all faults of the kind
#        bash ci/faults.sh KIND NAME...    the faults whose names contain NAME
#        bash ci/faults.sh loom --quick    one fault of each floor, a minute or two
#
#   loom        the model fails, by an assertion, a race, a deadlock, or by more steps than loom
#               allows. A model that passes is tried again with one preemption more. ci/loom.sh
#               shows that the models pass without a fault. Some minutes for a hundred faults.
#   torture     rcutorture (BARRIER N MODE) counts errors, or its watchdog finds a hang. Without a
#               fault it must find nothing. About a minute for each fault.
#   sanitizers  ci/sanitizers.sh KIND reports the fault in these tests, in the words of the
#               fault's line `report:`.
#   fuzz        the fuzz target finds an input that fails, from an empty corpus. It is built
#               without optimisation and without AddressSanitizer, so that the oracles alone must
#               notice. Up to five minutes for each fault.
#
# ci/plant.pl says how a fault is written. The runner also reads these lines at its head:
#   check: TOOL ARGUMENT...   what must notice the fault
#   quick: yes                --quick tries this fault
#   report: WORDS             what the sanitizer reports
#   delays: off               rcutorture is built without --cfg rcu_delays
#   missed: REASON            rcutorture may miss the fault, for this reason
#
# FAULT_SECONDS changes the time that a fault has: 120 seconds for loom, 30 for torture, 300 for
# fuzz. A fault that does not fit or does not build is a failure. Needs git and perl, and what the
# check needs. The copy is in target/faults; two runs in one target directory disturb each other.
#
# Faults that loom cannot notice, because it takes the real fence for the light fence, and because
# its fences are in places stronger than the language's:
# - a fence that is too weak in asymmetric mode: light against light, or a heavy fence with nothing
#   but the system call
# - a cookie, or a ticket's number, that is taken by a plain load
# - a reader that loads the sequence Relaxed or stores its word Relaxed: the light fence after each
#   of the two covers it
# - a block of owned words that its thread parks Relaxed: the same fence covers it
# - a scan that finds such a block parked by a Relaxed load: the scan reads another word of the
#   thread, which the thread stored later
# - chunks that came back, taken by a Relaxed swap: the fence of the call that took them covers it
# - one SeqCst access of a row that is made weaker, if another access of the row stands between it
#   and its partner: under loom each of them is a fence (the writer's look at a slot's watchers,
#   after its look at the slot)
# - callbacks that are counted as finished Relaxed: a thread that draws a conclusion from the count
#   also takes the tickets' lock
# tests/explorer has these. Memory that is neither atomic nor a loom cell is for Miri and
# ThreadSanitizer (the registry's head published Relaxed: the group that it points to is plain).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

kind=${1:-}
case $kind in
loom) seconds=120 ;;
torture) seconds=30 ;;
sanitizers) seconds= ;;
fuzz) seconds=300 ;;
*)
    echo "usage: bash ci/faults.sh loom|torture|sanitizers|fuzz [--quick] [NAME...]" >&2
    exit 2
    ;;
esac
shift
seconds=${FAULT_SECONDS:-$seconds}

need perl perl
need git git
root=$PWD
target=$(target_folder)
work=$(target_folder "faults/$kind")
tree=$work/tree
log=$work/log
preemptions=${LOOM_MAX_PREEMPTIONS:-3}
flags=${RUSTFLAGS:-}
export RUST_BACKTRACE=0

# head_line NAME: prints what stands after `NAME: ` at the head of the fault.
head_line() {
    sed -n "/^@@ /q; s/^$1: //p" "$fault"
}

# choose NAME...: fills `faults` with the files of the chosen faults.
choose() {
    local fault part floors
    faults=()
    if [ "${1:-}" = --quick ]; then
        for fault in "ci/faults/$kind"/*.fault; do
            [ "$(head_line quick)" != yes ] || faults+=("$fault")
        done
        floors=$(diff <(floors_of "ci/faults/$kind"/*.fault) <(floors_of "${faults[@]:-none}")) ||
            fail "not one fault of each floor has the line \"quick: yes\":"$'\n'"$floors"
        return
    fi
    for fault in "ci/faults/$kind"/*.fault; do
        for part in "${@:-}"; do
            if [[ $(basename "$fault" .fault) == *"$part"* ]]; then
                faults+=("$fault")
                break
            fi
        done
    done
    [ ${#faults[@]} -ne 0 ] || fail "no fault in ci/faults/$kind has a name with: $*"
}

# floors_of FAULT...: prints the floors of loom's faults, which their names begin with.
floors_of() {
    printf '%s\n' "$@" | sed 's|.*/||; s/-.*//' | sort -u
}

# make_tree: copies the repository as it stands. Each file is as new as the copy, so that cargo
# builds it again.
make_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            if [ -f "$file" ]; then printf '%s\0' "$file"; fi
        done |
        tar --null -T - -cf - | tar -xmf - -C "$tree"
}

# restore FAULT: puts the files back that the fault has changed. They are newer than what was built.
restore() {
    local file
    sed -n 's/^@@ //p' "$1" | sort -u | while IFS= read -r file; do
        [ ! -f "$root/$file" ] || cp "$root/$file" "$tree/$file"
    done
}

# or_stop WHAT COMMAND...: ends the script if the command fails. Its output is shown then only.
or_stop() {
    local what=$1
    shift
    "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    fail "$what"
}

# Each kind has two functions. prepare_KIND runs once. try_KIND ARGUMENT... runs the check on a
# planted fault, and sets `verdict` (noticed, missed, or FAILED if neither is known) and `how`.

# The crate is built without optimisation, because building it takes longer than most models take.
# This also keeps it apart from the one that ci/loom.sh builds in the same target directory: cargo
# does not tell packages apart by the folder that they are in.
prepare_loom() {
    export CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=1
    mkdir -p "$tree/.cargo"
    printf '[profile.release.package.async-rcu]\nopt-level = 0\n' >>"$tree/.cargo/config.toml"
    or_stop 'the library without a fault does not build' build_loom
}

build_loom() {
    (cd "$tree" && RUSTFLAGS="$flags --cfg rcu_loom" CARGO_TARGET_DIR=$target/loom \
        cargo test --release --lib --no-run)
}

try_loom() {
    if ! build_loom >"$log" 2>&1; then
        how='does not build'
        return
    fi
    model "$1" "$preemptions"
    if [ "$verdict" = missed ]; then
        model "$1" $((preemptions + 1))
        how+=", with $((preemptions + 1)) preemptions"
    fi
}

model() {
    local status=0
    (cd "$tree" && LOOM_MAX_PREEMPTIONS=$2 \
        timeout --kill-after=5 "$seconds" bash ci/loom.sh "$1") >"$log" 2>&1 || status=$?
    verdict=noticed
    if [ "$status" -eq 0 ]; then
        verdict=missed how='the model passes'
    elif grep -q 'no model matches' "$log"; then
        verdict=FAILED how='no such model'
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        verdict=FAILED how="has not ended after $seconds s"
    elif grep -q 'deadlock; threads' "$log"; then
        how=deadlock
    elif grep -q 'Causality violation' "$log"; then
        how=race
    elif grep -q 'exceeded maximum number of branches' "$log"; then
        how=endless
    elif grep -q 'panicked at' "$log"; then
        how=assertion
    else
        verdict=FAILED how="exit status $status"
    fi
}

prepare_torture() {
    local run
    delays on
    or_stop 'the library without a fault does not build' build_torture
    for run in 'auto 3 stress' 'fence 3 stress' 'auto 3 async'; do
        # shellcheck disable=SC2086 # three words
        or_stop "without a fault, $run fails" torture $run
    done
}

# delays on|off: with or without delays, from now on.
delays() {
    export CARGO_TARGET_DIR=$work/delays-$1
    case $1 in
    on) export RUSTFLAGS="$flags --cfg rcu_delays" ;;
    off) export RUSTFLAGS=$flags ;;
    esac
}

build_torture() {
    (cd "$tree" && cargo build --quiet --release --example rcutorture)
}

torture() {
    timeout --kill-after=10 $((seconds + 60)) "$CARGO_TARGET_DIR/release/examples/rcutorture" \
        --barrier "$1" "$2" "$3" "$seconds" --hang 10 --every 0
}

try_torture() {
    local status=0
    if [ "$(head_line delays)" = off ]; then delays off; else delays on; fi
    if ! build_torture >"$log" 2>&1; then
        how='does not build'
        return
    fi
    torture "$@" >"$log" 2>&1 || status=$?
    case $status in
    0) verdict=missed ;;
    1) verdict=noticed how=$(sed -n 's/^  ERROR: //p' "$log" | head -n 1) ;;
    *) how="exit status $status" ;;
    esac
}

# The copy shares the target directory of ci/sanitizers.sh. It has another version, so that cargo
# does not take its library for the repository's.
prepare_sanitizers() {
    export CARGO_TARGET_DIR=$target
    sed -i.bak '0,/^version = "\(.*\)"$/s//version = "\1-planted"/' "$tree/Cargo.toml"
}

try_sanitizers() {
    local sanitizer=$1 tests=${*:2} words
    words=$(head_line report)
    if [ -z "$tests" ] || [ -z "$words" ]; then
        how='its head names no tests or no report'
    elif ONLY=$tests bash "$tree/ci/sanitizers.sh" "$sanitizer" >"$log" 2>&1; then
        verdict=missed
    elif grep -q "$words" "$log"; then
        verdict=noticed how=$words
    else
        how="without the words: $words"
    fi
}

prepare_fuzz() {
    need_nightly rust-std
    need_cargo cargo-fuzz
    export CARGO_TARGET_DIR=$work/build
}

try_fuzz() {
    local options=(-max_total_time="$seconds" -timeout=60 -detect_leaks=0 -max_len=600
        -len_control=0)
    [ ! -f "fuzz/$1.dict" ] || options+=(-dict="$root/fuzz/$1.dict")
    if ! in_fuzz build "$1" >"$log" 2>&1; then
        how='does not build'
        return
    fi
    rm -rf "$tree/fuzz/empty" "$tree/fuzz/artifacts"
    mkdir -p "$tree/fuzz/empty" "$tree/fuzz/artifacts/$1"
    if in_fuzz run "$1" empty -- "${options[@]}" >"$log" 2>&1; then
        verdict=missed
        return
    fi
    how=$(grep -A1 -m1 'panicked at\|ERROR: ' "$log" | tr '\n' ' ' || true)
    if [ -n "$how" ]; then
        verdict=noticed
        how="run $(grep -o '^#[0-9]*' "$log" | tail -1 || true): ${how:0:160}"
    else
        how='fails without a reason'
    fi
}

in_fuzz() {
    local command=$1
    shift
    (cd "$tree/fuzz" && cargo +nightly fuzz "$command" --dev --sanitizer none "$@")
}

choose "$@"
make_tree
echo "faults: ${#faults[@]} of ci/faults/$kind; preparing"
"prepare_$kind"

format='%-46s %-8s %7s  %s\n'
# shellcheck disable=SC2059
printf "$format" fault verdict seconds 'check: how'
failed=()
excused=0
for fault in "${faults[@]}"; do
    name=$(basename "$fault" .fault)
    began=$SECONDS
    verdict=FAILED how=
    : >"$log"
    read -ra check < <(head_line check) || true
    case $kind:${check[0]:-} in
    loom:loom | torture:torture | fuzz:fuzz) arguments=("${check[@]:1}") ;;
    sanitizers:?*) arguments=("${check[@]}") ;;
    *) arguments=() ;;
    esac
    if [ ${#arguments[@]} -eq 0 ]; then
        how='its head names no check of this kind'
    elif ! perl ci/plant.pl "$fault" "$tree" 2>"$log"; then
        how=$(tail -n 1 "$log")
    else
        "try_$kind" "${arguments[@]}"
    fi
    if [ "$verdict" = missed ] && grep -q '^missed: ' "$fault"; then
        how="may be missed: $(head_line missed | tr '\n' ' ')"
        excused=$((excused + 1))
    elif [ "$verdict" != noticed ]; then
        failed+=("$name")
        cp "$log" "$work/$name.log"
        [ "$verdict" != missed ] || verdict=MISSED
    fi
    # shellcheck disable=SC2059
    printf "$format" "$name" "$verdict" $((SECONDS - began)) "${check[*]:-}: $how"
    restore "$fault"
done
rm -rf "$tree"

if [ ${#failed[@]} -ne 0 ]; then
    fail "${#failed[@]} of ${#faults[@]} faults were not noticed: ${failed[*]}"$'\n'"(the output" \
        "of their checks is in $work/NAME.log)"
fi
echo "faults: $((${#faults[@]} - excused)) of ${#faults[@]} faults of $kind were noticed," \
    "$excused may be missed"
