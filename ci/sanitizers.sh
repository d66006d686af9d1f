#!/usr/bin/env bash
# Checkers of memory and races. Usage: [ONLY='TEST...'] bash ci/sanitizers.sh KIND [ARGUMENT...]
#
#   asan [tests|examples]
#            AddressSanitizer and LeakSanitizer, over unit and integration tests and the examples:
#            access to freed memory, and memory that nothing points to at the end. Ten minutes.
#            ci/lsan.supp names what leaks on purpose. Needs curl
#   tsan [ARGUMENT OF cargo test...]
#            ThreadSanitizer, over unit and integration tests: two accesses to the same memory that
#            nothing orders. Fifteen minutes. ci/tsan.supp names what it may report: nothing
#   memcheck [FILTER]
#            valgrind's memcheck, over the unit tests, without the compiler's instrumentation:
#            memory that is used after it was freed or before it was written, and memory that is
#            lost at the end. Ten minutes. ci/memcheck.supp names what is lost on purpose
#   miri [FILTER]
#            Miri, over the unit tests, in an interpreter: undefined behaviour and data races. Slow
#
# ONLY='lib stalls' runs the unit tests and tests/stalls.rs only (asan, tsan).
# Needs x86_64 or aarch64 Linux. Installs what is missing: the nightly toolchain through rustup,
# valgrind and curl with apt-get.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

# instrumented KIND FLAG: builds with nightly and this flag, for an explicit target. cargo then
# leaves build scripts and macros without the flag.
instrumented() {
    export RUSTUP_TOOLCHAIN=nightly
    CARGO_BUILD_TARGET=$(host)
    export CARGO_BUILD_TARGET
    own_target "$1"
    export RUSTFLAGS="${RUSTFLAGS:-} $2"
}

# The memory of retired boxes is freed and not kept, so that a use of a dropped value is a use of
# freed memory. FREE_BOXES=no: the memory is kept, as it is without a checker.
free_boxes() {
    [ "${FREE_BOXES:-yes}" = no ] || export RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_free_boxes"
}

# The documentation's code is left out: the tests do what it shows.
kind_asan() {
    local part=${1:-all} tests=(--lib --tests) status=0
    case $part in
    all | tests | examples) ;;
    *) fail "no part of asan is called $part; the parts are tests and examples" ;;
    esac
    need_nightly rust-std
    need curl curl
    instrumented asan -Zsanitizer=address
    free_boxes
    # The sanitizer keeps so many MiB of freed memory. More would make the examples that measure
    # their own memory fail.
    export ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=64${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
    export LSAN_OPTIONS="print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
    LSAN_OPTIONS+=":suppressions=$PWD/ci/lsan.supp"

    if [ "$part" != examples ]; then
        [ -z "${ONLY:-}" ] || mapfile -t tests < <(tests_but)
        REPORT='ERROR: (Address|Leak)Sanitizer' \
            tested cargo test "${tests[@]}" --all-features --no-fail-fast || status=1
    fi
    if [ "$part" != tests ] && [ -z "${ONLY:-}" ]; then
        EXAMPLES_PROFILE=dev bash ci/examples.sh small || status=1
    fi
    return "$status"
}

# std is instrumented too. The tests run with fences: the sanitizer cannot see a process-wide
# barrier. It does not know fences either, and reports what a fence alone orders. So it checks the
# acquire and release part of the protocols; loom's models check the fences.
#
# Left out:
# - fork: the sanitizer's own threads and locks do not survive a fork.
# - refused_barrier: it filters system calls, the sanitizer's too.
# - compile_fail, layering, docs, explorer: they run nothing of the library.
kind_tsan() {
    local tests
    need_nightly rust-src
    instrumented tsan -Zsanitizer=thread
    export CARGO_UNSTABLE_BUILD_STD=std
    export ASYNC_RCU_BARRIER=fence
    export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp${TSAN_OPTIONS:+:$TSAN_OPTIONS}"

    mapfile -t tests < <(tests_but fork refused_barrier \
        compile_fail layering docs explorer)
    REPORT='WARNING: ThreadSanitizer|ERROR: ThreadSanitizer' \
        tested cargo test --all-features "${tests[@]}" --no-fail-fast "$@"
}

# valgrind runs one thread at a time: more tests at once would only wait for each other.
kind_memcheck() {
    local runner
    need valgrind valgrind
    free_boxes
    runner=CARGO_TARGET_$(host | tr 'a-z-' 'A-Z_')_RUNNER
    declare -x "$runner=valgrind -q --leak-check=full --errors-for-leak-kinds=definite \
--show-leak-kinds=definite --error-exitcode=9 --num-callers=30 --fair-sched=yes \
--suppressions=$PWD/ci/memcheck.supp"
    REPORT='^==[0-9]+== (Invalid|Conditional jump|Use of uninit|Syscall param|'
    REPORT+='[0-9,]+ .*bytes in .* lost)'
    tested cargo test --lib -- --test-threads=1 "$@"
}

# Miri knows no membarrier, so the tests run with fences. The interpreted program sees no variable
# of the environment unless Miri forwards it. Leaks are not reported: the records of readers are
# never freed, and the thread of the global domain outlives main.
kind_miri() {
    need_nightly miri rust-src
    export ASYNC_RCU_BARRIER=fence
    # Miri does not take the futex call as rustix makes it, so threads sleep as on other systems.
    export RUSTFLAGS="${RUSTFLAGS:-} --cfg rcu_portable"
    free_boxes
    export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-env-forward=ASYNC_RCU_BARRIER -Zmiri-ignore-leaks"
    tested cargo +nightly miri test --lib "$@"
}

if ! declare -F "kind_${1:-}" >/dev/null; then
    echo "usage: bash ci/sanitizers.sh asan|tsan|memcheck|miri [ARGUMENT...]" >&2
    exit 2
fi
tool=$1
slow_tests
"kind_$1" "${@:2}"
