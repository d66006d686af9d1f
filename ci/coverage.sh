#!/usr/bin/env bash
# Coverage: the lines and branches of the library that the tests reach, by module. Fails if no test
# reaches a line and ci/uncovered.txt does not say why.
# Usage: bash ci/coverage.sh                  measures, and prints the figures
#        bash ci/coverage.sh print [FLAG...]  prints the figures of the last measurement:
#                                             --files by file, --branches that are not taken
#
# The tests are unit tests, integration tests and the corpus of the fuzz targets, in both barrier
# modes and in forked children. Documentation examples, loom's models and other targets do not
# count. A test that fails does not fail this check: ci/check.sh has the tests, and the compile-fail
# tests cannot pass under instrumentation.
#
# Needs perl. Installs what is missing: the nightly toolchain, which alone counts branches;
# cargo-llvm-cov; and an llvm-cov of the same LLVM, as a component of rustup or, as root, with
# apt-get. LLVM_COV and LLVM_PROFDATA name other ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=ci/lib.sh
source ci/lib.sh

report=target/coverage/lcov.info
if [ "${1:-}" = print ]; then
    shift
    exec perl ci/coverage.pl "$report" ci/uncovered.txt "$@"
fi

need perl perl
need_nightly rust-std
need_cargo cargo-llvm-cov

# An older llvm-cov does not read what a newer compiler writes.
version=$(rustc +nightly -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
component=$(rustc +nightly --print sysroot)/lib/rustlib/$(host)/bin/llvm-cov
if [ -z "${LLVM_COV:-}" ] && [ ! -x "$component" ] &&
    ! rustup component add llvm-tools --toolchain nightly; then
    tools=/usr/lib/llvm-$version/bin
    if [ ! -x "$tools/llvm-cov" ] && [ "$(id -u)" = 0 ]; then
        apt-get install -y "llvm-$version" || apt-get install -y rust-web-llvm
    fi
    [ -x "$tools/llvm-cov" ] || fail "llvm-cov of LLVM $version is missing. Install it, or set" \
        "LLVM_COV and LLVM_PROFDATA"
    export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
fi

cargo +nightly llvm-cov clean --workspace
for barrier in '' fence; do
    # The examples' own tests do not count for the library.
    ASYNC_RCU_BARRIER=$barrier cargo +nightly llvm-cov --branch \
        --no-report --ignore-run-fail --all-features --lib --tests
done
mkdir -p "$(dirname "$report")"
cargo +nightly llvm-cov report --branch --lcov --output-path "$report"
exec perl ci/coverage.pl "$report" ci/uncovered.txt
