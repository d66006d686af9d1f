#!/usr/bin/env bash
# Coverage: lines and branches of the library by module, by unit and integration tests and the corpus of the fuzz targets, in
# both barrier modes and in the children of forks. Fails where a line is reached by no test and ci/uncovered.txt does not say why.
#   bash ci/coverage.sh                 measures, then tells
#   bash ci/coverage.sh tell [FLAGS]    tells again of the last measurement: --files by file, --branches which are not taken
#
# What does not count as reached here and is tested all the same: documentation examples, loom's models, other targets.
# A test that fails does not fail this: ci/test.sh is for that, and the compile-fail tests cannot pass under instrumentation.
# Needs a nightly toolchain (branches are counted by it alone) and perl; installs cargo-llvm-cov, and an llvm-cov of the
# toolchain's LLVM: rustup's component, or with apt where we are root, or set LLVM_COV and LLVM_PROFDATA.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

report=target/coverage/lcov.info
if [ "${1:-}" = tell ]; then
    shift
    exec perl ci/coverage.pl "$report" ci/uncovered.txt "$@"
fi

rustc +nightly --version >/dev/null || {
    echo "coverage: no nightly toolchain: rustup toolchain install nightly" >&2
    exit 1
}
command -v cargo-llvm-cov >/dev/null || cargo install --locked cargo-llvm-cov

# An older llvm-cov does not read what a newer compiler writes.
llvm=$(rustc +nightly -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
own=$(rustc +nightly --print sysroot)/lib/rustlib/$(rustc +nightly -vV | sed -n 's/^host: //p')/bin/llvm-cov
if [ -z "${LLVM_COV:-}" ] && [ ! -x "$own" ] && ! rustup component add llvm-tools --toolchain nightly; then
    tools=/usr/lib/llvm-$llvm/bin
    if [ ! -x "$tools/llvm-cov" ] && [ "$(id -u)" = 0 ]; then
        apt-get install -y "llvm-$llvm" || apt-get install -y rust-web-llvm
    fi
    [ -x "$tools/llvm-cov" ] || {
        echo "coverage: no llvm-cov of LLVM $llvm" >&2
        exit 1
    }
    export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
fi

cov() {
    cargo +nightly llvm-cov "$@" --branch
}

cargo +nightly llvm-cov clean --workspace
for barrier in '' fence; do
    # The examples' own tests do not count for the library.
    ASYNC_RCU_BARRIER=$barrier cov --no-report --ignore-run-fail --all-features --lib --tests
done
mkdir -p "$(dirname "$report")"
cov report --lcov --output-path "$report"
exec perl ci/coverage.pl "$report" ci/uncovered.txt
