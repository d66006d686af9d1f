#!/usr/bin/env bash
# AddressSanitizer and LeakSanitizer: unit and integration tests and the examples, built to notice every access to freed memory and
# every block that nothing points to at the end.
# Alone: [ONLY='TEST...'] bash ci/asan.sh [tests|examples]
# Needs nightly (installed through rustup), and curl. x86_64 or aarch64 Linux; some ten minutes.
#
# What is leaked on purpose is named, and why, in ci/lsan.supp. The documentation's code is left out: what it shows the tests do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. ci/tools.sh

need_nightly rust-std
need curl curl
part=${1:-all}
case $part in all | tests | examples) ;; *) fail "no such part: $part" ;; esac

export RUSTUP_TOOLCHAIN=nightly
CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET
own_target asan
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address"
# Blocks that were freed are kept for so many MiB: the examples that measure their own memory have to stay small.
export ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=64${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export LSAN_OPTIONS="suppressions=$PWD/ci/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"

status=0
if [ "$part" != examples ]; then
    tests=(--lib --tests)
    [ -z "${ONLY:-}" ] || mapfile -t tests < <(tests_but)
    REPORT='ERROR: (Address|Leak)Sanitizer' tested cargo test "${tests[@]}" --all-features --no-fail-fast || status=1
fi
if [ "$part" != tests ] && [ -z "${ONLY:-}" ]; then
    EXAMPLES_PROFILE=dev bash ci/examples.sh || status=1
fi
exit "$status"
